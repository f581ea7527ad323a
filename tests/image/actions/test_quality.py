"""``quality``: relative to a JPEG's own, an upper bound, lossless; nothing for other formats."""

import numpy as np
import pytest

from vipsgate.errors import InvalidArgument, MissingArgument

READS = {
    "quality,q_90": "quality,q_90",
    "quality,Q_80": "quality,Q_80",
    "quality,Q_80,q_50": "quality,q_50,Q_80",
    "quality,88": "quality,88",
    "quality,q_lossless": "quality,q_lossless",
    "quality,lossless": "quality,lossless",
    "quality,Q_1,x_1": "quality,Q_1",
    "quality,auto": "quality,auto",
    "quality,ssim_80": "quality,ssim_80",
    "quality,ssim_1,zz_1": "quality,ssim_1",
    "quality,bytes_50000": "quality,bytes_50000",
    "quality,bytes_0001": "quality,bytes_1",
}
REFUSES = {
    "quality": (MissingArgument, "", "q, Q"),
    "quality,": (InvalidArgument, "", "from 1 to 100"),
    "quality,q_101": (InvalidArgument, "", "The value: 101 of parameter: q is invalid."),
    "quality,q_0": (InvalidArgument, "", "from 1 to 100"),
    "quality,Q_0": (InvalidArgument, "", "parameter: Q"),
    "quality,Q_101": (InvalidArgument, "", "from 1 to 100"),
    "quality,Q_lossless": (InvalidArgument, "", "parameter: Q"),
    "quality,abc": (InvalidArgument, "", "The value: abc"),
    "quality,0": (InvalidArgument, "", "from 1 to 100"),
    "quality,_5": (InvalidArgument, "", "_5"),
    "quality,lossless_5": (InvalidArgument, "", "lossless"),
    "quality,auto_1": (InvalidArgument, "", "auto"),
    "quality,auto,auto": (InvalidArgument, "", "given twice"),
    "quality,ssim": (InvalidArgument, "", "ssim"),
    "quality,ssim_0": (InvalidArgument, "", "ssim is invalid. quality expects an integer from 1"),
    "quality,ssim_100": (InvalidArgument, "", "from 1 to 99"),
    "quality,ssim_0.9": (InvalidArgument, "", "parameter: ssim"),
    "quality,bytes_0": (InvalidArgument, "", "parameter: bytes"),
    "quality,bytes_-1": (InvalidArgument, "", "parameter: bytes"),
    "quality,bytes_50k": (InvalidArgument, "", "parameter: bytes"),
    "quality,bytes_1000000000": (InvalidArgument, "", "from 1 to 999999999"),
} | {
    # each stands alone
    f"quality,{one},{other}": (InvalidArgument, "", "of quality exclude each other")
    for one in ("auto", "ssim_80", "bytes_900")
    for other in ("q_50", "Q_50", "50", "lossless", "q_lossless", "auto", "ssim_7", "bytes_7")
    if one.partition("_")[0] != other.partition("_")[0]
}

JPG = "jpg 40x27 q80"
PLANS = {
    # relative to the source's own
    ("quality,q_90", JPG): "40x27 q72",
    ("quality,q_100", JPG): "40x27 q80",
    ("quality,q_1", JPG): "40x27 q1",
    ("quality,q_1", "jpg 40x27 q20"): "40x27 q1",
    ("quality,q_50", "jpg 40x27 q95"): "40x27 q48",
    # at most
    ("quality,Q_90", JPG): "40x27 q80",
    ("quality,Q_30", JPG): "40x27 q30",
    ("quality,30", JPG): "40x27 q30",
    ("quality,q_50,Q_90", JPG): "40x27 q80",
    ("quality,q_50,Q_30", JPG): "40x27 q30",
    # wherever it stands
    ("quality,Q_30/resize,w_20", JPG): "20x14 q30",
    ("resize,w_20/quality,q_90", JPG): "20x14 q72",
    ("quality,Q_30/format,webp", JPG): "40x27 webp q30",
    ("format,webp/quality,Q_90", JPG): "40x27 webp q80",
    ("format,webp/quality,q_50", JPG): "40x27 webp q40",
    ("quality,Q_70/format,jpg", "png 40x27"): "40x27 jpg q70",
    ("quality,Q_100/format,jpg", "png 40x27"): "40x27 jpg q100",
    # q is for JPG sources, and for WebP's the same as Q
    ("quality,q_50/format,jpg", "png 40x27"): "40x27 jpg q85",
    ("quality,q_50", "webp 40x27"): "40x27 webp q50",
    ("quality,Q_50", "webp 40x27"): "40x27 webp q50",
    ("quality,q_50/format,jpg", "webp 40x27"): "40x27 jpg q50",
    # none asked
    ("resize,w_20", JPG): "20x14 q85",
    ("resize,w_20", "webp 40x27"): "20x14 q80",
    # lossless is WebP's
    ("quality,q_lossless", "webp 40x27"): "40x27 webp lossless",
    ("quality,lossless", "webp 40x27"): "40x27 webp lossless",
    ("quality,lossless/format,webp", JPG): "40x27 webp lossless",
    ("quality,lossless", JPG): "40x27 jpg",
    # searched for: not known before, whatever the source's own is
    ("quality,auto", JPG): "40x27 jpg qNone searched progressive",
    ("quality,auto/interlace,0", JPG): "40x27 jpg searched baseline",
    ("interlace,1/quality,bytes_900", JPG): "40x27 jpg searched progressive",
    ("quality,ssim_70/resize,w_20", JPG): "20x14 searched",
    ("quality,bytes_9000/format,webp", JPG): "40x27 webp searched baseline",
    ("format,avif/quality,auto", JPG): "40x27 avif searched",
    ("format,heic/quality,auto", JPG): "40x27 heic searched",
    ("quality,auto/quality,Q_30", JPG): "40x27 jpg q30 said baseline",
    ("quality,Q_30/quality,auto", JPG): "40x27 jpg qNone searched",
    ("quality,auto/quality,lossless", "webp 40x27"): "40x27 webp lossless said",
    ("quality,lossless/quality,auto", "webp 40x27"): "40x27 webp lossy searched",
    ("quality,auto", "webp 20x10x3"): "20x10x3 webp searched",
    # no effect, no error
    ("quality,auto", "png 40x27"): "40x27 png said",
    ("quality,ssim_50", "gif 20x10x3"): "20x10x3 gif said",
    ("quality,bytes_9", "bmp 40x27"): "40x27 bmp said",
    ("quality,bytes_9", "tiff 40x27"): "40x27 tiff said",
    ("quality,Q_50", "png 40x27"): "40x27 png",
    ("quality,q_50", "gif 20x10x3"): "20x10x3 gif",
    ("quality,50", "bmp 40x27"): "40x27 bmp",
    ("quality,lossless", "tiff 40x27"): "40x27 tiff",
}


@pytest.mark.parametrize("format", ["webp", "avif"])
def test_lossless_loses_nothing(format, picture, photo, run, pixels):
    made = run(picture("png 80x54"), f"quality,lossless/format,{format}")
    if format == "webp":
        assert np.array_equal(pixels(made), photo(80, 54))


@pytest.mark.parametrize("format", ["jpg", "webp"])
def test_less_is_smaller(format, picture, run):
    data = picture("jpg 400x267 q95")
    sizes = [len(run(data, f"quality,Q_{Q}/format,{format}")) for Q in (90, 60, 30)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[0] / 2

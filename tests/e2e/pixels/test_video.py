"""Pictures of videos: the very frame, its colours, its place and its size; hostile files."""

import io
import os
import random
import resource
import struct
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vipsgate.cli import findings
from vipsgate.errors import (
    BadRequest,
    ImageDamage,
    ImageTooLarge,
    InvalidArgument,
    OssError,
    ServiceUnavailable,
)
from vipsgate.image import process
from vipsgate.image.config import Limits
from vipsgate.image.formats import probe
from vipsgate.image.video import decode
from vipsgate.settings import Settings

av = pytest.importorskip("av", reason="pip install 'vipsgate[video]'")
LIMITS = Limits()
GUIDE = Path(__file__).parents[4] / "shared" / "data"  # files by others; not part of the project


@contextmanager
def opened(data):
    descriptor = os.memfd_create("video")
    try:
        os.write(descriptor, data)
        yield descriptor
    finally:
        os.close(descriptor)


def taken(data, text, limits=LIMITS, **more):
    """What is decoded."""
    with opened(data) as descriptor:
        asked = process.parse(f"video/snapshot,{text}", limits).snapshot
        return decode.take(descriptor, asked, limits, **more)


def levels(shot):
    return shot.image.numpy().astype(int)


@pytest.fixture(scope="module")
def answered(make_context):
    """Bytes and MIME of the whole way: ``answered(film, "t_0,f_png")``."""

    def answer(data, text, limits=LIMITS, most=None):
        memory = os.memfd_create("result")
        try:
            with opened(data) as descriptor:
                asked = process.parse(f"video/snapshot,{text}", limits).snapshot
                context = make_context(limits=limits)
                mime = decode.answer(descriptor, asked, memory, context, lambda: False, most)
            return os.pread(memory, os.fstat(memory).st_size, 0), mime
        finally:
            os.close(memory)

    return answer


# --- the very frame

FILMS = {
    # what it is -> how it is made
    "mp4": {},
    "mov": {"kind": "mov"},
    "mkv": {"kind": "matroska"},
    "mp4 hevc": {"codec": "hevc"},
    "mkv hevc": {"kind": "matroska", "codec": "hevc"},
    "mp4 begins late": {"offset": 125},
    "mkv begins late": {"kind": "matroska", "offset": 125},
    "mp4 in fragments": {"movflags": "frag_keyframe+empty_moov"},
    "mp4 in fragments with an index": {"movflags": "frag_keyframe+empty_moov+dash"},
    "mp4 without edit list": {"use_editlist": "0"},
    "mkv without cues": {"kind": "matroska", "live": "1"},
    "mp4 29.97 a second": {"rate": "30000/1001"},
    "mkv 29.97 a second": {"kind": "matroska", "rate": "30000/1001"},
    "mp4 open groups": {"more": "open-gop=1:", "between": 3},
    "mkv open groups": {"kind": "matroska", "more": "open-gop=1:", "between": 3},
    "mp4 hevc open groups": {"codec": "hevc", "more": "open-gop=1:", "between": 4},
    "mkv hevc open groups": {"kind": "matroska", "codec": "hevc", "more": "open-gop=1:"},
    "mp4 pyramid": {"between": 7, "more": "b-pyramid=2:ref=4:"},
    "mkv pyramid": {"kind": "matroska", "between": 7, "more": "b-pyramid=2:ref=4:"},
    "mp4 nothing between": {"between": 0},
    "mp4 keys only": {"gop": 1, "between": 0},
    "mp4 one key": {"gop": 250},
    "mp4 refreshed bit by bit": {"more": "intra-refresh=1:", "between": 0},
    "mp4 with sound": {"sound": True},
    "mkv with sound": {"kind": "matroska", "sound": True},
    "mp4 one picture": {"count": 1},
}


def whole(data):
    """Every frame by decoding all: ticks from the first on, number, and the clock."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        frames = [
            (one.pts, one.key_frame, one.to_ndarray(format="rgb24"))
            for one in container.decode(stream)
        ]
        keys = [frame[0] for frame in frames if frame[1]]
        return frames, keys, stream.time_base


@pytest.mark.parametrize("name", FILMS)
def test_the_frame_is_the_one_that_is_shown_then(name, film, number):
    data = film(**FILMS[name])
    frames, keys, clock = whole(data)
    start, gop = frames[0][0], FILMS[name].get("gop", 25)
    shown = [(pts - start, number(picture)) for pts, _, picture in frames]
    assert [one for _, one in shown] == list(range(len(shown)))  # the whole is what was made
    for t in (*range(0, 4100, 97), 39, 40, 41, 999, 1000, 1001, 2960, 3959, 3960, 4_000_000):
        ticks = t * clock.denominator // (1000 * clock.numerator)
        shot = taken(data, f"t_{t}")
        assert number(levels(shot)) == max(one for pts, one in shown if pts <= ticks), t
        assert shot.decoded <= gop + 8, t  # 8: what the decoder must see to put it in its order
        shot = taken(data, f"t_{t},m_fast")
        if "refreshed" not in name:
            key = max(pts for pts in keys if pts <= start + ticks)
            assert number(levels(shot)) == next(one for pts, one in shown if pts == key - start), t
            assert shot.decoded == 1
        elif t > 2000:  # its first picture is its only key frame
            assert number(levels(shot)) <= number(levels(taken(data, f"t_{t}")))


def grain(number, width, height):
    return np.random.default_rng(number).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_only_a_part_of_a_long_video_is_read_and_decoded(kind, film, monkeypatch):
    data = film(kind, count=600, gop=20, rate="1", size=(96, 64), paint=grain)  # ten minutes
    read, counts = os.pread, []

    def counted(descriptor, count, at):
        found = read(descriptor, count, at)
        counts.append(len(found))
        return found

    monkeypatch.setattr(decode.os, "pread", counted)
    for t in (60_000, 550_000, 599_000):
        counts.clear()
        shot = taken(data, f"t_{t}")
        assert shot.at == t
        assert shot.decoded <= 20 + 8
        assert sum(counts) < len(data) / 8


def test_a_real_file(number):
    path = GUIDE / "example.mp4"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    frames, _, clock = whole(path.read_bytes())
    for t in (0, 39, 40, 500, 1000, 7000):
        ticks = t * clock.denominator // (1000 * clock.numerator)
        best = max((pts, at) for at, (pts, _, _) in enumerate(frames) if pts <= ticks)[1]
        got = levels(taken(path.read_bytes(), f"t_{t}"))
        errors = [np.abs(got - picture).mean() for _, _, picture in frames]
        assert np.argmin(errors) == best


# --- colours

WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def expected(y, u, v, matrix, full):
    """ITU-T H.273: levels of red, green and blue."""
    red, blue = WEIGHTS[matrix]
    luma, chroma = ((y, 255) if full else ((y - 16), 219)), 255 if full else 224
    bright, cb, cr = luma[0] / luma[1], (u - 128) / chroma, (v - 128) / chroma
    r, b = bright + 2 * (1 - red) * cr, bright + 2 * (1 - blue) * cb
    g = (bright - red * r - blue * b) / (1 - red - blue)
    return [min(max(255 * one, 0), 255) for one in (r, g, b)]


def tinted(y, u, v, matrix, full, size=(64, 48), pixels="yuv420p", codec="libx264"):
    """A video of one colour, given as it is stored."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.options = {
            "crf": "1",
            "preset": "ultrafast",
            "x265-params": "log-level=none:bframes=0",
        }
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, {None: 0, False: 1, True: 2}[full]
        shift = 2 if "10" in pixels else 0
        frame = av.VideoFrame(*size, pixels)
        frame.time_base = Fraction(1, 25)
        for plane, level in zip(frame.planes, (y, u, v), strict=True):
            kind = np.dtype("<u2" if shift else "u1")
            plane.update(np.full(plane.buffer_size // kind.itemsize, level << shift, kind))
        for at in range(2):
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("stored", [(81, 90, 240), (145, 54, 34), (41, 240, 110), (235, 128, 128)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_colours(stored, full, matrix):
    got = levels(taken(tinted(*stored, matrix, full), "t_0"))
    assert np.abs(got - expected(*stored, matrix, full)).max() <= 3


@pytest.mark.parametrize(("size", "matrix"), [((64, 48), 6), ((720, 576), 6), ((1280, 720), 1)])
def test_colours_that_are_not_told(size, matrix):
    got = levels(taken(tinted(81, 90, 200, 2, None, size), "t_0"))
    assert np.abs(got - expected(81, 90, 200, matrix, False)).max() <= 3


def test_ten_bits():
    data = tinted(145, 54, 100, 1, False, pixels="yuv420p10le", codec="libx265")
    assert np.abs(levels(taken(data, "t_0")) - expected(145, 54, 100, 1, False)).max() <= 3


def test_rows_are_not_slanted(film, number):
    """A row's length in memory is more than its pixels."""
    for width in (34, 50, 62, 98, 130):
        got = levels(taken(film(size=(width, 34), count=3), "t_40"))
        assert got.shape == (34, width, 3)
        assert np.abs(got - got[:1]).mean() < 3
        assert number(got) == 1


# --- turned, scaled, written


def corners(at, width, height):
    """Red, green, blue and grey, from the upper left on clockwise."""
    made = np.empty((height, width, 3), np.uint8)
    made[: height // 2, : width // 2] = 220, 30, 30
    made[: height // 2, width // 2 :] = 30, 200, 30
    made[height // 2 :, width // 2 :] = 30, 30, 220
    made[height // 2 :, : width // 2] = 128, 128, 128
    return made


TURNED = {
    # counter-clockwise degrees, mirrored sideways, upside down -> what is seen
    (0, False, False): lambda a: a,
    (90, False, False): np.rot90,
    (180, False, False): lambda a: np.rot90(a, 2),
    (-90, False, False): lambda a: np.rot90(a, 3),
    (0, True, False): np.fliplr,
    (0, False, True): np.flipud,
    (90, True, False): lambda a: np.fliplr(np.rot90(a)),
    (-90, True, False): lambda a: np.fliplr(np.rot90(a, 3)),
    (30, False, False): lambda a: a,  # no quarter turn: left as it is
}


@pytest.mark.parametrize(
    ("turn", "kind"),
    [
        *((turn, "mp4") for turn in TURNED),
        # Matroska has no mirrors
        *((turn, "matroska") for turn in TURNED if not (turn[1] or turn[2] or turn[0] == 30)),
    ],
)
def test_turned_only_when_asked(turn, kind, film, answered):
    data = film(kind, size=(96, 64), count=2, paint=corners, turn=turn)
    stored = corners(0, 96, 64)
    for text, wanted in (("t_0,f_png", stored), ("t_0,f_png,ar_auto", TURNED[turn](stored))):
        got = np.asarray(Image.open(io.BytesIO(answered(data, text)[0]))).astype(int)
        assert got.shape == wanted.shape
        assert np.abs(got - wanted).mean() < 8, text


SIZES = {
    # text -> size of the result, of a video of 96x64 that is to be turned
    "": (96, 64),
    "w_0,h_0": (96, 64),
    "w_48": (48, 32),
    "h_32,w_0": (48, 32),
    "w_50": (50, 33),
    "w_96,h_64": (96, 64),
    "w_20,h_60": (20, 60),
    "w_1": (1, 1),
    "ar_auto": (64, 96),
    "ar_auto,w_32": (32, 48),
    "ar_auto,h_96": (64, 96),
    "ar_auto,w_60,h_20": (60, 20),
}


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("text", SIZES, ids=lambda text: text or "nothing")
def test_sizes(text, kind, film, answered):
    data = film(size=(96, 64), count=2, paint=corners, turn=(90, False, False))
    made, mime = answered(data, f"t_0,f_{kind},{text}" if text else f"t_0,f_{kind}")
    picture = Image.open(io.BytesIO(made))
    assert picture.size == SIZES[text]
    assert (picture.format, mime) == (
        ("JPEG", "image/jpeg") if kind == "jpg" else ("PNG", "image/png")
    )
    assert "exif" not in picture.info


@pytest.mark.parametrize(
    ("text", "ec"),
    [
        *(("w_97", "0053-00000104"), ("h_65", "0053-00000105"), ("w_97,h_10", "0053-00000104")),
        *(("w_65,ar_auto", "0053-00000104"), ("w_999999999,h_999999999", "0053-00000104")),
    ],
)
def test_more_than_the_video_has(text, ec, film, answered):
    data = film(size=(96, 64), count=2, paint=corners, turn=(90, False, False))
    with pytest.raises(InvalidArgument, match="from 0 to") as caught:
        answered(data, f"t_0,{text}")
    assert caught.value.ec == ec


# --- what is refused


def test_image_actions_say_that_it_is_a_video(film):
    for kind, name in (("mp4", "MP4"), ("matroska", "Matroska")):
        with pytest.raises(BadRequest, match=rf"{name}.*video/snapshot makes a picture"):
            probe.probe(film(kind, count=1))


@pytest.mark.parametrize("source", ["jpg 40x20", "png 40x20", "gif 20x10x3", "heic 41x27"])
def test_a_picture_is_no_video(source, picture):
    with pytest.raises(BadRequest, match=r"is a picture \(\w+\); video/snapshot takes a video"):
        taken(picture(source), "t_0")


@pytest.mark.parametrize("kind", ["mpegts", "flv", "avi"])
def test_other_containers(kind, film):
    with pytest.raises(BadRequest, match="expected one of MP4 or MOV, Matroska or WebM"):
        taken(film(kind, count=2), "t_0")


@pytest.mark.parametrize(("codec", "kind"), [("mpeg4", "mp4"), ("libvpx", "webm")])
def test_other_codecs(codec, kind, film):
    with pytest.raises(BadRequest, match=r"is coded as (mpeg4|vp8); expected H.264 or H.265"):
        taken(film(kind, codec, count=2), "t_0")


def test_sound_alone():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        hum = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        hum.sample_rate = 8000
        container.mux(stream.encode(hum))
        container.mux(stream.encode(None))
    with pytest.raises(BadRequest, match="has no video"):
        taken(file.getvalue(), "t_0")


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x18", b"not a video", b"#EXTM3U\n", b"ffconcat v"])
def test_what_is_no_file_of_a_kind(data):
    with pytest.raises(BadRequest, match="expected one of MP4 or MOV"):
        taken(data, "t_0")


def test_limits(film):
    data = film(size=(640, 480), count=2)
    with pytest.raises(ImageTooLarge, match="640x480 pixels; a side may have 600"):
        taken(data, "t_0", Limits(source_side=600))
    with pytest.raises(ImageTooLarge, match="Maximal size of image supported is 300000 pixels"):
        taken(data, "t_0", Limits(source_pixels=300_000))
    with pytest.raises(ImageTooLarge, match="it may take 25000000"):
        taken(data, "t_0", Limits(render_bytes=25_000_000))


def test_a_key_frame_costs_what_a_decoder_holds(film, answered):
    memory = []
    for size in ((320, 240), (640, 480)):
        data = film(size=size, count=2)
        with pytest.raises(decode.TooExpensive) as caught:
            answered(data, "t_0,m_fast", most=1000)
        memory.append(caught.value.cost.memory)
        assert answered(data, "t_0,m_fast", most=memory[-1])
    assert memory[1] - memory[0] == 3 * 320 * 240 * (12 * 1.5 + 9)


def test_a_snapshot_that_is_exact_may_take_what_any_may():
    asked = process.parse("video/snapshot,t_0", Limits()).snapshot
    assert decode.cost(asked, Limits()).memory == Limits().render_bytes


def test_a_key_frame_too_far_away(film, number):
    data, few = film(gop=250), Limits(video_frames=50)
    assert number(levels(taken(data, "t_1000", few))) == 25
    with pytest.raises(BadRequest, match="more than 50 pictures away; m_fast takes"):
        taken(data, "t_3000", few)
    assert number(levels(taken(data, "t_3000,m_fast", few))) == 0


def test_a_client_that_leaves(film, capfd):
    calls = []
    taken(film(), "t_3950", stopped=lambda: bool(calls.append(0)))
    refused = []
    for patience in range(len(calls)):
        left = iter(range(patience))
        with pytest.raises((ServiceUnavailable, ImageDamage, BadRequest)) as caught:
            taken(film(), "t_3950", stopped=lambda left=left: next(left, None) is None)
        refused.append(type(caught.value))
    assert refused[-1] is ServiceUnavailable
    assert refused.count(ServiceUnavailable) > 40  # one for each packet that is read and decoded
    assert capfd.readouterr().err == ""


def test_a_larger_picture_inside_than_the_file_says(film, monkeypatch):
    """The decoder believes the stream, not the container."""
    data = bytearray(film(size=(640, 480), count=2))
    where = data.index(b"avc1", data.index(b"stsd")) + 28  # ISO 14496-12, 12.1.3: width, height
    assert struct.unpack_from(">HH", data, where) == (640, 480)
    struct.pack_into(">HH", data, where, 64, 48)
    assert taken(bytes(data), "t_0").decoded == 1
    small = Limits(source_pixels=100_000)
    with pytest.raises(ImageTooLarge, match="has 640x480 pixels"):
        taken(bytes(data), "t_0", small)
    monkeypatch.setattr(decode, "_admit", lambda stream, limits: None)  # as if it came later on
    with pytest.raises(ImageDamage):
        taken(bytes(data), "t_0", small)


# --- hostile files


def mutations(data, count, seed=1):
    """Every kind of cut, and bytes that are changed where it hurts."""
    chance = random.Random(seed)
    for _ in range(count // 3):
        yield data[: chance.randrange(len(data))]
    for at in range(count - count // 3):
        made = bytearray(data)
        for _ in range(chance.choice((1, 2, 8, 40))):
            anywhere, head = chance.randrange(len(made)), chance.randrange(min(1500, len(made)))
            tail = len(made) - 1 - chance.randrange(min(3500, len(made)))
            place = anywhere if at % 2 else chance.choice((head, tail))
            made[place] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        yield bytes(made)


@pytest.mark.parametrize("name", ["mp4", "mkv", "mp4 hevc", "mkv hevc", "mp4 in fragments"])
def test_hostile(name, film, capfd):
    said = set()
    before = len(os.listdir("/proc/self/fd"))
    for at, data in enumerate(mutations(film(**FILMS[name]), 240)):
        try:
            levels(taken(data, ("t_0", "t_1500", "t_9000,m_fast", "t_2000")[at % 4]))
            said.add("picture")
        except (BadRequest, ImageDamage, ImageTooLarge, MemoryError) as error:
            said.add(type(error).__name__)
    assert {"picture", "ImageDamage"} <= said
    assert len(os.listdir("/proc/self/fd")) == before
    assert capfd.readouterr().err == ""  # a hostile file must not fill the log


def test_an_index_that_claims_millions(film):
    """30 million entries in 20 bytes: FFmpeg would take 2 GB and 6 seconds for them."""
    data = bytearray(film())
    for name, numbers in (("stsz", (1, 30_000_000)), ("stts", (1, 30_000_000, 512))):
        at = data.index(name.encode()) + 8
        data[at : at + 4 * len(numbers)] = struct.pack(f">{len(numbers)}I", *numbers)
    at = data.index(b"stsc") + 8
    data[at : at + 16] = struct.pack(">4I", 1, 1, 30_000_000, 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((OssError, MemoryError)):
        taken(bytes(data), "t_0")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # kB


def boxed(data, path, change):
    """The MP4 with the content of one box changed, and the sizes around it put right."""
    at = end = 0
    for depth, name in enumerate(path):
        at = data.index(name, at)
        if depth == len(path) - 1:
            end = at - 4 + struct.unpack(">I", data[at - 4 : at])[0]
    new = change(data[at + 4 : end])
    made, grown = bytearray(data[: at + 4] + new + data[end:]), len(new) - (end - at - 4)
    at = 0
    for name in path:
        at = data.index(name, at)
        made[at - 4 : at] = struct.pack(">I", struct.unpack(">I", data[at - 4 : at])[0] + grown)
    return bytes(made)


def test_other_files_stay_closed(film, tmp_path, monkeypatch):
    """A MOV may say that its samples are in another file (data reference; alias of Macintosh)."""
    secret = tmp_path / "secret.mov"
    secret.write_bytes(film("mov"))
    name = str(secret).encode() + bytes(len(str(secret)) % 2)
    alias = bytes(10) + b"\1/" + bytes(26 + 12 + 64 + 16) + struct.pack(">HH", 1, 1) + bytes(16)
    alias += struct.pack(">HH", 2, len(name)) + name + struct.pack(">hH", -1, 0)
    box = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    path = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    data = boxed(film("mov", count=2), path, lambda content: struct.pack(">II", 0, 1) + box)
    opened_names = []

    def spy(url, flags, options):
        opened_names.append(url)
        raise PermissionError

    monkeypatch.setattr(decode, "_closed", spy)
    with pytest.raises(ImageDamage):
        taken(data, "t_0")
    assert opened_names == []
    # the file is one that FFmpeg would follow
    allowed = decode.OPTIONS | {"enable_drefs": "1", "use_absolute_path": "1"}
    monkeypatch.setattr(decode, "OPTIONS", allowed)
    with pytest.raises((OssError, PermissionError)):
        taken(data, "t_0")
    assert opened_names
    assert {Path(name).name for name in opened_names} == {"secret.mov"}


# --- life without it


def test_without_pyav(film, monkeypatch):
    data = film(count=1)
    monkeypatch.setitem(sys.modules, "av", None)
    assert not decode.installed()
    assert decode.version() == "no FFmpeg"
    with pytest.raises(BadRequest, match=r"pip install 'vipsgate\[video\]'"):
        taken(data, "t_0")
    found = {one.what: one for one in findings.findings(Settings()) if "video" in one.what}
    assert [one.works for one in found.values()] == [None]


def test_check_says_what_is_decoded():
    (found,) = (one for one in findings.findings(Settings()) if "video" in one.what)
    assert found.works
    assert "H.264, H.265" in found.detail
    assert decode.version() in found.detail


def test_import_starts_no_thread_and_decoding_neither(film):
    data = film(size=(640, 480), count=30)  # encoders have threads, and libvips ends its own
    before = set(os.listdir("/proc/self/task"))
    for _ in range(3):
        with opened(data) as descriptor:
            asked = process.parse("video/snapshot,t_1000", LIMITS).snapshot
            decode.take(descriptor, asked, LIMITS)
    assert set(os.listdir("/proc/self/task")) <= before

"""``strip``: what it reads and refuses; what comes of it is in ``e2e/pixels/test_metadata.py``."""

from vipsgate.errors import InvalidArgument

READS = {
    "strip": "strip",
    "strip,all": "strip",
    "strip,keep_copyright": "strip,keep_copyright",
    "strip,keep_icc": "strip,keep_icc",
    "strip,keep_copyright-icc": "strip,keep_copyright-icc",
    "strip,keep_icc-copyright": "strip,keep_copyright-icc",
}
REFUSES = {
    "strip,": (InvalidArgument, "", "strip expects one of all, keep_copyright"),
    "strip,none": (InvalidArgument, "", "The value: none of parameter: strip is invalid."),
    "strip,keep_gps": (InvalidArgument, "", "The value: keep_gps of"),
    "strip,keep_": (InvalidArgument, "", "The value: keep_ of"),
    "strip,copyright_1": (InvalidArgument, "", "The value: copyright_1 of"),
    "strip,keep_copyright,keep_icc": (InvalidArgument, "0040-00000203", "one value, not 2"),
}
PLANS = {
    ("strip", "jpg 40x27"): "40x27 jpg",
    ("strip,keep_icc/resize,w_20", "png 40x27 p3"): "20x14 png",
    ("strip,all/strip,keep_copyright", "gif 20x10x3"): "20x10x3 gif",
}

"""What clients say that they accept: real ones, and what the standard lets any other say."""

from vipsgate.gate import accept

BOTH, WEBP, AVIF, NONE = ("avif", "webp"), ("webp",), ("avif",), ()
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,"

# header -> what is taken of AVIF and WebP, liked better first; first an <img> of each browser
BROWSERS = {
    # Chrome 85 and later, Edge 121 and later, Opera, Samsung Internet
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8": BOTH,
    "image/avif,image/webp,image/apng,image/*,*/*;q=0.8": BOTH,
    # Chrome 32 to 84, Edge 79 to 120
    "image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8": WEBP,
    "image/webp,image/apng,image/*,*/*;q=0.8": WEBP,
    "image/webp,image/*,*/*;q=0.8": WEBP,
    # Chrome before 32, and what fetch() says in each browser to this day
    "*/*": NONE,
    # Firefox: 128 and later, 93, 92, 65, before
    "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5": BOTH,
    "image/avif,image/webp,image/png,image/*;q=0.8,*/*;q=0.5": BOTH,
    "image/avif,image/webp,*/*": BOTH,
    "image/webp,*/*": WEBP,
    "image/png,image/*;q=0.8,*/*;q=0.5": NONE,
    # Safari 16 and later, 14, before
    "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,"
    "image/svg+xml,image/*;q=0.8,*/*;q=0.5": BOTH,
    "image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5": BOTH,
    "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5": WEBP,
    "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5": NONE,
    "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5": NONE,
    # Internet Explorer 11, Edge 18
    "image/png, image/svg+xml, image/jxr, image/*; q=0.8, */*; q=0.5": NONE,
    "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5,": NONE,
    # an address typed into Chrome, Firefox, Safari
    f"{CHROME}image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7": BOTH,
    f"{CHROME}image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8": BOTH,
    f"{CHROME}*/*;q=0.8": NONE,
    # curl, Googlebot-Image, bots and feed readers, Java, wget and SDKs
    "image/*": NONE,
    "image/*,*/*;q=0.8": NONE,
    "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2": NONE,
    "": NONE,
}
RULES = {
    "image/avif": AVIF,
    "image/webp": WEBP,
    "IMAGE/WEBP": WEBP,
    " image/webp\t, image/avif ": BOTH,
    "image/png,,image/webp,": WEBP,
    # q-values
    "image/avif;q=0,image/webp": WEBP,
    "image/avif;q=0.0, image/webp;q=0.000": NONE,
    "image/webp;q=0, */*": NONE,
    "image/avif;q=0.001": AVIF,
    "image/avif; Q=0.5 , image/webp;\tq=1.000": ("webp", "avif"),
    "image/avif;q=0.8,image/webp;q=0.8": BOTH,
    "image/webp;q=0.9,image/avif;q=1.0": BOTH,
    "image/webp;;q=0.5": WEBP,
    "image/webp;": WEBP,
    "image/webp;q=0.5;ext=1": WEBP,  # an extension, RFC 7231
    "image/webp,image/webp;q=0": NONE,  # a refusal is heard
    # wildcards are no support, and refuse nothing that is named
    "*/*;q=1.0,image/*;q=1.0": NONE,
    "*/*;q=0,image/*;q=0,image/webp": WEBP,
    # malformed: it supports nothing
    "image/webp;q=": NONE,
    "image/webp;q=1.5": NONE,
    "image/webp;q=0.1234": NONE,
    "image/webp;q=.5": NONE,
    "image/webp;q=-1": NONE,
    "image/webp;q=x,image/avif": AVIF,
    "image/webp;q =1": NONE,
    "image/webp q=1": NONE,
    "image/webp image/avif": NONE,
    "image / webp": NONE,
    "image/webp\u00a0": NONE,
    "image/webp;q=\u0661": NONE,
    "image": NONE,
    ";;;": NONE,
    ",,,": NONE,
    # one with parameters is another than what would be sent; what is quoted is no list
    "image/webp;level=1": NONE,
    'text/plain;a=", image/webp,"': NONE,
    'text/plain;a="\\", image/webp", image/avif': AVIF,
    'text/plain;a=", image/webp': NONE,
    # look-alikes
    "image/webp2": NONE,
    "ximage/webp": NONE,
    "image/avif-sequence": NONE,
    "application/image/webp": NONE,
    "image/webp," + "x" * accept.MAX_LENGTH: NONE,
}

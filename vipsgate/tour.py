"""The tour: one URL for each thing that a URL can do, on the pictures of the demo bucket.

``vipsgate demo`` prints it, and README's pictures are these very answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Stop:
    """One URL.

    Attributes:
        title: What it shows.
        key: An object of the demo bucket.
        process: Of ``x-oss-process``; empty for the object as it is.
        picture: Format of the answer that README shows; empty for none.
    """

    title: str
    key: str
    process: str = ""
    picture: str = ""

    def url(self, bucket: str) -> str:
        """The URL below ``bucket``, the bucket's own URL."""
        query = f"?x-oss-process={self.process}" if self.process else ""
        return f"{bucket}/{quote(self.key)}{query}"


TOUR = (
    Stop("fit inside a box", "mountains.jpg", "image/resize,w_240", "jpg"),
    Stop("cover a box, crop the rest", "sea.jpg", "image/resize,m_fill,w_240,h_160", "jpg"),
    Stop(
        "fit onto a canvas",
        "mountains.jpg",
        "image/resize,m_pad,w_240,h_190,color_1B2A41",
        "jpg",
    ),
    Stop("stretch", "sea.jpg", "image/resize,m_fixed,w_240,h_100", "jpg"),
    Stop(
        "crop at an anchor, then scale",
        "mountains.jpg",
        "image/crop,w_1200,h_800,g_se/resize,w_240",
        "jpg",
    ),
    Stop("turn by any angle", "sea.jpg", "image/resize,w_200/rotate,15/format,png", "png"),
    Stop("as the camera was held", "portrait-phone.jpg", "image/resize,h_200", "jpg"),
    Stop(
        "as the sensor stored it", "portrait-phone.jpg", "image/auto-orient,0/resize,w_240", "jpg"
    ),
    Stop("keep transparency", "leaf.png", "image/resize,w_240", "png"),
    Stop("white below a JPEG", "leaf.png", "image/resize,w_240/format,jpg", "jpg"),
    Stop("CMYK, right on a screen", "cmyk.jpg", "image/resize,w_240", "jpg"),
    Stop("an animation stays one", "spinner.gif", "image/resize,w_120", "gif"),
    Stop("another format", "mountains.jpg", "image/resize,w_240/format,webp", "webp"),
    Stop("fewer bytes", "mountains.jpg", "image/resize,w_240/quality,Q_20", "jpg"),
    Stop("a key with blanks and Chinese", "travel/西湖 sunrise.jpg", "image/resize,w_240", "jpg"),
    Stop("progressive", "mountains.jpg", "image/resize,w_1200/interlace,1"),
    Stop("AVIF", "mountains.jpg", "image/resize,w_800/format,avif"),
    Stop("what the file says of itself", "portrait-phone.jpg", "image/info"),
    Stop("the object as it is", "logo.png"),
    Stop("not a picture: the reason", "notes.txt", "image/resize,w_100"),
)

"""The tour: one URL for each thing that a URL can do, on the pictures of the demo bucket.

``vipsgate demo`` prints it, and README's pictures are these very answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from ..image.params import encoded


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


LOGO = encoded("logo.png?x-oss-process=image/resize,P_24")
HELLO, NAME, LAKE = map(encoded, ("Hello 图片服务!", "vipsgate", "西湖 West Lake"))

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
    Stop("a disc", "sea.jpg", "image/resize,h_160/circle,r_80/format,png", "png"),
    Stop(
        "rounded corners",
        "mountains.jpg",
        "image/resize,w_240/rounded-corners,r_24/format,png",
        "png",
    ),
    Stop("a third of it", "mountains.jpg", "image/resize,w_300/indexcrop,x_100,i_1", "jpg"),
    Stop("blurred", "sea.jpg", "image/resize,w_240/blur,r_12,s_4", "jpg"),
    Stop(
        "brighter, with less contrast",
        "sea.jpg",
        "image/resize,w_240/bright,20/contrast,-30",
        "jpg",
    ),
    Stop("sharper", "mountains.jpg", "image/resize,w_240/sharpen,200", "jpg"),
    Stop(
        "a line of text",
        "mountains.jpg",
        f"image/resize,w_240/watermark,text_{HELLO},size_22,color_FFFFFF,shadow_60",
        "jpg",
    ),
    Stop(
        "a picture as a watermark",
        "sea.jpg",
        f"image/resize,w_240/watermark,image_{LOGO},g_nw,t_90",
        "jpg",
    ),
    Stop(
        "picture and text, turned and tiled",
        "sea.jpg",
        f"image/resize,w_240/watermark,image_{LOGO},text_{NAME},size_14,color_FFFFFF,interval_4,"
        "align_1,rotate_30,t_60,fill_1,padx_20,pady_12",
        "jpg",
    ),
    Stop("keep transparency", "leaf.png", "image/resize,w_240", "png"),
    Stop("white below a JPEG", "leaf.png", "image/resize,w_240/format,jpg", "jpg"),
    Stop("CMYK, right on a screen", "cmyk.jpg", "image/resize,w_240", "jpg"),
    Stop("an animation stays one", "spinner.gif", "image/resize,w_120", "gif"),
    Stop(
        "an animation, marked and turned",
        "waves.webp",
        f"image/resize,w_160/watermark,text_{NAME},size_20,color_FFFFFF/rotate,350",
        "webp",
    ),
    Stop("another format", "mountains.jpg", "image/resize,w_240/format,webp", "webp"),
    Stop("fewer bytes", "mountains.jpg", "image/resize,w_240/quality,Q_20", "jpg"),
    Stop(
        "a key with blanks and Chinese",
        "travel/西湖 sunrise.jpg",
        f"image/resize,w_240/watermark,text_{LAKE},size_18,g_nw,color_FFFFFF",
        "jpg",
    ),
    Stop(
        "what catches the eye",
        "portrait-phone.jpg",
        "image/resize,m_fill,w_240,h_120,g_auto",
        "jpg",
    ),
    Stop("progressive", "mountains.jpg", "image/resize,w_1200/interlace,1"),
    Stop("AVIF", "mountains.jpg", "image/resize,w_800/format,avif"),
    Stop("its average hue", "sea.jpg", "image/average-hue"),
    Stop("a placeholder for a page", "sea.jpg", "image/resize,m_fill,w_240,h_160/thumbhash"),
    Stop("what the file says of itself", "portrait-phone.jpg", "image/info"),
    Stop("the object as it is", "logo.png"),
    Stop("not a picture: the reason", "notes.txt", "image/resize,w_100"),
)

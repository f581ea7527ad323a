"""Files that are unusual by what they carry, not by what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .land import aurora, dunes
from .water import lighthouse

if TYPE_CHECKING:
    from pyvips import Image


def phone() -> Image:
    """The lighthouse as a phone held upright stores it: on its side, with a note which side."""
    import pyvips
    from PIL import Image as Pillow
    from PIL.ExifTags import GPS, IFD, Base

    exif = Pillow.Exif()
    exif[Base.Make], exif[Base.Model] = "Vipsgate", "Demo Phone"
    exif[Base.DateTime] = "2024:06:21 21:47:00"
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = exif[Base.DateTime]
    place = exif.get_ifd(IFD.GPSInfo)  # Peggys Cove, Nova Scotia; degrees, minutes, seconds
    place[GPS.GPSLatitudeRef], place[GPS.GPSLatitude] = "N", (44.0, 29.0, 30.5)
    place[GPS.GPSLongitudeRef], place[GPS.GPSLongitude] = "W", (63.0, 55.0, 6.6)
    sideways = lighthouse().rot270()
    sideways.set_type(pyvips.GValue.blob_type, "exif-data", exif.tobytes())
    sideways.set_type(pyvips.GValue.gint_type, "orientation", 6)  # turn right by 90 degrees
    return sideways


def wide() -> Image:
    """The aurora's numbers read as Display P3: greens that sRGB cannot say."""
    import pyvips

    picture = aurora()
    profile = pyvips.Image.profile_load("p3")
    picture.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return picture


def cmyk() -> Image:
    """The dunes as a printer sends them: four bands of ink and their profile."""
    return dunes().icc_transform("cmyk", input_profile="srgb", intent="perceptual")


def notes() -> str:
    """The text of a file that is no picture."""
    return (
        "This is not a picture.\n\n"
        "Fetched plainly, a file like this one is served as it is.\n"
        "Asked to become a thumbnail, it is refused, and the answer says why.\n"
    )

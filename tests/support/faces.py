"""Drawn faces, which a detector takes for real ones."""

from PIL import Image, ImageDraw, ImageFilter


def face(side: int) -> Image.Image:
    """A face from the front, on nothing."""
    image = Image.new("RGBA", (400, 480), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((40, 0, 360, 320), fill="#3a2a1c")  # hair
    draw.ellipse((70, 50, 330, 440), fill="#d9a88a")
    draw.ellipse((110, 60, 290, 200), fill="#e2b598")
    for eye in (140, 260):
        draw.arc((eye - 38, 165, eye + 38, 215), 200, 340, fill="#3a2a1c", width=9)
        draw.ellipse((eye - 27, 205, eye + 27, 233), fill="#f4f0ea")
        draw.ellipse((eye - 13, 205, eye + 13, 233), fill="#33241a")
    draw.polygon(((193, 215), (180, 298), (220, 298), (207, 215)), fill="#cc9877")
    draw.ellipse((180, 285, 196, 300), fill="#8c5f48")
    draw.ellipse((204, 285, 220, 300), fill="#8c5f48")
    draw.ellipse((152, 335, 248, 378), fill="#a8483e")
    draw.rectangle((160, 354, 240, 357), fill="#6d2a26")
    image = image.filter(ImageFilter.GaussianBlur(3))
    return image.resize((side * 5 // 6, side))


def with_faces(
    size: tuple[int, int], *places: tuple[int, float, float], ground: str = "#6a7f92"
) -> Image.Image:
    """A plain picture with faces: the height of each, and its middle in parts of the sides."""
    image = Image.new("RGB", size, ground)
    for side, across, down in places:
        one = face(side)
        corner = int(across * size[0] - one.width / 2), int(down * size[1] - one.height / 2)
        image.paste(one, corner, one)
    return image

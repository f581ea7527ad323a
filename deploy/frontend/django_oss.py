"""A Django template tag: pictures of a bucket by URLs in OSS's grammar. No dependencies but Django.

Put it into an app as ``templatetags/oss.py``, and into the settings the bucket's URL::

    OSS_BASE = "https://BUCKET.oss-cn-hangzhou.aliyuncs.com"  # or "http://HOST:8080/BUCKET"

    {% load oss %}
    {% oss_img photo.key alt=photo.title width=800 height=600 format="webp" sizes="50vw" %}
    <a href="{% oss_url photo.key process='style/card' %}">

A key is written as it is, not encoded.
"""

from urllib.parse import quote

from django import template
from django.conf import settings
from django.utils.html import format_html

register = template.Library()

WIDTHS = "320,480,640,960,1280,1920"  # `vipsgate srcset KEY --json` has those of one picture
FITS = {"cover": "fill", "contain": "pad", "fill": "fixed", "inside": "lfit", "outside": "mfit"}
# auto is vipsgate's, not OSS's
FORMATS = ("jpg", "png", "webp", "avif", "gif", "bmp", "tiff", "heic", "src", "auto")


def _integer(name, value, most):
    number = round(float(value))
    if not 1 <= number <= most:
        raise ValueError(f"{name}: {value} is not from 1 to {most}")
    return number


def _process(process="", width=None, height=None, fit="cover", quality=None, format=None):
    """The value of x-oss-process; ``process`` is what is done before."""
    if fit not in FITS or (format and format not in FORMATS):
        raise ValueError(f"fit: {fit}, format: {format}: expects {', '.join((*FITS, *FORMATS))}")
    sides = {"w": width, "h": height}
    resize = [f"{key}_{_integer(key, side, 16384)}" for key, side in sides.items() if side]
    if len(resize) == 2:  # one side alone has no box to fit into
        resize.insert(0, f"m_{FITS[fit]}")
    steps = [f"resize,{','.join(resize)}"] if resize else []
    steps += [f"quality,Q_{_integer('quality', quality, 100)}"] if quality else []
    steps += [f"format,{format}"] if format else []
    return "|".join(filter(None, [process, f"image/{'/'.join(steps)}" if steps else ""]))


@register.simple_tag
def oss_url(key, **operations):
    """The URL of a picture; operations are width, height, fit, quality, format and process."""
    if {".", ".."} & set(key.split("/")):
        raise ValueError(f"{key}: no URL leads to this key")
    text = _process(**operations)
    query = f"?x-oss-process={quote(text)}" if text else ""
    return f"{settings.OSS_BASE.rstrip('/')}/{quote(key)}{query}"


@register.simple_tag
def oss_img(key, alt="", width=None, height=None, sizes="100vw", widths=WIDTHS, **operations):
    """An <img> in several widths, of the shape that width and height give it."""
    shape = float(height) / float(width) if width and height else None
    rows = []
    for one in (int(word) for word in widths.split(",")):
        high = max(1, round(one * shape)) if shape else None
        rows.append(f"{oss_url(key, width=one, height=high, **operations)} {one}w")
    size = format_html(' width="{}" height="{}"', width, height) if shape else ""
    return format_html(
        '<img src="{}" srcset="{}" sizes="{}"{} alt="{}" loading="lazy">',
        *(rows[-1].rpartition(" ")[0], ", ".join(rows), sizes, size, alt),
    )

"""Pictures by description; see :mod:`support.sources`."""

from support.sources import (  # noqa: F401
    _prepared,
    answered,
    described,
    encoded,
    formats,
    header,
    make_context,
    parse,
    photo,
    picture,
    pixels,
    planned,
    psnr,
    rendered,
    run,
    table,
    transformed,
)

"""``vipsgate render``: runs the pipeline of the server on one file, without HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import click

from ..errors import OssError
from ..settings import SettingsError, load
from .shared import CONFIG, Usage


@click.command("render")
@click.argument("src", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("dst", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--process", "text", required=True, metavar="TEXT", help="image/resize,w_400")
@click.option("--explain", is_flag=True, help="Print the plan as JSON instead of rendering.")
@click.option("--accept", default="", metavar="TEXT", help="For format,auto: image/avif,image/webp")
@CONFIG
def command(
    src: Path, dst: Path | None, text: str, explain: bool, accept: str, config: Path | None
) -> None:
    """Process the picture or video SRC and write the result to DST, without a server.

    Objects of watermarks are read from the folder of SRC.
    """
    from .. import explain as explained
    from .. import transform
    from ..image import process

    if (dst is None) is not explain:
        raise click.UsageError("give DST, or --explain instead of it")
    try:
        settings = load(config, {})
        limits, rendering = settings.limits, settings.image
        parsed = process.parse(text, limits)
        if explain and parsed.snapshot:
            raise click.UsageError("--explain is for pictures")
        with src.open("rb") as file:
            if dst is None:
                plan = explained(
                    file.fileno(), text, accept=accept, limits=limits, rendering=rendering
                )
                click.echo(json.dumps(plan, indent=2))
                return
            objects = _objects(src.parent, parsed.needs())
            picture = transform(
                file.fileno(),
                text,
                objects=objects,
                accept=accept,
                limits=limits,
                rendering=rendering,
            )
        _replace(dst, picture.data)
        if picture.choice:
            click.echo(f"quality searched for: {picture.choice}", err=True)
        if picture.missing:
            click.echo(f"no font has {picture.missing} of the characters", err=True)
        if picture.notes:
            click.echo(f"not followed exactly:  {'; '.join(picture.notes)}", err=True)
    except SettingsError as error:
        raise Usage(str(error)) from None
    except (OssError, OSError, RuntimeError) as error:
        code = f"{error.code}: " if isinstance(error, OssError) else ""
        raise click.ClickException(f"{code}{error}") from None


def _objects(folder: Path, keys: Iterable[str]) -> dict[str, bytes]:
    """Return the files of these names, without those that do not exist."""
    objects = {}
    for key in keys:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            if "\0" not in key:
                objects[key] = (folder / key).read_bytes()
    return objects


def _replace(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, 0o644)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise

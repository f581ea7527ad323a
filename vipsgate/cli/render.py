"""``vipsgate render``: the pipeline of the server on one file, without HTTP."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
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
@CONFIG
def command(src: Path, dst: Path | None, text: str, explain: bool, config: Path | None) -> None:
    """Process the picture or video SRC into DST: the same pipeline, without HTTP.

    Objects of watermarks are looked for in the folder of SRC.
    """
    from ..image import plan, process, reports
    from ..image import render as pixels
    from ..image.formats import probe
    from ..image.prepared import Overlay, RenderContext
    from ..image.video import decode
    from ..worker import fontfiles

    if (dst is None) is not explain:
        raise click.UsageError("give DST, or --explain instead of it")
    try:
        settings = load(config, {})
        pixels.prepare()
        found = fontfiles.find(settings.image.fonts_dir)
        found.install()
        asked = process.parse(text, settings.limits)
        if asked.snapshot:
            if not dst:
                raise click.UsageError("--explain is for pictures")
            context, never = RenderContext(settings.limits, settings.image, found.fonts), bool
            with src.open("rb") as file:
                wanted = file.fileno(), asked.snapshot
                _replace(dst, lambda made: decode.answer(*wanted, made, context, never))
            return
        source = probe.probe(src.read_bytes())
        made = plan.make(source.header, asked.actions, settings.limits, settings.image)
        beside = {key: Overlay(key, (src.parent / key).read_bytes) for key in asked.needs()}
        context = RenderContext(settings.limits, settings.image, found.fonts, objects=beside)
        if explain:
            click.echo(json.dumps({"process": str(asked), **made.explain()}, indent=2))
        elif dst and asked.answer:
            said = reports.ANSWERS[asked.answer](source, context)
            _replace(dst, lambda descriptor: os.write(descriptor, said))
        elif dst:
            _replace(dst, lambda descriptor: pixels.render(source, made, descriptor, context))
            if missing := found.fonts.missing(asked.writes()):
                click.echo(f"no font has {missing} of the characters", err=True)
    except SettingsError as error:
        raise Usage(str(error)) from None
    except (OssError, OSError, RuntimeError) as error:
        code = f"{error.code}: " if isinstance(error, OssError) else ""
        raise click.ClickException(f"{code}{error}") from None


def _replace(path: Path, write: Callable[[int], object]) -> None:
    """Write a file whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        write(descriptor)
        os.fchmod(descriptor, 0o644)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise
    finally:
        os.close(descriptor)

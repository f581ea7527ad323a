"""``vipsgate check``: tries everything that vipsgate needs on this machine, and reports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson
from pydantic import ValidationError

from ..settings import Settings, SettingsError, load
from .shared import CONFIG, Usage

if TYPE_CHECKING:
    from .findings import Finding

NICE = 10  # added to the niceness of a check that a server has started


@click.command("check")
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each finding.")
@click.option("--of-server", is_flag=True, hidden=True)
def command(config: Path | None, as_json: bool, of_server: bool) -> None:
    """Report what works on this machine; exit with 1 if something that is promised does not.

    A check that a server has started reads its settings from standard input, because flags are in
    no file, and has less priority than the server's renderers.
    """
    from .findings import findings

    try:
        if of_server:
            os.nice(NICE)
            settings = Settings.model_validate_json(sys.stdin.buffer.read())
        else:
            settings = load(config, {})
        failed = (_print_json if as_json else _print_table)(findings(settings))
    except (SettingsError, ValidationError) as error:
        raise Usage(str(error)) from None
    sys.exit(failed)


def _print_json(results: Iterable[Finding]) -> bool:
    failed = False
    for finding in results:
        failed |= finding.works is False
        click.echo(orjson.dumps(asdict(finding)).decode())
        sys.stdout.flush()  # so that the reader sees the progress
    return failed


def _print_table(results: Iterable[Finding]) -> bool:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "works", "detail")
    failed = False
    for finding in results:
        failed |= finding.works is False
        works = {True: "yes", False: "NO", None: "absent"}[finding.works]
        table.add_row(finding.what, works, finding.detail)
    Console(markup=False).print(table)  # a detail may contain brackets
    return failed

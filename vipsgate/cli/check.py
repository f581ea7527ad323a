"""``vipsgate check``: what works here."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..settings import SettingsError, load
from .shared import CONFIG, Usage


@click.command("check")
@CONFIG
def command(config: Path | None) -> None:
    """Say what works here; exit with 1 when something promised does not."""
    from rich.console import Console
    from rich.table import Table

    from .findings import findings

    table = Table("what", "works", "detail")
    failed = False
    try:
        for finding in findings(load(config, {})):
            failed |= finding.works is False
            works = {True: "yes", False: "NO", None: "absent"}[finding.works]
            table.add_row(finding.what, works, finding.detail)
    except SettingsError as error:
        raise Usage(str(error)) from None
    Console(markup=False).print(table)  # a detail may have brackets
    sys.exit(failed)

"""The commands, one module each; ``vipsgate --help`` lists them.

RULE: reads the command line and the configuration, and calls other packages, which do the work.
"""

from __future__ import annotations

import click

from .. import __version__
from . import bucket, check, demo, diff, emulate, render, serve, sign, srcset


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vipsgate")
def main() -> None:
    """A self-hosted image edge server that speaks Alibaba Cloud OSS Image Processing."""


for module in (serve, demo, render, sign, srcset, bucket, check, diff, emulate):
    main.add_command(module.command)

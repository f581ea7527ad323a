"""``python -m vipsgate``: the command line."""

from .cli import main

main()

"""``python -m vipsgate.demo FOLDER``: make the folder with the demo bucket in it."""

import sys
from pathlib import Path

from . import make

if __name__ == "__main__":
    make(Path(sys.argv[1]))

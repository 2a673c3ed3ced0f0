"""Manifests and secrets.

python -m tools.cluster               writes the manifests that are made from the code; `./bazaar check` tells when they are stale
python -m tools.cluster secrets DIR   makes the secrets of a cluster (DIR/secrets.yaml) and of compose (DIR/compose.env), once
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from tools.cluster import files, vault


def main(arguments: Sequence[str]) -> int:
    """Does what the command line asks for; returns the exit code."""
    match list(arguments):
        case []:
            files.write()
        case ["secrets", folder]:
            vault.make(Path(folder))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

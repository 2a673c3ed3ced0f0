"""`python -m tools.sample [DIRECTORY]` writes the sample that the tests replay."""

import sys
from pathlib import Path

from tools import ROOT
from tools.sample.files import write_sample

if __name__ == "__main__":
    write_sample(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests" / "data" / "sample")

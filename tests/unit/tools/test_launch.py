"""How the shop's programs are started."""

import os
import subprocess
import sys

from tools.servers import Program


def test_a_program_that_is_woken_makes_nobody_make_room():
    ask = [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"]
    done = subprocess.run(Program(ask).command(), capture_output=True, text=True, check=True)

    assert int(done.stdout) == os.SCHED_BATCH

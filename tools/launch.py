"""Becomes another program that dies with the process that started it.

Run as a script, `python -I -S launch.py SIGNAL PARENT USER PROGRAM [ARGUMENT...]`: the kernel sends SIGNAL to the program when PARENT dies,
even by SIGKILL. USER is `same`, or `unprivileged` for programs that refuse to run as root. A process of its own rather than a
`preexec_fn`, which is unsafe once the parent has threads.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522
NOBODY = 65534
"""PostgreSQL wants a uid that has a line in /etc/passwd; this one has it everywhere."""

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> None:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    if _libc.prctl(option, *padded):
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def leave_root() -> None:
    """Turns root into `nobody` that may still reach files below root's own directories, and nothing else.

    The home and the virtual environment often lie under /root (0700). Opening those directories to the world, as the wheel's own start
    does, would be worse than two capabilities.
    """
    kept = 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH
    _prctl(PR_SET_KEEPCAPS, 1)
    with suppress(OSError):
        # Else access(2), which OpenSearch asks before it opens anything, knows of no capabilities. A container may not grant this.
        _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    if _libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capset")
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def main(arguments: list[str]) -> None:
    """Execs the program; comes back only by an exception."""
    signal_number, parent, user, *program = arguments
    if user == "unprivileged" and os.geteuid() == 0:
        leave_root()
    with suppress(OSError):
        # Whoever wakes another process here goes on with what it is at, instead of making room at once: with both cores busy, a tenth of a
        # second less for an order, for a third of the switches. A container may not grant this.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    # After the change of user: it clears the death signal.
    _prctl(PR_SET_PDEATHSIG, int(signal_number))
    if os.getppid() != int(parent):
        sys.exit("the starting process has gone")
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])

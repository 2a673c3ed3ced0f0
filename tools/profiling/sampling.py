"""py-spy beside the workers while the load is on."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tools import ExpectedFailure
from tools.loading.measures import ThreadMeter
from tools.profiling.samples import Sample, read_samples
from tools.servers import Program

PY_SPY = Path(sys.executable).parent / "py-spy"
RATE = 50
"""Samples of each thread a second."""
POLL = 0.02
READY = "Sampling process"
READY_SECONDS = 30.0


class Sampler:
    """Samples one worker without ever stopping it."""

    def __init__(self, worker: str, pid: int, folder: Path) -> None:
        self.worker = worker
        self.samples: list[Sample] = []
        self.threads: dict[int, float] = {}
        """CPU seconds of the worker's threads meanwhile, by the kernel's id."""
        self._worker_pid = pid
        self._raw, self._log = folder / f"{worker}.raw", folder / f"{worker}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._meter: ThreadMeter | None = None

    @property
    def name(self) -> str:
        return f"sampler of {self.worker}"

    @property
    def pid(self) -> int:
        """Of py-spy, once started."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def errors(self) -> int:
        """Samples that failed, since the worker ran on while its stack was read."""
        match = re.search(r"Errors: (\d+)", self._log.read_text())
        return int(match[1]) if match else 0

    async def start(self) -> None:
        """Returns when it samples.

        Raises:
            ExpectedFailure: it can't.
        """
        # Without --idle, threads count only while the kernel has them running or ready to run.
        arguments = ["--pid", str(self._worker_pid), "--nonblocking", "--threads", "--rate", str(RATE)]
        output = ["--nolineno", "--full-filenames", "--format", "raw", "--output", str(self._raw)]
        program = Program([str(PY_SPY), "record", *arguments, *output], stop_signal=signal.SIGINT, death_signal=signal.SIGKILL)
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(*program.command(), **program.options(log))
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                while READY not in self._log.read_text() and self.is_running:
                    await asyncio.sleep(POLL)
        if READY not in self._log.read_text():
            raise ExpectedFailure(complaint(self.worker, self._log.read_text()))
        self._meter = ThreadMeter(self._worker_pid)

    async def stop(self) -> None:
        """Ends the sampling and reads what it saw."""
        if self._process is None:
            return
        if self._meter:
            self.threads = self._meter.used()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        await self._process.wait()
        if self._meter:
            self.samples = read_samples(self._raw.read_text())


@asynccontextmanager
async def sampling(samplers: Sequence[Sampler]) -> AsyncIterator[Mapping[str, int]]:
    """Has them at work inside the block; yields their processes by name.

    Raises:
        ExpectedFailure: py-spy isn't there, or can't sample.
    """
    if not PY_SPY.exists():
        raise ExpectedFailure("py-spy, which takes the samples, is not installed here; ./bazaar profile installs it")
    try:
        await asyncio.gather(*(sampler.start() for sampler in samplers))
        yield {sampler.name: sampler.pid for sampler in samplers}
    finally:
        await asyncio.gather(*(sampler.stop() for sampler in samplers))


def complaint(worker: str, said: str) -> str:
    """Why a worker can't be sampled and what to do, from what py-spy said."""
    if "Permission Denied" in said:
        return f"py-spy may not look into {worker}; run this as root, or allow it with `sysctl kernel.yama.ptrace_scope=0`"
    return f"py-spy cannot sample {worker}: {said.strip().splitlines()[0] if said.strip() else 'it says nothing'}"

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tools import ExpectedFailure
from tools.loading.measures import ThreadMeter
from tools.profiling.sampling import Sampler, complaint, sampling

BUSY = "import threading, time\ndef burn():\n    print(flush=True)\n    while True: time.process_time()\nburn()"
BUSY_SECONDS = 0.2


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Process]]]:
    """Starts processes that end with the test."""
    started: list[Process] = []

    async def start(*argv: str) -> Process:
        started.append(await asyncio.create_subprocess_exec(*argv, stdout=PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        await process.wait()


async def test_a_process_is_sampled_while_the_block_lasts(start, tmp_path):
    process = await start(sys.executable, "-c", BUSY)
    await process.stdout.readline()
    sampler = Sampler("worker-1", process.pid, tmp_path)
    async with sampling([sampler]) as pids:
        meter = ThreadMeter(process.pid)
        while meter.used()[process.pid] < BUSY_SECONDS:
            await asyncio.sleep(0.01)

    assert pids == {"sampler of worker-1": sampler.pid}
    assert {(sample.thread, sample.stack) for sample in sampler.samples} == {
        (process.pid, ("MainThread", "<module> (<string>)", "burn (<string>)"))
    }
    assert sampler.threads.keys() == {process.pid}
    assert sampler.threads[process.pid] >= BUSY_SECONDS


async def test_one_that_cannot_be_sampled_ends_the_sampling_of_the_others(start, tmp_path):
    processes = [await start(sys.executable, "-c", BUSY), await start("sleep", "60")]
    samplers = [Sampler(f"worker-{number}", process.pid, tmp_path) for number, process in enumerate(processes, 1)]
    with pytest.raises(ExpectedFailure) as failure:
        async with sampling(samplers):
            pass

    assert str(failure.value) == "py-spy cannot sample worker-2: Error: Failed to find python version from target process"
    assert [sampler.is_running for sampler in samplers] == [False, False]


@pytest.mark.parametrize(
    ("said", "errors"),
    [("py-spy> Wrote raw flamegraph data to 'worker-1.raw'. Samples: 198 Errors: 12\n", 12), ("py-spy> Sampling process 200 times\n", 0)],
)
def test_failed_samples_are_counted_as_py_spy_says(said, errors, tmp_path):
    (tmp_path / "worker-1.log").write_text(said)

    assert Sampler("worker-1", 1, tmp_path).errors == errors


async def test_without_py_spy_there_is_a_plain_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.profiling.sampling.PY_SPY", tmp_path / "py-spy")
    with pytest.raises(ExpectedFailure) as failure:
        async with sampling([]):
            pass

    assert str(failure.value) == "py-spy, which takes the samples, is not installed here; ./bazaar profile installs it"


def test_who_may_not_sample_is_told_what_to_do():
    said = "Permission Denied: Try running again with elevated permissions by going 'sudo env \"PATH=$PATH\" !!'\n"

    assert complaint("worker-1", said) == (
        "py-spy may not look into worker-1; run this as root, or allow it with `sysctl kernel.yama.ptrace_scope=0`"
    )


def test_what_py_spy_says_is_passed_on_and_so_is_its_silence():
    assert complaint("worker-1", "Error: No such process\n\nCaused by:\n") == "py-spy cannot sample worker-1: Error: No such process"
    assert complaint("worker-1", "") == "py-spy cannot sample worker-1: it says nothing"

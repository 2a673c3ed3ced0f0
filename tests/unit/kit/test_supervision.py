import asyncio

import pytest

from services.kit.supervision import keep_running


async def test_crashed_work_is_run_again_until_it_ends():
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) < 3:
            raise RuntimeError

    await keep_running("reader", work, first_pause=0.001)

    assert runs == [0, 1, 2]


async def test_a_crash_is_logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]):
    crashes = iter([RuntimeError("gone"), None])

    async def work() -> None:
        if error := next(crashes):
            raise error

    await keep_running("reader", work, first_pause=0.001)

    assert "background work crashed" in caplog.text + capsys.readouterr().out


async def test_cancelled_work_stays_cancelled():
    running = asyncio.Event()

    async def work() -> None:
        running.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_running("reader", work))
    await running.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

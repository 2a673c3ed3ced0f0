"""The time that work may take."""

from __future__ import annotations

import asyncio

import pytest

from services.kit.errors import DeadlineExceeded
from services.kit.rpc.calls import within


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_work_in_time_is_answered():
    assert await within(1.0, asyncio.sleep(0, "done")) == "done"


async def test_work_that_takes_longer_is_cancelled():
    work = asyncio.ensure_future(forever())

    with pytest.raises(DeadlineExceeded, match=r"It took longer than 0\.01 s\."):
        await within(0.01, asyncio.wait_for(work, None))

    assert work.cancelled()


async def test_who_was_late_may_go_on():
    with pytest.raises(DeadlineExceeded):
        await within(0, forever())

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_is_cancelled_meanwhile_hears_of_that():
    task = asyncio.ensure_future(within(60, forever()))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_when_it_is_late_hears_of_that():
    task: asyncio.Task[None]

    async def cancelled_as_its_time_ends() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            task.cancel()
            raise

    task = asyncio.ensure_future(within(0.001, cancelled_as_its_time_ends()))

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_of_late_work_is_told():
    async def fails_when_cancelled() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            raise ValueError("spilled") from None

    with pytest.raises(ValueError, match="spilled"):
        await within(0, fails_when_cancelled())

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0

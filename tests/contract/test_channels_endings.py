"""A call that is cancelled, comes too late or meets a drain ends over a socket as it does inside a process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest

from services.kit.rpc import calls
from services.kit.rpc.status import reason_of
from tests.contract.echo import Served, failure, pb
from tests.serving import GRPC_TOLERANCE


def never_answering(echo: Served) -> tuple[asyncio.Event, asyncio.Event]:
    """Has the service take calls and answer none; set when one has begun, and when it has been cancelled."""
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    echo.service.echo = wait
    return started, cancelled


async def test_a_caller_that_cancels_cancels_the_handler(echo: Served):
    started, cancelled = never_answering(echo)
    call = echo.stub().Echo(pb.EchoRequest())
    await started.wait()
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_a_cancelled_task_cancels_the_handler_it_waits_for(echo: Served):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def ask() -> None:
        await echo.stub().Echo(pb.EchoRequest())

    echo.service.echo = wait
    task = asyncio.create_task(ask())
    await started.wait()
    task.cancel()

    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_a_reader_that_leaves_a_stream_cancels_its_handler(echo: Served):
    cancelled = asyncio.Event()

    async def forever(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield pb.EchoResponse(text="first")
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    echo.service.repeat = forever
    call = echo.stub().Repeat(pb.EchoRequest())
    first = await call.read()
    call.cancel()

    async with asyncio.timeout(5):
        await cancelled.wait()
    assert first.text == "first"


async def test_a_call_past_its_deadline_fails_and_cancels_the_handler(echo: Served):
    cancelled = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    echo.service.echo = wait
    error = await failure(echo.stub().Echo(pb.EchoRequest(), timeout=0.05))

    async with asyncio.timeout(5):
        await cancelled.wait()
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_deadline_is_passed_on_and_reduced(echo: Served):
    seen: list[float | None] = []

    async def ask_again(request: Any, context: Any) -> Any:
        seen.append(calls.current().remaining())
        if len(seen) < 2:
            await asyncio.sleep(0.5)
            return await echo.stub("checkout").Echo(pb.EchoRequest(), timeout=60)
        return pb.EchoResponse()

    echo.service.echo = ask_again
    await echo.stub().Echo(pb.EchoRequest(), timeout=2)
    outer, inner = seen

    assert outer is not None
    assert inner is not None
    assert outer <= 2 * GRPC_TOLERANCE
    assert 1 < inner <= 1.5 * GRPC_TOLERANCE


async def test_a_call_without_any_deadline_gets_ten_seconds(echo: Served):
    seen: list[float | None] = []

    async def note(request: Any, context: Any) -> Any:
        seen.append(calls.current().remaining())
        return pb.EchoResponse()

    echo.service.echo = note
    await echo.stub().Echo(pb.EchoRequest())

    assert seen[0] is not None
    assert 9 < seen[0] <= 10 * GRPC_TOLERANCE


@pytest.mark.parametrize(("caller", "most"), [("edge", 30), ("checkout", 90)])
async def test_of_a_client_thirty_seconds_are_enough_and_of_a_service_what_it_says(echo: Served, caller: str, most: float):
    seen: list[float | None] = []

    async def note(request: Any, context: Any) -> Any:
        seen.append(calls.current().remaining())
        return pb.EchoResponse()

    echo.service.echo = note
    await echo.stub(caller).Echo(pb.EchoRequest(), timeout=90)

    assert seen[0] is not None
    assert most - 1 < seen[0] <= most * GRPC_TOLERANCE


async def test_a_drain_lets_calls_finish_and_takes_no_new_ones(echo: Served):
    started, may_finish = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        started.set()
        await may_finish.wait()
        return pb.EchoResponse(text="finished")

    echo.service.echo = wait
    running = asyncio.ensure_future(echo.stub().Echo(pb.EchoRequest()))
    await started.wait()
    stopping = asyncio.create_task(echo.stop(5))
    await asyncio.sleep(0.05)
    refused = await failure(echo.stub().Echo(pb.EchoRequest()))
    may_finish.set()
    await stopping

    assert ((await running).text, refused.code()) == ("finished", grpc.StatusCode.UNAVAILABLE)


async def test_a_drain_cancels_what_outlasts_its_grace(echo: Served):
    started, cancelled = never_answering(echo)
    running = asyncio.ensure_future(failure(echo.stub().Echo(pb.EchoRequest())))
    await started.wait()
    await echo.stop(0.05)
    error = await running

    async with asyncio.timeout(5):
        await cancelled.wait()
    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_work_that_outlives_its_caller_goes_on(echo: Served):
    started, may_finish = asyncio.Event(), asyncio.Event()
    finished: list[float | None] = []

    async def work() -> Any:
        started.set()
        await may_finish.wait()
        finished.append(calls.current().remaining())
        return pb.EchoResponse()

    async def place(request: Any, context: Any) -> Any:
        return await calls.outlive_caller(work(), timedelta(seconds=30))

    echo.service.echo = place
    call = echo.stub().Echo(pb.EchoRequest(), timeout=5)
    await started.wait()
    call.cancel()
    [left] = calls.outliving()
    may_finish.set()
    await left

    assert finished[0] is not None
    assert 20 < finished[0] <= 30


async def test_a_caller_hears_at_once_that_work_was_cut_short(echo: Served):
    async def place(request: Any, context: Any) -> Any:
        work = asyncio.create_task(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(work.cancel)
        return await calls.outlive_caller(work, timedelta(seconds=30))

    echo.service.echo = place
    error = await failure(echo.stub().Echo(pb.EchoRequest(), timeout=5))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")


async def test_time_remaining_counts_down(echo: Served):
    call = echo.stub().Repeat(pb.EchoRequest(count=1), timeout=5)
    before = time.monotonic()
    left = call.time_remaining()
    call.cancel()

    assert left is not None
    assert 5 - (time.monotonic() - before) - 0.1 <= left <= 5

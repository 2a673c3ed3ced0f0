"""A stream can be resumed, and says why it ends: over a socket as inside a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from services.kit.errors import Unavailable
from services.kit.rpc import streams
from services.kit.rpc.calls import LAST_EVENT_ID
from services.kit.rpc.status import reason_in, reason_of
from tests.contract.echo import Served, pb


async def read(stream: Any) -> tuple[list[Any], grpc.aio.AioRpcError | None]:
    """What a stream sends, and how it fails."""
    messages: list[Any] = []
    try:
        async for message in stream:
            messages.append(message)
    except grpc.aio.AioRpcError as error:
        return messages, error
    return messages, None


async def whence(request: Any, context: Any) -> AsyncIterator[Any]:
    yield pb.WatchResponse(text=request.last_event_id)


@pytest.mark.parametrize("field", ["", "3"])
async def test_the_header_says_what_came_last(echo: Served, field: str):
    echo.service.watch = whence

    messages, _ = await read(echo.stub().Watch(pb.WatchRequest(last_event_id=field), metadata=[(LAST_EVENT_ID, "7")]))

    assert [message.text for message in messages] == ["7"]


async def test_without_the_header_the_field_does(echo: Served):
    echo.service.watch = whence

    messages, _ = await read(echo.stub().Watch(pb.WatchRequest(last_event_id="3")))

    assert [message.text for message in messages] == ["3"]


async def test_a_failure_in_mid_stream_is_the_last_message_and_the_status(echo: Served):
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield pb.WatchResponse(text="first")
        raise Unavailable("gone")

    echo.service.watch = watch
    [first, last], error = await read(echo.stub().Watch(pb.WatchRequest()))

    assert (first.text, first.HasField("error")) == ("first", False)
    assert (last.error.code, last.error.message, reason_in(last.error)) == (14, "gone", "UNAVAILABLE")
    assert error is not None
    assert (error.code(), error.details(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "gone", "UNAVAILABLE")


async def test_a_failure_before_the_first_message_is_the_status_alone(echo: Served):
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        raise Unavailable("gone")
        yield

    echo.service.watch = watch
    messages, error = await read(echo.stub().Watch(pb.WatchRequest()))

    assert (messages, error and error.code()) == ([], grpc.StatusCode.UNAVAILABLE)


async def test_what_a_stream_tells_of_a_fault_gives_nothing_away(echo: Served):
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield pb.WatchResponse(text="first")
        raise ValueError("secret")

    echo.service.watch = watch
    [_, last], _ = await read(echo.stub().Watch(pb.WatchRequest()))

    assert (last.error.code, reason_in(last.error), "secret" in str(last)) == (13, "INTERNAL", False)


async def test_a_stream_can_be_open_before_there_is_anything_to_send(echo: Served):
    told = asyncio.Event()

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        await streams.begin(context)
        await told.wait()
        yield pb.WatchResponse(text="first")

    echo.service.watch = watch
    stream = echo.stub().Watch(pb.WatchRequest())
    async with asyncio.timeout(5):
        await stream.initial_metadata()
    told.set()
    messages, error = await read(stream)

    assert ([message.text for message in messages], error) == (["first"], None)


async def test_a_failure_of_a_stream_that_is_open_is_told_in_it(echo: Served):
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        await streams.begin(context)
        await streams.begin(context)
        raise Unavailable("gone")
        yield

    echo.service.watch = watch
    [only], _ = await read(echo.stub().Watch(pb.WatchRequest()))

    assert only.error.code == 14

"""Calls of one method that a process makes in the same round of the event loop go to another process as one.

A call over a socket costs the two ends, and each proxy between, several times what its work does; a batch of orders makes dozens at once.
To handler and caller nothing changes: each call has its own user, deadline, trace, request and outcome. One thing does not reach so far:
a handler hears that its caller has gone only when all callers of the bundle have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from bazaar.rpc.v1 import bundle_pb2 as pb
from services.kit.rpc.bundled_call import BundledCall, Metadata, received
from services.kit.rpc.calls import BUNDLE, CALLER, FORWARDED_CERTIFICATE
from services.kit.rpc.exchange import Exchange
from services.kit.rpc.identity import CallerOf
from services.kit.rpc.inprocess import InProcessServer
from services.kit.rpc.server import MAX_MESSAGE_BYTES, Registry

if TYPE_CHECKING:
    from grpc.aio import Channel

MOST_CALLS = 100
MOST_BYTES = 2**20
"""Of a bundle, and of a message of answers, unless one alone has more."""

_ROOM = 1024
"""Bytes of a message around its only answer."""


class Bundler:
    """Stands in for a channel's unary method.

    Args:
        serialize: makes bytes of a request; deserialize: makes a response of bytes.
    """

    def __init__(self, channel: Channel, path: str, serialize: Any, deserialize: Any) -> None:
        self._alone: Callable[..., Any] = channel.unary_unary(path)
        self._together = channel.unary_stream(path, pb.Bundle.SerializeToString, pb.BundleAnswer.FromString)
        self._serialize = serialize
        self._deserialize = deserialize
        self._waiting: list[BundledCall] = []
        self._under_way: set[asyncio.Task[None]] = set()

    def __call__(self, request: Any, *, timeout: float, metadata: Metadata) -> BundledCall:
        call = BundledCall(self._serialize(request), timeout, metadata, self._deserialize)
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting.append(call)
        return call

    def _send(self) -> None:
        calls, self._waiting = [call for call in self._waiting if not call.done()], []
        for group in _groups(calls, [len(call.request) for call in calls]):
            if len(group) == 1:
                group[0].send_alone(self._alone)
            else:
                task = asyncio.get_running_loop().create_task(self._exchange(group))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)

    async def _exchange(self, calls: Sequence[BundledCall]) -> None:
        bundle = pb.Bundle(
            calls=[
                pb.Bundle.Call(request=call.request, metadata=_sent(call.metadata, without=CALLER), timeout_seconds=call.timeout)
                for call in calls
            ]
        )
        caller = [(key, value) for key, value in calls[0].metadata if key == CALLER]
        longest = max(call.timeout for call in calls)
        stream = self._together(bundle, timeout=longest, metadata=(*caller, (BUNDLE, str(len(calls)))))

        def leave() -> None:
            # What was cancelled is still at work there; what has been answered needs no word.
            if all(call.done() for call in calls) and any(call.cancelled() for call in calls):
                stream.cancel()

        for call in calls:
            call.is_under_way(leave, is_first=call.timeout < longest)
        try:
            async for message in stream:
                for outcome in message.outcomes:
                    calls[outcome.index].settle(outcome)
                leave()
            for call in calls:
                call.fail(grpc.StatusCode.INTERNAL, "The bundle ended without an answer.")
        except grpc.aio.AioRpcError as error:
            for call in calls:
                call.fail(error.code(), error.details() or "")
        finally:
            # Only a channel that is closed, or callers who have all gone, get here with calls that wait.
            for call in calls:
                call.cancel()


class Bundles(grpc.GenericRpcHandler):
    """Answers bundles: each call of one as if it had come alone, its answer as soon as it is there.

    Args:
        caller: tells who sends a bundle; all calls in it are that one's.
    """

    def __init__(self, registry: Registry, caller: CallerOf) -> None:
        self._calls = InProcessServer(registry)
        self._caller = caller

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        if all(key != BUNDLE for key, _ in handler_call_details.invocation_metadata or ()):
            return None
        return grpc.unary_stream_rpc_method_handler(
            partial(self._answers, handler_call_details.method), response_serializer=pb.BundleAnswer.SerializeToString
        )

    async def _answers(self, path: str, request: bytes, context: Any) -> AsyncIterator[pb.BundleAnswer]:
        try:
            bundle = pb.Bundle.FromString(request)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The bundle cannot be read.")
            raise
        caller = self._caller(dict(context.invocation_metadata() or ()), context.peer)
        ended: asyncio.Queue[tuple[int, Exchange]] = asyncio.Queue()
        exchanges = [
            self._calls.begin(path, call.timeout_seconds, _in_name_of(caller, received(call.metadata)), request=call.request)
            for call in bundle.calls
        ]
        for index, exchange in enumerate(exchanges):
            exchange.on_end(lambda exchange, index=index: ended.put_nowait((index, exchange)))
        try:
            left = len(exchanges)
            while left:
                outcomes = [_outcome(*await ended.get())]
                while not ended.empty():
                    outcomes.append(_outcome(*ended.get_nowait()))
                left -= len(outcomes)
                for group in _groups(outcomes, [outcome.ByteSize() for outcome in outcomes]):
                    yield pb.BundleAnswer(outcomes=group)
        finally:
            for exchange in exchanges:
                exchange.cancel()


def _sent(metadata: Metadata, *, without: str = "") -> Iterator[pb.Metadatum]:
    for key, value in metadata:
        if key != without:
            yield pb.Metadatum(key=key, value=value.encode() if isinstance(value, str) else value)


def _in_name_of(caller: str, metadata: Metadata) -> Metadata:
    """What a handler sees: who calls is known of the bundle, whatever a call in it says."""
    return [(CALLER, caller), *((key, value) for key, value in metadata if key not in (CALLER, FORWARDED_CERTIFICATE))]


def _outcome(index: int, exchange: Exchange) -> pb.BundleAnswer.Outcome:
    code, message, response = exchange.code or grpc.StatusCode.UNKNOWN, exchange.details, exchange.response or b""
    if len(response) > MAX_MESSAGE_BYTES - _ROOM:
        code, message, response = grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT: Received message larger than max", b""
    return pb.BundleAnswer.Outcome(
        index=index,
        response=response,
        code=code.value[0],
        message=message,
        initial_metadata=_sent(exchange.initial_metadata or ()),
        trailing_metadata=_sent(exchange.trailing_metadata),
    )


def _groups(items: Sequence[Any], sizes: Sequence[int]) -> Iterator[list[Any]]:
    """The items in their order, a message's worth at a time."""
    group: list[Any] = []
    size = 0
    for item, own in zip(items, sizes, strict=True):
        if group and (len(group) == MOST_CALLS or size + own > MOST_BYTES):
            yield group
            group, size = [], 0
        group.append(item)
        size += own
    if group:
        yield group

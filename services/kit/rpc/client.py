"""What every outgoing call carries, whatever takes it there.

The calling service's identity, the user it works for, the rest of its own deadline, the trace; and a client span around it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any, TypeVar

import grpc
from grpc.aio import AioRpcError, Channel

from services.kit.auth import claims_of
from services.kit.rpc.calls import CALLER, TRACEPARENT, USER, find
from services.kit.rpc.methods import facts_of
from services.kit.rpc.server import SOCKET_OPTIONS
from services.kit.rpc.status import reason_of
from services.kit.telemetry import tracing
from services.kit.telemetry.calls import client_span, finish

DEFAULT_TIMEOUT_SECONDS = 10.0
"""For a call with one response, when neither the caller nor the call it answers has a deadline."""

_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS = 0.05
_CHANNEL_OPTIONS = (
    *SOCKET_OPTIONS,
    # Retries are ours: only of methods that are declared repeatable.
    ("grpc.enable_retries", 0),
    # A worker is back within 2 s; a client must not still be waiting by then.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)

T = TypeVar("T", bound=float | None)
Metadata = Iterable[tuple[str, str | bytes]] | None


def socket_channel(address: str) -> Channel:
    """A channel to `unix:/path.sock` or `host:port`; connects at the first call."""
    return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)


class ClientChannel(Channel):
    """A channel in a service's name.

    Args:
        inner: what takes the calls there.
        caller: the identity of the service that calls.
        callee: the service that is called, for the spans.
        speaks_for_users: whether the policy believes that service about the user; otherwise the user is not sent.
        retries: whether a repeatable call that finds nobody (UNAVAILABLE) is tried again, up to 3 times in all.
    """

    def __init__(self, inner: Channel, caller: str, callee: str, *, speaks_for_users: bool, retries: bool) -> None:
        self._inner = inner
        self._caller = caller
        self._callee = callee
        self._speaks_for_users = speaks_for_users
        self._retries = retries

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool = False
    ) -> Any:
        send = self._inner.unary_unary(method, request_serializer, response_deserializer)
        attempts = _ATTEMPTS if self._retries and facts_of(method).is_repeatable else 1
        return _Unary(send, self._outgoing(method), attempts)

    def unary_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool = False
    ) -> Any:
        return _Stream(self._inner.unary_stream(method, request_serializer, response_deserializer), self._outgoing(method), None)

    def stream_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool = False
    ) -> Any:
        send = self._inner.stream_unary(method, request_serializer, response_deserializer)
        return _Stream(send, self._outgoing(method), DEFAULT_TIMEOUT_SECONDS)

    def stream_stream(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool = False
    ) -> Any:
        return _Stream(self._inner.stream_stream(method, request_serializer, response_deserializer), self._outgoing(method), None)

    def _outgoing(self, method: str) -> _Outgoing:
        return _Outgoing(method, self._caller, self._callee, self._speaks_for_users)

    async def close(self, grace: float | None = None) -> None:
        await self._inner.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> ClientChannel:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Outgoing:
    """What one method's calls have in common."""

    def __init__(self, path: str, caller: str, callee: str, speaks_for_users: bool) -> None:
        self._path = path
        self._identity = (CALLER, caller)
        self._callee = callee
        self._speaks_for_users = speaks_for_users

    def span(self) -> tracing.AnySpan:
        return client_span(self._path, callee=self._callee)

    def metadata(self, span: tracing.AnySpan, given: Metadata) -> tuple[tuple[str, str | bytes], ...]:
        metadata: list[tuple[str, str | bytes]] = [self._identity]
        call = find()
        if call and self._speaks_for_users and call.principal.kind != "service":
            metadata.append((USER, claims_of(call.principal)))
        if traceparent := span.traceparent:
            metadata.append((TRACEPARENT, traceparent))
        return (*metadata, *(given or ()))

    def timeout(self, given: float | None, default: T) -> float | T:
        """The given timeout, but never more than what is left of the call that is being answered."""
        call = find()
        left = call.remaining() if call else None
        if left is None:
            return default if given is None else given
        return left if given is None else min(left, given)


class _Unary:
    def __init__(self, send: Callable[..., Any], outgoing: _Outgoing, attempts: int) -> None:
        self._send = send
        self._outgoing = outgoing
        self._attempts = attempts

    def __call__(self, request: Any, *, timeout: float | None = None, metadata: Metadata = None, **options: Any) -> Any:
        span = self._outgoing.span()
        seconds = self._outgoing.timeout(timeout, DEFAULT_TIMEOUT_SECONDS)
        sent = self._outgoing.metadata(span, metadata)

        call = self._send(request, timeout=seconds, metadata=sent, **options)
        if self._attempts == 1 and not span.is_recording():
            return call
        deadline = time.monotonic() + seconds

        def send_again() -> Any:
            return self._send(request, timeout=max(0.0, deadline - time.monotonic()), metadata=sent, **options)

        return _UnaryCall(call, send_again, span, self._attempts)


class _Stream:
    def __init__(self, send: Callable[..., Any], outgoing: _Outgoing, default_timeout: float | None) -> None:
        self._send = send
        self._outgoing = outgoing
        self._default_timeout = default_timeout

    def __call__(self, request: Any = None, timeout: float | None = None, metadata: Metadata = None, **options: Any) -> Any:
        span = self._outgoing.span()
        seconds = self._outgoing.timeout(timeout, self._default_timeout)
        call = self._send(request, timeout=seconds, metadata=self._outgoing.metadata(span, metadata), **options)
        if span.is_recording():
            call.add_done_callback(partial(_end_soon, span))
        return call


class _UnaryCall(grpc.aio.UnaryUnaryCall[Any, Any]):
    """A call with a span around it, sent again while nobody is there to answer."""

    def __init__(self, call: Any, send_again: Callable[[], Any], span: tracing.AnySpan, attempts: int) -> None:
        self._call = call
        self._send_again = send_again
        self._span = span
        self._attempts_left = attempts - 1

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result().__await__()

    async def _result(self) -> Any:
        try:
            while True:
                try:
                    response = await self._call
                except AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE or not self._attempts_left:
                        raise
                    await self._pause()
                    self._call = self._send_again()
                else:
                    finish(self._span, "OK")
                    return response
        except AioRpcError as error:
            finish(self._span, error.code().name, reason_of(error) or "")
            raise
        except asyncio.CancelledError:
            finish(self._span, "CANCELLED")
            raise
        finally:
            self._span.end()

    async def _pause(self) -> None:
        self._attempts_left -= 1
        longest = _FIRST_PAUSE_SECONDS * 2 ** (_ATTEMPTS - 1 - self._attempts_left)
        await asyncio.sleep(random.uniform(longest / 2, longest))

    def cancel(self) -> bool:
        self._attempts_left = 0
        return self._call.cancel()

    def cancelled(self) -> bool:
        return self._call.cancelled()

    def done(self) -> bool:
        return self._call.done()

    def time_remaining(self) -> float | None:
        return self._call.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.add_done_callback(callback)

    async def initial_metadata(self) -> Any:
        return await self._call.initial_metadata()

    async def trailing_metadata(self) -> Any:
        return await self._call.trailing_metadata()

    async def code(self) -> grpc.StatusCode:
        return await self._call.code()

    async def details(self) -> str:
        return await self._call.details()

    async def wait_for_connection(self) -> None:
        await self._call.wait_for_connection()


def _end_soon(span: tracing.AnySpan, call: Any) -> None:
    asyncio.get_running_loop().create_task(_end(span, call))


async def _end(span: tracing.AnySpan, call: Any) -> None:
    finish(span, (await call.code()).name)
    span.end()

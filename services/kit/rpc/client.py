"""What every outgoing call carries, whatever takes it there.

The calling service's identity, the user it works for, the rest of its own deadline, the trace; and a client span around it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import grpc
from grpc.aio import Channel

from services.kit.auth import claims_of
from services.kit.rpc.bundles import Bundler
from services.kit.rpc.calls import CALLER, TRACEPARENT, USER, Call, find
from services.kit.rpc.client_calls import RepeatedCall, TracedCall
from services.kit.rpc.methods import facts_of
from services.kit.rpc.server import SOCKET_OPTIONS
from services.kit.telemetry import tracing
from services.kit.telemetry.calls import client_span, finish

DEFAULT_TIMEOUT_SECONDS = 10.0
"""For a call with one response, when neither the caller nor the call it answers has a deadline."""

_ATTEMPTS = 3
_CHANNEL_OPTIONS = (
    *SOCKET_OPTIONS,
    # Retries are ours: only of methods that are declared repeatable.
    ("grpc.enable_retries", 0),
    # Until it tries again a channel that found nobody fails every call: never for as long as a repeatable one tries (client_calls). gRPC
    # takes 100 ms at the least, and up to a fifth more.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
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
        is_far: whether it leads to another process: calls that are made together go together (kit.rpc.bundles), and a repeatable one that
            finds nobody (UNAVAILABLE) is tried again, up to 3 times in all.
    """

    def __init__(self, inner: Channel, caller: str, callee: str, *, speaks_for_users: bool, is_far: bool) -> None:
        self._inner = inner
        self._caller = caller
        self._callee = callee
        self._speaks_for_users = speaks_for_users
        self._is_far = is_far

    def unary_unary(
        self, method: str, request_serializer: Any = None, response_deserializer: Any = None, _registered_method: bool = False
    ) -> Any:
        if not self._is_far:
            return _Unary(self._inner.unary_unary(method, request_serializer, response_deserializer), self._outgoing(method), 1)
        send = Bundler(self._inner, method, request_serializer, response_deserializer)
        return _Unary(send, self._outgoing(method), _ATTEMPTS if facts_of(method).is_repeatable else 1)

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
        self._identity: tuple[tuple[str, str | bytes], ...] = ((CALLER, caller),)
        self._callee = callee
        self._speaks_for_users = speaks_for_users

    def begin(self, timeout: float | None, default: T, given: Metadata) -> tuple[tracing.AnySpan, float | T, Metadata]:
        """A call's span, timeout and metadata.

        Args:
            timeout: what the caller gives; never more than what is left of the call that is being answered goes out.
            default: the timeout when there is neither.
            given: the caller's own metadata.
        """
        span, answered = client_span(self._path, callee=self._callee), find()
        sent = self._metadata(span, answered)
        seconds = default if timeout is None else timeout
        if answered and (left := answered.remaining()) is not None:
            seconds = left if timeout is None else min(left, timeout)
        return span, seconds, (*sent, *given) if given else sent

    def _metadata(self, span: tracing.AnySpan, answered: Call | None) -> tuple[tuple[str, str | bytes], ...]:
        metadata = self._identity
        if answered and self._speaks_for_users and answered.principal.kind != "service":
            metadata = (*metadata, (USER, claims_of(answered.principal)))
        return (*metadata, (TRACEPARENT, traceparent)) if (traceparent := span.traceparent) else metadata


class _Unary:
    def __init__(self, send: Callable[..., Any], outgoing: _Outgoing, attempts: int) -> None:
        self._send = send
        self._outgoing = outgoing
        self._attempts = attempts

    def __call__(self, request: Any, *, timeout: float | None = None, metadata: Metadata = None, **options: Any) -> Any:
        span, seconds, sent = self._outgoing.begin(timeout, DEFAULT_TIMEOUT_SECONDS, metadata)
        call = self._send(request, timeout=seconds, metadata=sent, **options)
        if self._attempts > 1:
            deadline = time.monotonic() + seconds

            def send_again() -> Any:
                return self._send(request, timeout=max(0.0, deadline - time.monotonic()), metadata=sent, **options)

            call = RepeatedCall(call, send_again, self._attempts)
        return TracedCall(call, span) if span.is_recording() else call


class _Stream:
    def __init__(self, send: Callable[..., Any], outgoing: _Outgoing, default_timeout: float | None) -> None:
        self._send = send
        self._outgoing = outgoing
        self._default_timeout = default_timeout

    def __call__(self, request: Any = None, timeout: float | None = None, metadata: Metadata = None, **options: Any) -> Any:
        span, seconds, sent = self._outgoing.begin(timeout, self._default_timeout, metadata)
        call = self._send(request, timeout=seconds, metadata=sent, **options)
        if span.is_recording():
            call.add_done_callback(partial(_end_soon, span))
        return call


def _end_soon(span: tracing.AnySpan, call: Any) -> None:
    asyncio.get_running_loop().create_task(_end(span, call))


async def _end(span: tracing.AnySpan, call: Any) -> None:
    finish(span, (await call.code()).name)
    span.end()

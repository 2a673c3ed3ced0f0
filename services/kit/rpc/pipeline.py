"""What every call passes through on the server side, whatever brought it here.

In this order: span, concurrency cap, deadline, caller and principal, authorization, idempotency key, validation, handler; and what is
raised anywhere on the way becomes a status.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError

from services.kit.auth import EDGE, Policy
from services.kit.errors import Unavailable
from services.kit.rpc.admission import Cap, OpenStreams
from services.kit.rpc.calls import CALLER, TRACEPARENT, USER, enter, within
from services.kit.rpc.headers import Announce, caching, locating
from services.kit.rpc.identity import IsRevoked, fold_idempotency_key, identified
from services.kit.rpc.methods import MethodFacts, facts_of
from services.kit.rpc.status import CODES, metadata_of, reason_in, to_status
from services.kit.rpc.validation import ValidationFailed, validation_of
from services.kit.telemetry.calls import answer_to_edge, finish, server_span

if TYPE_CHECKING:
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]

UNREADABLE = object()
"""Stands for a request whose bytes are no message."""

UNARY_TIMEOUT_SECONDS = 30.0
"""For a unary call that comes without a deadline to a method without a timeout of its own."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the calls of a process are judged by."""

    policy: Policy
    is_revoked: IsRevoked
    streams: OpenStreams = field(default_factory=OpenStreams)


class Method:
    """One method, with all that can be known of it before its first call.

    Args:
        path: `/package.Service/Method`.
        service: the noun it belongs to, for its spans.
        cap: shared by the methods that may crowd each other out.
    """

    def __init__(self, path: str, handler: Handler, service: str, rules: Rules, cap: Cap) -> None:
        self._path = path
        self._service = service
        self._rules = rules
        self._cap = cap
        self._grant = rules.policy.grant(path)
        self._timeout = _own_timeout(self._grant.timeout.total_seconds() if self._grant.timeout else None, handler)
        facts = facts_of(path)
        self._streams = rules.streams if handler.response_streaming else nullcontext()
        self._check = validation_of(facts.request) if facts.request else None
        self._announce = _announcing(facts)
        self._streams_requests = bool(handler.request_streaming)
        self._folds_key = facts.takes_request_id and not self._streams_requests
        self._behaviour = _behaviour_of(handler)
        self._answer = self._write_all if inspect.isasyncgenfunction(self._behaviour) else self._behaviour
        self.handler = _rebuilt(handler, self.serve)
        """The given handler with the pipeline around it."""

    async def serve(self, request: Any, context: Context) -> Any:
        """Answers one call: returns the response, or writes the responses of a stream."""
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        caller: str = metadata.get(CALLER, "")
        with server_span(self._path, traceparent=metadata.get(TRACEPARENT), caller=caller, service=self._service) as span:
            if caller == EDGE:
                context.set_trailing_metadata(answer_to_edge(span))
            try:
                with self._cap, self._streams:
                    response = await self._admitted(request, context, metadata)
                if self._announce and caller == EDGE:
                    await context.send_initial_metadata(self._announce(request, response, USER in metadata))
                finish(span, _name_of(context.code()))
                return response
            except grpc.aio.AbortError:
                finish(span, _name_of(context.code()))
                raise
            except (asyncio.CancelledError, grpc.aio.InternalError) as error:  # The latter: a write to a caller who has gone.
                if not _was_cut_short(error):
                    finish(span, "CANCELLED")
                    raise
                status = to_status(Unavailable("The work was cut short."), self._path)
                finish(span, CODES[status.code].name, reason_in(status))
            except Exception as error:
                status = to_status(error, self._path)
                finish(span, CODES[status.code].name, reason_in(status))
        kept = tuple(context.trailing_metadata() or ())
        return await context.abort(CODES[status.code], status.message, (*kept, *metadata_of(status)))

    async def _admitted(self, request: Any, context: Context, metadata: dict[str, Any]) -> Any:
        left, own = cast("float | None", context.time_remaining()), self._timeout
        # The transport enforces the caller's deadline; only one of our own needs a clock here.
        limit = own if own is not None and (left is None or own < left) else None
        call = identified(self._rules.policy, self._grant, self._rules.is_revoked, metadata, left if limit is None else limit)
        if request is UNREADABLE:
            raise ValidationFailed("The request cannot be read as a message of its type.")
        if self._folds_key and (key := fold_idempotency_key(request, call.idempotency_key)) != call.idempotency_key:
            call = replace(call, idempotency_key=key)
        enter(call)
        if self._streams_requests:
            request = _checked(request, self._check)
        elif self._check:
            self._check(request)
        answer = self._answer(request, context)
        return await (answer if limit is None else within(limit, answer))

    async def _write_all(self, request: Any, context: Context) -> None:
        async with aclosing(self._behaviour(request, context)) as responses:
            async for response in responses:
                await context.write(response)


async def _checked(requests: AsyncIterator[Any], check: Callable[[Any], None] | None) -> AsyncIterator[Any]:
    async for request in requests:
        if request is UNREADABLE:
            raise ValidationFailed("A request cannot be read as a message of its type.")
        if check:
            check(request)
        yield request


def _announcing(facts: MethodFacts) -> Announce | None:
    if facts.response and facts.cacheable_seconds:
        return caching(facts.response, facts.cacheable_seconds)
    return locating(facts.response, facts.creates) if facts.response and facts.creates else None


def _own_timeout(granted: float | None, handler: Handler) -> float | None:
    if granted is None and not handler.response_streaming:
        return UNARY_TIMEOUT_SECONDS
    return granted


def _behaviour_of(handler: Handler) -> Callable[[Any, Any], Any]:
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    assert behaviour is not None
    return behaviour


def _rebuilt(handler: Handler, behaviour: Callable[[Any, Any], Any]) -> Handler:
    kinds = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make: Any = kinds[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(behaviour, _reader(handler.request_deserializer), handler.response_serializer)


def _reader(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Lets bytes that are no message, or hold text that is no UTF-8, into the pipeline: they are the caller's fault, not INTERNAL."""

    def read(data: bytes) -> Any:
        assert deserialize is not None
        try:
            return deserialize(data)
        except DecodeError:
            return UNREADABLE

    return read if deserialize else None


def _was_cut_short(error: Exception | asyncio.CancelledError) -> bool:
    """Whether what a handler waited for was cancelled, and not the handler: then gRPC leaves the caller without a word."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()


def _name_of(code: grpc.StatusCode | None) -> str:
    return code.name if code else "OK"

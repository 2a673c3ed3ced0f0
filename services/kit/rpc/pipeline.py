"""What every call passes through on the server side, whatever brought it here.

In this order: span, shedding, concurrency cap, deadline, caller and principal, authorization, idempotency key, validation, handler; and
what is raised anywhere on the way becomes a status.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, nullcontext, suppress
from dataclasses import field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from services.kit.auth import EDGE, Policy
from services.kit.errors import Unavailable
from services.kit.rpc import streams
from services.kit.rpc.admission import Cap, OpenStreams
from services.kit.rpc.calls import LAST_EVENT_ID, TRACEPARENT, USER, enter, within
from services.kit.rpc.headers import Announce, caching, locating
from services.kit.rpc.identity import CallerOf, IsRevoked, claimed_caller, fold_idempotency_key, fold_last_event_id, identified
from services.kit.rpc.methods import MethodFacts, facts_of
from services.kit.rpc.shedding import SHED_METADATA, Pressure, Shed
from services.kit.rpc.status import CODES, metadata_of, reason_in, to_status
from services.kit.rpc.validation import ValidationFailed, validation_of
from services.kit.telemetry.calls import answer_to_edge, finish, server_span
from services.kit.values import value

if TYPE_CHECKING:
    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]

UNREADABLE = object()
"""Stands for a request whose bytes are no message."""

_UNCOUNTED = nullcontext()

UNARY_TIMEOUT_SECONDS = 30.0
"""At most, for a unary call to a method without a timeout of its own. How long a service waits for another is its own affair: only where
it doesn't say."""


@value
class Rules:
    """What the calls of a process are judged by."""

    policy: Policy
    is_revoked: IsRevoked
    caller: CallerOf = claimed_caller
    streams: OpenStreams = field(default_factory=OpenStreams)
    pressure: Pressure = field(default_factory=Pressure)


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
        granted = rules.policy.grant(path).timeout
        self._granted = granted.total_seconds() if granted else None
        self._usual = None if handler.response_streaming else UNARY_TIMEOUT_SECONDS
        facts = facts_of(path)
        self._priority = facts.priority
        self._streams = rules.streams if handler.response_streaming else nullcontext()
        self._counted = nullcontext() if handler.response_streaming else rules.pressure
        self._check = validation_of(facts.request) if facts.request else None
        self._announce = _announcing(facts)
        self._streams_requests = bool(handler.request_streaming)
        self._folds_key = facts.takes_request_id and not self._streams_requests
        self._can_resume = facts.can_resume
        self._farewell = GetMessageClass(facts.response) if facts.response and facts.tells_failure else None
        self._behaviour = _behaviour_of(handler)
        self._answer = self._write_all if inspect.isasyncgenfunction(self._behaviour) else self._behaviour
        self.handler = _rebuilt(handler, self.serve)
        """The given handler with the pipeline around it."""

    async def serve(self, request: Any, context: Context) -> Any:
        """Answers one call: returns the response, or writes the responses of a stream."""
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        caller = self._rules.caller(metadata, context.peer)
        with server_span(self._path, traceparent=metadata.get(TRACEPARENT), caller=caller, service=self._service) as span:
            if caller == EDGE:
                context.set_trailing_metadata(answer_to_edge(span))
            try:
                if self._priority > 1 and caller == EDGE:
                    self._check_pressure(context)
                with self._cap, self._streams, self._counted if caller == EDGE else _UNCOUNTED:
                    response = await self._admitted(request, context, metadata, caller)
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
        if self._farewell and streams.has_begun():
            with suppress(grpc.aio.InternalError):  # the caller has gone
                await context.write(self._farewell(error=status))
        kept = tuple(context.trailing_metadata() or ())
        return await context.abort(CODES[status.code], status.message, (*kept, *metadata_of(status)))

    def _check_pressure(self, context: Context) -> None:
        try:
            self._rules.pressure.check(self._priority)
        except Shed:
            told = (SHED_METADATA, str(self._rules.pressure.shed_from))
            context.set_trailing_metadata((*(context.trailing_metadata() or ()), told))
            raise

    async def _admitted(self, request: Any, context: Context, metadata: dict[str, Any], caller: str) -> Any:
        left = cast("float | None", context.time_remaining())
        limit = self._limit(left, caller)
        policy = self._rules.policy
        # Asked at each call: the policy may change.
        grant = policy.grant(self._path)
        call = identified(policy, grant, self._rules.is_revoked, caller, metadata, left if limit is None else limit)
        if request is UNREADABLE:
            raise ValidationFailed("The request cannot be read as a message of its type.")
        if self._folds_key and (key := fold_idempotency_key(request, call.idempotency_key)) != call.idempotency_key:
            call = call.with_key(key)
        if self._can_resume:
            fold_last_event_id(request, metadata.get(LAST_EVENT_ID, ""))
        enter(call)
        if self._streams_requests:
            request = _checked(request, self._check)
        elif self._check:
            self._check(request)
        answer = self._answer(request, context)
        return await (answer if limit is None else within(limit, answer))

    def _limit(self, left: float | None, caller: str) -> float | None:
        """How many seconds the call may take; None where the transport, which enforces the caller's deadline, cuts it off before that."""
        own = self._granted
        if own is None and (left is None or caller == EDGE):
            own = self._usual
        return own if own is not None and (left is None or own < left) else None

    async def _write_all(self, request: Any, context: Context) -> None:
        async with aclosing(self._behaviour(request, context)) as responses:
            async for response in responses:
                await context.write(response)
                streams.note_begun()


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

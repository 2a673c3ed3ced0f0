"""The call that is being answered: who asks, in whose name, and how long there is."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import time
from collections.abc import Coroutine
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from google.protobuf.message import Message

from services.kit.auth import Principal
from services.kit.errors import DeadlineExceeded
from services.kit.idempotency import RequestKey
from services.kit.values import value

__all__ = ["Call", "Principal", "beside", "current", "enter", "find", "outlive_caller", "outliving", "request_key", "within"]

T = TypeVar("T")

CALLER = "x-bazaar-caller"
USER = "x-bazaar-user"
INSIDE = "inprocess:"
"""The peer of a call from within the process."""

FORWARDED_CERTIFICATE = "x-forwarded-client-cert"
"""Whose certificate the sidecar has seen; it overwrites what a caller says."""
IDEMPOTENCY_KEY = "idempotency-key"
ADDRESS = "x-bazaar-address"
"""Where a client calls from; the edge tells it to those alone who count logins. Personal: neither logged nor traced."""
LAST_EVENT_ID = "last-event-id"
TRACEPARENT = "traceparent"
BUNDLE = "x-bazaar-bundle"
"""How many calls a message holds (kit.rpc.bundles)."""

_current: ContextVar[Call] = ContextVar("bazaar_call")
_outliving: set[asyncio.Task[Any]] = set()
_log = structlog.get_logger("bazaar.rpc")


@value
class Call:
    """One call, as the server side sees it."""

    method: str
    """`/package.Service/Method`"""

    caller: str
    """The calling service's identity: `edge`, `checkout`, …"""

    principal: Principal
    deadline: float | None = None
    """When the caller stops waiting, on time.monotonic(); None: never."""

    idempotency_key: str = ""
    """What the client sent as Idempotency-Key or `request_id`; empty when neither."""

    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None when there is no deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    # By hand: dataclasses.replace takes as long as what a call needs besides.
    def with_key(self, key: str) -> Call:
        """The same call with this key."""
        return Call(self.method, self.caller, self.principal, self.deadline, key)

    def until(self, deadline: float | None) -> Call:
        """The same call with this deadline."""
        return Call(self.method, self.caller, self.principal, deadline, self.idempotency_key)


def current() -> Call:
    """The call that this code answers.

    Raises:
        LookupError: it answers none (a consumer, a timer, start-up).
    """
    return _current.get()


def find() -> Call | None:
    """The call that this code answers, if any."""
    return _current.get(None)


def enter(call: Call) -> None:
    """Makes a call the current one until the running task ends."""
    _current.set(call)


def request_key(request: Message) -> RequestKey | None:
    """What makes a repeat of the current call one with it; None when the client gave no key.

    Args:
        request: its message, with the key in `request_id`.
    """
    call = current()
    if not call.idempotency_key:
        return None
    keyless = type(request)()
    keyless.CopyFrom(request)
    keyless.ClearField("request_id")
    fingerprint = hashlib.sha256(keyless.SerializeToString(deterministic=True)).digest()
    return RequestKey(call.principal.key, call.method, call.idempotency_key, fingerprint)


async def outlive_caller(work: Coroutine[Any, Any, T], budget: timedelta) -> T:
    """Runs work that must not stop halfway: a caller who hangs up leaves it running, and a drain waits for it.

    Calls made by the work get the budget as their deadline, not what is left of the caller's.

    Raises:
        DeadlineExceeded: the budget is used up; the work has been cancelled.
    """
    context = contextvars.copy_context()
    if call := find():
        context.run(enter, call.until(time.monotonic() + budget.total_seconds()))
    task = asyncio.get_running_loop().create_task(within(budget.total_seconds(), work), context=context)
    _outliving.add(task)
    task.add_done_callback(_outliving.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_report_failure)
        raise


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Runs work, for so long and no longer.

    Raises:
        DeadlineExceeded: it took longer, and has been cancelled.
    """
    # As asyncio.timeout does it, at a third of the cost: every call passes here.
    task = asyncio.current_task()
    assert task is not None
    cancelled, is_late = task.cancelling(), False

    def expire() -> None:
        nonlocal is_late
        is_late = True
        task.cancel()

    clock = asyncio.get_running_loop().call_later(seconds, expire)
    try:
        return await work
    except asyncio.CancelledError as error:
        if is_late and task.cancelling() - 1 <= cancelled:
            raise DeadlineExceeded(f"It took longer than {seconds:g} s.") from error
        # Somebody else has cancelled it as well, and is to hear of it.
        raise
    finally:
        clock.cancel()
        if is_late:
            task.uncancel()


def beside(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Starts work that goes on beside the current call, and after it; a drain waits for it. A failure is logged."""
    context = contextvars.copy_context()
    if call := find():
        context.run(enter, call.until(None))
    task = asyncio.get_running_loop().create_task(work, context=context)
    _outliving.add(task)
    task.add_done_callback(_outliving.discard)
    task.add_done_callback(_report_failure)
    return task


def outliving() -> frozenset[asyncio.Task[Any]]:
    """The work of this process that outlives its callers and has not ended."""
    return frozenset(_outliving)


def _report_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()):
        _log.error("work beside a call failed", exc_info=error)

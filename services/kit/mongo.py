"""MongoDB, with spans, and with an end to every wait."""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import StatusCode
from pymongo import AsyncMongoClient
from pymongo.asynchronous import pool, topology
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from services.kit.telemetry import tracing

SELECTION_MS = 2_000
OPERATION_MS = 5_000
HEARTBEAT_MS = 1_000

_NOT_TRACED = frozenset({"hello", "ping", "endSessions", "killCursors"})
"""What keeps house. (A change stream's `getMore` runs outside of traces, where client spans are not recorded.)"""

Document = dict[str, Any]


async def _wait(condition: Any, timeout: float | None) -> bool:
    """Waits to be notified; False when the time is up.

    Stands for pymongo's own, which waits in a second task (asyncio.wait_for before Python 3.12): a caller that is cancelled twice, by its
    deadline and by its own caller's, leaves that one behind with the pool's lock, and nobody in the process gets a connection any more.
    """
    try:
        async with asyncio.timeout(timeout):
            return await condition.wait()
    except TimeoutError:
        return False


pool._async_cond_wait = topology._async_cond_wait = _wait  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


def open_mongo(url: str) -> AsyncMongoClient[Document]:
    """A client of the replica set at `url`. Connects when first used; close it with `await client.close()`.

    Writes are acknowledged by a majority and retried once; the server has 5 s to answer; when there is no primary,
    ServerSelectionTimeoutError (pymongo.errors) comes after 2 s. A primary that is frozen is found out within 3 s (1 s between its signs
    of life, and 2 s of patience): what waits for it is then asked of the next one.
    """
    return AsyncMongoClient(
        url,
        w="majority",
        readConcernLevel="majority",
        retryWrites=True,
        retryReads=True,
        serverSelectionTimeoutMS=SELECTION_MS,
        connectTimeoutMS=SELECTION_MS,
        heartbeatFrequencyMS=HEARTBEAT_MS,
        waitQueueTimeoutMS=SELECTION_MS,
        socketTimeoutMS=OPERATION_MS,  # not timeoutMS: with it, selection waits for the whole of it
        maxPoolSize=32,
        tz_aware=True,
        uuidRepresentation="standard",
        event_listeners=[_Spans()],
    )


class _Spans(CommandListener):
    """A client span for each command. The async client calls this in the task that runs the operation, so the parent is right."""

    def __init__(self) -> None:
        self._running: dict[int, trace.Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in _NOT_TRACED:
            return
        collection = event.command.get(event.command_name)
        target = collection if isinstance(collection, str) else ""
        summary = f"{event.command_name} {target}".rstrip()
        running = tracing.span(
            summary,
            kind=tracing.SpanKind.CLIENT,
            attributes={
                "db.system.name": "mongodb",
                "db.namespace": event.database_name,
                "db.operation.name": event.command_name,
                "db.query.summary": summary,
                **({"db.collection.name": target} if target else {}),
            },
        )
        if isinstance(running, tracing.Span):
            self._running[event.request_id] = running
            # A command whose task is cancelled is reported by nobody.
            if task := asyncio.current_task():
                task.add_done_callback(lambda task: self._give_up(event.request_id))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if running := self._running.pop(event.request_id, None):
            if refused := event.reply.get("writeErrors"):
                _fail(running, f"write error {refused[0].get('code')}")
            running.end()

    def failed(self, event: CommandFailedEvent) -> None:
        if running := self._running.pop(event.request_id, None):
            _fail(running, str(event.failure.get("codeName") or event.failure.get("code") or "connection lost"))
            running.end()

    def _give_up(self, request_id: int) -> None:
        if running := self._running.pop(request_id, None):
            _fail(running, "cancelled")
            running.end()


def _fail(span: trace.Span, code: str) -> None:
    span.set_attribute("error.type", code)
    span.set_status(StatusCode.ERROR, code)

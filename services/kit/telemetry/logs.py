"""Logs: one JSON line an event on stderr, found again by trace, order, service or method.

    log = structlog.stdlib.get_logger(__name__)
    log.info("order cancelled", order_id=order_id, reason="OUT_OF_STOCK")

Each line carries the running span's trace id, service, method and order id. Request and response bodies are never logged; a field
that names something personal is redacted, wherever it is nested, and so is text that looks like it (`kit.telemetry.personal`).
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from services.kit.telemetry import tracing
from services.kit.telemetry.personal import redacted, redacted_text
from services.kit.telemetry.spans import Span


def setup(process: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Sends structlog and the standard library's loggers to `stream` (stderr when None) as JSON lines.

    Args:
        process: named in every line.
        level: debug, info, warning or error.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _of_process(process),
        _with_trace,
        _with_exception,
        redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers are made at import, before this
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _to_json],
            keep_exc_info=False,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """A structlog processor: what is personal becomes "[redacted]"."""
    own = {key: value for key, value in event.items() if key.startswith("_")}  # structlog's record, until it is rendered
    return cast(EventDict, {**redacted({key: value for key, value in event.items() if key not in own}), **own})


def _of_process(process: str) -> Processor:
    def add(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


def _with_trace(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    running = tracing.current()
    context = running.get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    if isinstance(running, Span):
        event.setdefault("service", running.service)
        attributes = running.attributes or {}
        for field, attribute in (("method", "rpc.method"), ("order_id", tracing.ORDER_ID)):
            if attribute in attributes:
                event.setdefault(field, attributes[attribute])
    return event


def _with_exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """An exception as its type, the first line of its message, and where it came from.

    Further lines and local variables stay out: PostgreSQL's DETAIL and pydantic's inputs are whole rows and requests.
    """
    if error := _exception_in(event.pop("exc_info", None)):
        event["exception"] = _chain(error)
    return event


def _exception_in(info: Any) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return cast(tuple[type[BaseException] | None, BaseException | None, TracebackType | None], info)[1]
    return sys.exc_info()[1] if info else None


def _chain(error: BaseException) -> list[dict[str, Any]]:
    """The exception and those that led to it, the last one first."""
    told: list[dict[str, Any]] = []
    next_error: BaseException | None = error
    while next_error is not None and len(told) < 5:
        told.append(
            {
                "type": type(next_error).__qualname__,
                "what": redacted_text(str(next_error).partition("\n")[0]),
                "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(next_error.__traceback__)[-20:]],
            }
        )
        next_error = next_error.__cause__ or (None if next_error.__suppress_context__ else next_error.__context__)
    return told


def _to_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()

"""From exceptions to google.rpc.Status, and back to a reason.

Every error has one ErrorInfo with a reason of bazaar.type.v1.ErrorReason; see https://google.aip.dev/193.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from typing import cast

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # pyright: ignore[reportMissingTypeStubs]

from services.kit.errors import DomainError, InvalidArgument, Status

DOMAIN = "bazaar.dev"
DETAILS, RETRY_AFTER = "grpc-status-details-bin", "retry-after"

CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
"""grpc's status codes by their number."""

_KEPT_FROM_CALLEES = {
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
_FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}
_log = structlog.get_logger("bazaar.rpc")


def to_status(error: BaseException, method: str = "") -> status_pb2.Status:
    """The status that a caller gets to see for an exception of a handler.

    A DomainError tells its own; a callee's error with a reason passes through unchanged; anything else is INTERNAL with an incident id,
    under which the log has the traceback.
    """
    if isinstance(error, DomainError):
        return _domain_status(error)
    if isinstance(error, grpc.aio.AioRpcError) and (status := _callee_status(error)):
        return status
    incident = str(uuid.uuid4())
    _log.error("call failed unexpectedly", incident=incident, method=method, exc_info=error)
    return status_of(Status.INTERNAL, "Something went wrong on our side.", "INTERNAL", incident=incident)


def status_of(code: int, message: str, reason: str, **metadata: str) -> status_pb2.Status:
    """A status with its ErrorInfo and nothing else."""
    status = status_pb2.Status(code=int(code), message=message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    return status


def metadata_of(status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    """The trailing metadata that carries a status with its details, and in HTTP's own words when to come back."""
    details = (DETAILS, status.SerializeToString())
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in status.details):
        return details, (RETRY_AFTER, str(max(1, math.ceil(retry.retry_delay.ToTimedelta().total_seconds()))))
    return (details,)


def reason_of(error: grpc.aio.AioRpcError) -> str | None:
    """The reason in a callee's error; None when it names none (a broken connection, a foreign server)."""
    info = _info_of(_sent_status(error))
    return info.reason if info else None


def reason_in(status: status_pb2.Status) -> str:
    """The reason of a status; empty when it has none."""
    info = _info_of(status)
    return info.reason if info else ""


def _domain_status(error: DomainError) -> status_pb2.Status:
    status = status_of(error.status, error.message, error.reason, **error.metadata)
    if isinstance(error, InvalidArgument) and error.violations:
        status.details.add().Pack(_bad_request(error.violations))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in error.details:
        status.details.add().Pack(cast("Message", detail))
    return status


def _bad_request(violations: Iterable[tuple[str, str]]) -> error_details_pb2.BadRequest:
    fields = [error_details_pb2.BadRequest.FieldViolation(field=field, description=why) for field, why in violations]
    return error_details_pb2.BadRequest(field_violations=fields)


def _callee_status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    code = error.code()
    if code in _FAULTS:
        return None
    status = _sent_status(error)
    if _info_of(status):
        return status
    if code in _KEPT_FROM_CALLEES:
        return status_of(code.value[0], f"A service that this needs answered {code.name}.", code.name)
    return None


def _sent_status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS and isinstance(value, bytes):
            return status_pb2.Status.FromString(value)
    return None


def _info_of(status: status_pb2.Status | None) -> error_details_pb2.ErrorInfo | None:
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return info
    return None

"""What may go wrong, in the domain's own words.

A rule raises one of these; `kit.rpc.status` turns it into a `google.rpc.Status`. Nothing here knows gRPC or protobuf, so that every
`model.py` may import it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import IntEnum
from typing import ClassVar


class Status(IntEnum):
    """The canonical codes of google.rpc.Code, with its numbers."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class DomainError(Exception):
    """An outcome that the rules foresee.

    Raise a kind (`NotFound`, `FailedPrecondition`, …) or, better, a subclass that names its reason:

        class OutOfStock(FailedPrecondition):
            reason = "OUT_OF_STOCK"

    Args:
        message: for a developer, in English; never shown to a shopper and never personal.
        retry_after: how long to wait before trying again (RetryInfo).
        **metadata: the message's variable parts, which a program may read (ErrorInfo.metadata).
    """

    status: ClassVar[Status] = Status.UNKNOWN
    reason: ClassVar[str] = "ERROR_REASON_UNSPECIFIED"
    """A value of bazaar.type.v1.ErrorReason."""

    retry_after: timedelta | None

    def __init__(self, message: str, *, retry_after: timedelta | None = None, **metadata: str) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        self.metadata = metadata
        self.details: Sequence[object] = ()
        """Protobuf messages that go along as further details; set by a servicer, as rules know no protobuf."""


class InvalidArgument(DomainError):
    """The request is wrong whatever the state of the shop.

    Args:
        violations: (field path, what is wrong with it) pairs (BadRequest).
    """

    status = Status.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[tuple[str, str]] = (),
        retry_after: timedelta | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message, retry_after=retry_after, **metadata)
        self.violations = tuple(violations)


class OutOfRange(DomainError):
    """A position past the end of what there is."""

    status = Status.OUT_OF_RANGE
    reason = "OUT_OF_RANGE"


class NotFound(DomainError):
    """It does not exist, or belongs to somebody else (the caller cannot tell which)."""

    status = Status.NOT_FOUND
    reason = "NOT_FOUND"


class AlreadyExists(DomainError):
    """What was to be created is there already."""

    status = Status.ALREADY_EXISTS
    reason = "ALREADY_EXISTS"


class FailedPrecondition(DomainError):
    """The shop's state forbids it; the same request fails again until that state changes."""

    status = Status.FAILED_PRECONDITION
    reason = "FAILED_PRECONDITION"


class Aborted(DomainError):
    """A rival was faster; read again and retry."""

    status = Status.ABORTED
    reason = "ABORTED"


class ResourceExhausted(DomainError):
    """A quota, a queue or a limit is full."""

    status = Status.RESOURCE_EXHAUSTED
    reason = "RESOURCE_EXHAUSTED"


class Overloaded(ResourceExhausted):
    """This process has more waiting than it can work off in time."""

    reason = "OVERLOADED"


class Unavailable(DomainError):
    """Something this depends on is away; the same request may succeed soon."""

    status = Status.UNAVAILABLE
    reason = "UNAVAILABLE"


class DeadlineExceeded(DomainError):
    """The time for it is over; whether it happened is not known."""

    status = Status.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class PermissionDenied(DomainError):
    """The caller is known and may not do this."""

    status = Status.PERMISSION_DENIED
    reason = "PERMISSION_DENIED"


class MethodNotGranted(PermissionDenied):
    """mesh/policy.yaml gives this method to neither the calling service nor the user's roles."""

    reason = "METHOD_NOT_GRANTED"


class Unauthenticated(DomainError):
    """Who calls is not known."""

    status = Status.UNAUTHENTICATED
    reason = "UNAUTHENTICATED"

"""Who calls: from metadata to a Call, and into the request's id."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from services.kit.auth import EDGE, PROCESS, Grant, Policy
from services.kit.errors import InvalidArgument, Unauthenticated
from services.kit.rpc.calls import CALLER, FORWARDED_CERTIFICATE, IDEMPOTENCY_KEY, INSIDE, USER, Call

IsRevoked = Callable[[str], bool]
"""Tells whether a session's tokens are refused, by session id."""


CallerOf = Callable[[Mapping[str, Any], Callable[[], str]], str]
"""Tells which service makes a call, from its metadata and what tells its peer; "" for nobody that is known."""


def claimed_caller(metadata: Mapping[str, Any], peer: Callable[[], str]) -> str:
    """Whom the call names: for transports that only this system's own processes can reach."""
    return metadata.get(CALLER, "")


def certified_caller(spiffe_prefix: str) -> CallerOf:
    """Tells the caller by the certificate that it showed to the sidecar, whatever the call says itself.

    A service may call as `process` too, which is less than itself. Calls from within the process need no certificate.

    Args:
        spiffe_prefix: what the names in the mesh's certificates begin with.
    """

    @lru_cache(maxsize=1024)
    def named(forwarded: str) -> str:
        # The nearest sidecar's element comes last.
        pairs = (pair.partition("=") for pair in forwarded.rpartition(",")[2].split(";"))
        uris = [value for key, _, value in pairs if key.lower() == "uri"]
        return uris[0].removeprefix(spiffe_prefix) if len(uris) == 1 and uris[0].startswith(spiffe_prefix) else ""

    def caller(metadata: Mapping[str, Any], peer: Callable[[], str]) -> str:
        forwarded = metadata.get(FORWARDED_CERTIFICATE)
        if forwarded is None:
            return metadata.get(CALLER, "") if peer() == INSIDE else ""
        name = named(forwarded)
        return PROCESS if name not in ("", EDGE) and metadata.get(CALLER) == PROCESS else name

    return caller


class RequestIdMismatch(InvalidArgument):
    """The header Idempotency-Key and the field `request_id` differ."""

    reason = "REQUEST_ID_MISMATCH"


def identified(
    policy: Policy,
    grant: Grant,
    is_revoked: IsRevoked,
    caller: str,
    metadata: Mapping[str, Any],
    seconds_left: float | None,
) -> Call:
    """The call that metadata describes, if the policy grants it.

    Raises:
        MethodNotGranted: the caller or the user may not use the method.
        Unauthenticated: it needs a user and there is none, or the session is revoked.
    """
    principal = policy.principal(caller, metadata.get(USER, ""))
    grant.check(caller, principal)
    if principal.session_id and is_revoked(principal.session_id):
        raise Unauthenticated("The session has ended; log in again.")
    deadline = None if seconds_left is None else time.monotonic() + seconds_left
    return Call(f"/{grant.method}", caller, principal, deadline, metadata.get(IDEMPOTENCY_KEY, ""))


def fold_last_event_id(request: Any, last: str) -> None:
    """Puts the header Last-Event-ID into `last_event_id`. It wins over the field: a browser connects again to the same URL."""
    if last:
        request.last_event_id = last


def fold_idempotency_key(request: Any, key: str) -> str:
    """Puts the header Idempotency-Key into `request_id`, and returns what the two agree on.

    Raises:
        RequestIdMismatch: they differ.
    """
    if not key:
        return request.request_id
    if request.request_id and request.request_id != key:
        raise RequestIdMismatch("Idempotency-Key and request_id differ.", header=key, field=request.request_id)
    request.request_id = key
    return key

"""Who calls: from metadata to a Call, and into the request's id."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from services.kit.auth import Grant, Policy
from services.kit.errors import InvalidArgument, Unauthenticated
from services.kit.rpc.calls import CALLER, IDEMPOTENCY_KEY, USER, Call

IsRevoked = Callable[[str], bool]
"""Tells whether a session's tokens are refused, by session id."""


class RequestIdMismatch(InvalidArgument):
    """The header Idempotency-Key and the field `request_id` differ."""

    reason = "REQUEST_ID_MISMATCH"


def identified(
    policy: Policy,
    grant: Grant,
    is_revoked: IsRevoked,
    metadata: Mapping[str, Any],
    seconds_left: float | None,
) -> Call:
    """The call that metadata describes, if the policy grants it.

    Raises:
        MethodNotGranted: the caller or the user may not use the method.
        Unauthenticated: it needs a user and there is none, or the session is revoked.
    """
    caller = metadata.get(CALLER, "")
    principal = policy.principal(caller, metadata.get(USER, ""))
    grant.check(caller, principal)
    if principal.session_id and is_revoked(principal.session_id):
        raise Unauthenticated("The session has ended; log in again.")
    deadline = None if seconds_left is None else time.monotonic() + seconds_left
    return Call(f"/{grant.method}", caller, principal, deadline, metadata.get(IDEMPOTENCY_KEY, ""))


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

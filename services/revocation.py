"""Sessions whose tokens are refused although they have not expired, as the users service tells every process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from grpc.aio import AioRpcError, Channel

from bazaar.users.v1.users_service_pb2 import ListRevocationsRequest
from bazaar.users.v1.users_service_pb2_grpc import UsersServiceStub
from services.kit.rpc.calls import TRACEPARENT

POLL_SECONDS = 0.5
_TIMEOUT_SECONDS = 2.0
_UNTRACED = ((TRACEPARENT, f"00-{1:032x}-{1:016x}-00"),)
"""A context that is not recorded: two polls a second would be most of all traces."""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)


class Revocations:
    """The list as of the last poll; while users is away the last known list holds."""

    def __init__(self) -> None:
        self._session_ids: frozenset[str] = frozenset()

    def is_revoked(self, session_id: str) -> bool:
        """Whether a session has ended."""
        return session_id in self._session_ids

    async def watch(self, channel_to: Callable[[str], Channel]) -> None:
        """Asks twice a second, until cancelled."""
        users = UsersServiceStub(channel_to("users"))
        is_reached = True
        while True:
            try:
                answer = await users.ListRevocations(ListRevocationsRequest(), timeout=_TIMEOUT_SECONDS, metadata=_UNTRACED)
                self._session_ids = frozenset(revocation.session_id for revocation in answer.revocations)
                is_reached = True
            except AioRpcError as error:
                if is_reached:
                    _log.warning("revoked sessions are not known", code=error.code().name)
                is_reached = False
            await asyncio.sleep(POLL_SECONDS)

"""What groups gave up on, and giving it back to them.

Dead letters wait in a topic with a subscription of their own; a letter that is given back is acked there. The subscription is exclusive,
so that one tool reads at a time and each sees all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from pulsar import ConsumerType, Message

from services.kit.clock import Clock
from services.kit.errors import Unavailable
from services.kit.events.port import REPLAY_AGE, DeadLetter, ReplayTooOld
from services.kit.events.pulsar.admin import Admin
from services.kit.events.pulsar.inbound import Inbound, subscribed
from services.kit.events.pulsar.link import DEAD_LETTERS, Link
from services.kit.events.pulsar.messages import Incoming
from services.kit.events.pulsar.retries import Retries

KEPT = "kept"
"""The subscription that holds them."""
_BATCH = 1000
_READING_SECONDS = 30.0


class DeadLetters:
    """The failures of all groups, for people and their tools."""

    def __init__(self, link: Link, admin: Admin, retries: Retries, clock: Clock) -> None:
        self._link = link
        self._admin = admin
        self._retries = retries
        self._clock = clock
        self._turn = asyncio.Lock()

    async def list(self, group: str | None, limit: int) -> list[DeadLetter]:
        """See EventBus.dead_letters."""
        async with self._opened() as (_, letters):
            found = [_letter(each) for each in letters if group in (None, each.properties["group"])]
        return sorted(found, key=lambda letter: letter.died_at)[:limit]

    async def replay(self, ids: Sequence[str] | None, group: str | None, *, force: bool) -> int:
        """See EventBus.replay."""
        async with self._opened() as (inbound, letters):
            chosen = [
                each for each in letters if group in (None, each.properties["group"]) and (ids is None or _id_of(each.message) in ids)
            ]
            if not force:
                self._refuse_old(chosen)
            for each in chosen:
                await self._retries.revive(each.properties["group"], each.event)
                await inbound.ack([each.message])
        return len(chosen)

    def _refuse_old(self, letters: Sequence[Incoming]) -> None:
        oldest = self._clock() - REPLAY_AGE
        if old := sum(each.event.occurred_at < oldest for each in letters):
            raise ReplayTooOld(f"{old} of the dead letters occurred over {REPLAY_AGE.days} days ago, so their work could be done twice.")

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[tuple[Inbound, Sequence[Incoming]]]:
        """All letters, as long as the block lasts."""
        async with self._turn:
            waiting = await self._admin.backlog(f"{DEAD_LETTERS}-partition-0", KEPT)
            async with subscribed(self._link, DEAD_LETTERS, KEPT, ConsumerType.Exclusive, batch_size=_BATCH) as inbound:
                letters: list[Incoming] = []
                try:
                    async with asyncio.timeout(_READING_SECONDS):
                        while len(letters) < waiting:
                            letters += await inbound.batch()
                except TimeoutError:
                    raise Unavailable(f"only {len(letters)} of {waiting} dead letters could be read") from None
                yield inbound, letters


def _letter(found: Incoming) -> DeadLetter:
    return DeadLetter(
        id=_id_of(found.message),
        group=found.properties["group"],
        event=found.event,
        error=found.properties["error"],
        attempts=found.attempts,
        died_at=datetime.fromtimestamp(found.message.publish_timestamp() / 1000, UTC),
    )


def _id_of(message: Message) -> str:
    identifier = message.message_id()
    return f"{identifier.ledger_id()}:{identifier.entry_id()}"

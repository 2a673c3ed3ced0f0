"""How the shop gets over what happens to one of its processes, as seen by those who order.

Recovery counts from the signal to the last failure of an order that was begun after it. Availability is the share of all calls that were
answered, from the signal on until orders have gone well for a while again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg

from tests.chaos.rush import UNITS, Front, Rush, Wish, refusals
from tests.shell import Shell

RATE = 5.0
WELL_SECONDS = 1.5
BAR = 10.0
"""Seconds until full service is back."""
PASSING = {"0", "409", "429", "503", "504"}
"""Statuses that tell a client to ask again; 0 is none at all."""
FINAL = {"CONFIRMED", "CANCELLED"}

_MINE = "SELECT r.request_id, o.order_id::text, o.state, o.due_at FROM order_requests r JOIN orders o USING (user_bucket, order_id)"
_LIVE = "SELECT order_id::text FROM orders WHERE is_submitted AND state <> 'CANCELLED'"


@dataclass(frozen=True)
class Row:
    """What came of one victim."""

    victim: str
    signal: str
    recovery: float
    after_up: float
    """Of the recovery, what was left when the victim was up again."""
    answered: int
    tries: int
    refused: Counter[str]

    def __str__(self) -> str:
        refused = ", ".join(f"{count} x {why}" for why, count in self.refused.most_common())
        share = 100 * self.answered / self.tries
        name = f"{self.victim:10} {self.signal:4}"
        return f"{name} {self.recovery:6.1f} s {self.after_up:6.1f} s {share:6.1f} % {self.answered:4} of {self.tries:4}  {refused}"

    @property
    def is_passing(self) -> bool:
        """Whether every refusal told its client to ask again."""
        return {why.split()[0] for why in self.refused} <= PASSING


async def go_well(rush: Rush, since: float = 0) -> None:
    """Waits until nothing has failed for a while that began then or later."""
    await until(lambda: _is_well(rush, time.monotonic() - WELL_SECONDS) and time.monotonic() - since > WELL_SECONDS, 30)


def _is_well(rush: Rush, since: float) -> bool:
    tries = rush.tries_since(since)
    return len(tries) >= RATE * WELL_SECONDS / 2 and not refusals(tries)


async def back(shell: Shell, victim: str, before: object, seconds: float = 40) -> float:
    """When a new process of the victim is ready."""
    await until(lambda: shell.process(victim).identity not in (before, None) and shell.process(victim).state == "ready", seconds)
    return time.monotonic()


async def recovered(rush: Rush, victim: str, name: str, at: float, up_at: float) -> Row:
    """What came of a signal, once orders go well again after the victim was up."""
    await go_well(rush, up_at)
    tries = rush.tries_since(at - 1)
    hit = [one for one in tries if one.ended >= at]
    new = [one for wish in rush.wishes if wish.tries and wish.tries[0].began >= at for one in wish.tries]
    last = max((one.ended for one in new if one.refusal), default=at)
    return Row(victim, name, last - at, max(0.0, last - up_at), sum(not one.refusal for one in hit), len(hit), refusals(hit))


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Looks every 50 ms.

    Raises:
        TimeoutError: it has not come true.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def assert_nothing_is_lost(shell: Front, rush: Rush, rows: Sequence[Row]) -> str:
    """After the last order: each was taken once, what was answered is so, and the books agree. Returns what came of all, as a table."""
    found = await _orders(shell)
    assert {key: order_id for key, (order_id, _, _) in found.items()} == {wish.key: wish.order_id for wish in rush.wishes}
    assert await _live(shell) == {order_id for order_id, _, _ in found.values()}
    confirmed = {wish.key for wish in rush.wishes if wish.answer and wish.answer["order"]["state"] == "CONFIRMED"}
    assert {found[key][1] for key in confirmed} == {"CONFIRMED"}
    assert [key for key, (_, state, due_at) in found.items() if state not in FINAL and due_at is None] == []
    assert await shell.violations() == []
    return _table(rows, rush.wishes, found)


async def _orders(shell: Front) -> dict[str, tuple[str, str, object]]:
    """Id, state and deadline of the order of each key."""
    async with await psycopg.AsyncConnection.connect(shell.database("orders")) as connection:
        rows = await (await connection.execute(_MINE)).fetchall()
    return {key: (order_id, state, due_at) for key, order_id, state, due_at in rows}


async def _live(shell: Front) -> set[str]:
    async with await psycopg.AsyncConnection.connect(shell.database("orders")) as connection:
        return {order_id for (order_id,) in await (await connection.execute(_LIVE)).fetchall()}


def _table(rows: Sequence[Row], wishes: Sequence[Wish], found: dict[str, tuple[str, str, object]]) -> str:
    states = Counter(state for _, state, _ in found.values())
    ended = ", ".join(f"{count} {state}" for state, count in states.most_common())
    head = "victim     how  recovery  after up  answered  of all calls  refused"
    return "\n".join(["", head, *map(str, rows), f"{len(wishes)} orders: {ended}; {UNITS} units of each SKU to begin with"])

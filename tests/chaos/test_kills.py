"""Every process of a running Bazaar is killed, and with BAZAAR_TEST_ALL=1 frozen too, while orders come and the gateway misbehaves.

Recovery counts from the signal to the last failure of an order that was begun after it; a server's bar counts from when it is up again.
(What was under way in a dead process is taken over when its claim has run out, ten seconds after its start.) Availability is the share of
all calls that were answered, from the signal on until orders have gone well for a while again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.chaos.rush import UNITS, Rush, Wish, refusals
from tests.sandbox import SandboxClient
from tests.shell import Shell

pytestmark = [pytest.mark.edge, pytest.mark.timeout(180)]

VICTIMS = ("worker-1", "worker-2", "postgres", "redis-1", "mongo", "envoy", "sandbox")
SPARES = {"redis-1", "sandbox"}
"""What orders go on without: Redis only caches, and a payment is opened at the gateway when that is back."""
RATE = 5.0
WELL_SECONDS = 1.5
FREEZE_SECONDS = 20.0
WORKER_BAR, SERVER_BAR, FREEZE_BAR = 3.0, 10.0, 15.0
"""Seconds: after a worker's death; after a server is up again; of a freeze, that the probe ends."""
PASSING = {"0", "409", "429", "503", "504"}
"""Statuses that tell a client to ask again; 0 is none at all."""
FINAL = {"CONFIRMED", "CANCELLED"}

_MINE = "SELECT r.request_id, o.order_id::text, o.state, o.due_at FROM order_requests r JOIN orders o USING (user_bucket, order_id)"
_LIVE = "SELECT order_id::text FROM orders WHERE is_submitted AND state <> 'CANCELLED'"


FREEZES = pytest.mark.skipif(not os.environ.get("BAZAAR_TEST_ALL"), reason="each waits up to 20 s for a frozen process; --all freezes them")


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
        name = f"{self.victim:9} {self.signal:4}"
        return f"{name} {self.recovery:6.1f} s {self.after_up:6.1f} s {share:6.1f} % {self.answered:4} of {self.tries:4}  {refused}"


@pytest.fixture(scope="module")
def shell(short_directory: Path):
    shell = Shell(short_directory / "kills")
    shell.up()
    yield shell
    shell.end()


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """What came of each so far."""
    return []


@pytest.fixture(scope="module")
async def rush(shell: Shell) -> AsyncIterator[Rush]:
    """Orders, all the time; the gateway tells twice, late and out of order, and of some payments nothing."""
    rush = Rush(shell, RATE)
    await rush.prepare()
    async with rush.running():
        yield rush


@pytest.fixture(scope="module")
def bank(shell: Shell):
    client = SandboxClient(f"http://{shell.process('sandbox').address}", (shell.home.folder("secrets") / "sandbox_key").read_text().strip())
    with client.switched(duplicate_webhooks=1, disorder=True, webhook_delay_seconds=0.3):
        yield client
    client.http.close()


@pytest.mark.parametrize("victim", VICTIMS)
async def test_orders_go_on_after_a_kill(shell: Shell, rush: Rush, bank: SandboxClient, rows: list[Row], victim: str):
    await _go_well(rush)
    before, at = shell.process(victim).identity, time.monotonic()
    os.kill(before.pid, signal.SIGKILL)

    up_at = await _back(shell, victim, before)
    row = await _recovered(rush, victim, "KILL", at, up_at)

    rows.append(row)
    print(row)
    assert {why.split()[0] for why in row.refused} <= PASSING
    assert row.recovery <= WORKER_BAR or not victim.startswith("worker")
    assert row.after_up <= SERVER_BAR
    assert not row.refused or victim not in SPARES


@FREEZES
@pytest.mark.parametrize("victim", VICTIMS)
async def test_orders_go_on_after_a_freeze(shell: Shell, rush: Rush, bank: SandboxClient, rows: list[Row], victim: str):
    await _go_well(rush)
    before, at = shell.process(victim).identity, time.monotonic()
    os.kill(before.pid, signal.SIGSTOP)
    thaw = asyncio.get_running_loop().call_later(FREEZE_SECONDS, before.send, signal.SIGCONT)

    up_at = await _back(shell, victim, before)
    thaw.cancel()
    row = await _recovered(rush, victim, "STOP", at, up_at)

    rows.append(row)
    print(row)
    assert up_at - at <= FREEZE_BAR + SERVER_BAR
    assert {why.split()[0] for why in row.refused} <= PASSING
    assert row.recovery <= FREEZE_BAR or not victim.startswith("worker")
    assert row.after_up <= SERVER_BAR


@FREEZES
async def test_orders_are_refused_with_a_reason_while_mongodb_is_frozen(shell: Shell, rush: Rush, bank: SandboxClient):
    await _go_well(rush)
    before = shell.process("mongo").identity
    os.kill(before.pid, signal.SIGSTOP)

    wish = await rush.fulfil(patience=15)

    # Prices and titles are in the catalogue, and there is no order without them. A frozen server uses up the call's time; a dead one not.
    assert wish.tries[0].refusal in ("503 UNAVAILABLE", "504 DEADLINE_EXCEEDED")
    assert wish.answer is not None


async def test_nothing_is_lost_doubled_or_oversold(
    shell: Shell, rush: Rush, bank: SandboxClient, rows: list[Row], capsys: pytest.CaptureFixture[str]
):
    await rush.end()
    found = await _orders(shell)
    with capsys.disabled():
        print(_table(rows, rush.wishes, found))

    assert {key: order_id for key, (order_id, _, _) in found.items()} == {wish.key: wish.order_id for wish in rush.wishes}
    assert await _live(shell) == {order_id for order_id, _, _ in found.values()}
    confirmed = {wish.key for wish in rush.wishes if wish.answer and wish.answer["order"]["state"] == "CONFIRMED"}
    assert {found[key][1] for key in confirmed} == {"CONFIRMED"}
    assert [key for key, (_, state, due_at) in found.items() if state not in FINAL and due_at is None] == []
    assert await shell.violations() == []


async def _go_well(rush: Rush, since: float = 0) -> None:
    """Waits until nothing has failed for a while that began then or later."""
    await _until(lambda: _is_well(rush, time.monotonic() - WELL_SECONDS) and time.monotonic() - since > WELL_SECONDS, 30)


def _is_well(rush: Rush, since: float) -> bool:
    tries = rush.tries_since(since)
    return len(tries) >= RATE * WELL_SECONDS / 2 and not refusals(tries)


async def _back(shell: Shell, victim: str, before: object) -> float:
    """When a new process of the victim is ready."""
    await _until(lambda: shell.process(victim).identity not in (before, None) and shell.process(victim).state == "ready", 40)
    return time.monotonic()


async def _recovered(rush: Rush, victim: str, name: str, at: float, up_at: float) -> Row:
    await _go_well(rush, up_at)
    tries = rush.tries_since(at - 1)
    hit = [one for one in tries if one.ended >= at]
    new = [one for wish in rush.wishes if wish.tries and wish.tries[0].began >= at for one in wish.tries]
    last = max((one.ended for one in new if one.refusal), default=at)
    return Row(victim, name, last - at, max(0.0, last - up_at), sum(not one.refusal for one in hit), len(hit), refusals(hit))


async def _until(condition, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.05)


async def _orders(shell: Shell) -> dict[str, tuple[str, str, object]]:
    """Id, state and deadline of the order of each key."""
    async with await psycopg.AsyncConnection.connect(shell.database("orders")) as connection:
        rows = await (await connection.execute(_MINE)).fetchall()
    return {key: (order_id, state, due_at) for key, order_id, state, due_at in rows}


async def _live(shell: Shell) -> set[str]:
    async with await psycopg.AsyncConnection.connect(shell.database("orders")) as connection:
        return {order_id for (order_id,) in await (await connection.execute(_LIVE)).fetchall()}


def _table(rows: list[Row], wishes: list[Wish], found: dict[str, tuple[str, str, object]]) -> str:
    states = Counter(state for _, state, _ in found.values())
    ended = ", ".join(f"{count} {state}" for state, count in states.most_common())
    head = "victim    how  recovery  after up  answered  of all calls  refused"
    return "\n".join(["", head, *map(str, rows), f"{len(wishes)} orders: {ended}; {UNITS} units of each SKU to begin with"])

"""Every process of a running Bazaar is killed, and with BAZAAR_TEST_ALL=1 frozen too, while orders come and the gateway misbehaves.

A server's bar counts from when it is up again. (What was under way in a dead process is taken over when its claim has run out, ten seconds
after its start.)
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.recovery import RATE, Row, assert_nothing_is_lost, back, go_well, recovered
from tests.chaos.rush import Rush, rushing
from tests.sandbox import SandboxClient
from tests.shell import Shell

pytestmark = [pytest.mark.edge, pytest.mark.timeout(180)]

VICTIMS = ("worker-1", "worker-2", "postgres", "redis-1", "mongo", "envoy", "sandbox")
SPARES = {"redis-1", "sandbox"}
"""What orders go on without: Redis only caches, and a payment is opened at the gateway when that is back."""
FREEZE_SECONDS = 20.0
WORKER_BAR, SERVER_BAR, FREEZE_BAR = 3.0, 10.0, 15.0
"""Seconds: after a worker's death; after a server is up again; of a freeze, that the probe ends."""
FREEZES = pytest.mark.skipif(
    not os.environ.get("BAZAAR_TEST_ALL"), reason="each waits up to 20 s for a frozen process; ./bazaar test --all freezes everything"
)


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
    async with rushing(shell, RATE) as rush:
        yield rush


@pytest.fixture(scope="module")
def bank(shell: Shell):
    client = SandboxClient(f"http://{shell.process('sandbox').address}", (shell.home.folder("secrets") / "sandbox_key").read_text().strip())
    with client.switched(duplicate_webhooks=1, disorder=True, webhook_delay_seconds=0.3):
        yield client
    client.http.close()


@pytest.mark.parametrize("victim", VICTIMS)
async def test_orders_go_on_after_a_kill(shell: Shell, rush: Rush, bank: SandboxClient, rows: list[Row], victim: str):
    await go_well(rush)
    before, at = shell.process(victim).identity, time.monotonic()
    os.kill(before.pid, signal.SIGKILL)

    up_at = await back(shell, victim, before)
    row = await recovered(rush, victim, "KILL", at, up_at)

    rows.append(row)
    print(row)
    assert row.is_passing
    assert row.recovery <= WORKER_BAR or not victim.startswith("worker")
    assert row.after_up <= SERVER_BAR
    assert not row.refused or victim not in SPARES


@FREEZES
@pytest.mark.parametrize("victim", VICTIMS)
async def test_orders_go_on_after_a_freeze(shell: Shell, rush: Rush, bank: SandboxClient, rows: list[Row], victim: str):
    await go_well(rush)
    before, at = shell.process(victim).identity, time.monotonic()
    os.kill(before.pid, signal.SIGSTOP)
    thaw = asyncio.get_running_loop().call_later(FREEZE_SECONDS, before.send, signal.SIGCONT)

    up_at = await back(shell, victim, before)
    thaw.cancel()
    row = await recovered(rush, victim, "STOP", at, up_at)

    rows.append(row)
    print(row)
    assert up_at - at <= FREEZE_BAR + SERVER_BAR
    assert row.is_passing
    assert row.recovery <= FREEZE_BAR or not victim.startswith("worker")
    assert row.after_up <= SERVER_BAR


@FREEZES
async def test_orders_are_refused_with_a_reason_while_mongodb_is_frozen(shell: Shell, rush: Rush, bank: SandboxClient):
    await go_well(rush)
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
    with capsys.disabled():
        print(await assert_nothing_is_lost(shell, rush, rows))

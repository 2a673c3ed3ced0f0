"""Twice the load that a shop sustains: what becomes of each priority.

    python -m tests.load.bench_shedding [--seconds 20]

A third each of priority 1 (an order's status), 2 (a SKU's balances) and 3 (its ledger), on a shop of its own. First as fast as 32
callers get answers, which is what it sustains; then twice as many a second whatever is answered, with shedding and, for comparison,
without. A call succeeds that is answered 200 within five seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import uvloop

from tests.load.cpu import used
from tests.shell import Shell
from tests.unit.gateway.limited import counters
from tools.home import Home
from tools.loading.seeds import Seeds
from tools.shop import Shop, administrator
from tools.shop.http import Connections

CALLERS, CONNECTIONS = 32, 1500
PATIENCE_SECONDS = 5.0
COUNTED = "^shed|workers.*(health_check.failure|upstream_rq_timeout|upstream_cx_none_healthy)|failure_mode_allowed"
"""What Envoy tells of it."""
UNSHED = {"BAZAAR_SHED_CALLS": "0", "BAZAAR_SHED_WAIT_SECONDS": "0", "BAZAAR_SHED_AT_ONCE": "10000"}
WARM_UP_SECONDS = 5.0


class Calls:
    """The three kinds of calls in turn, and what they came to."""

    def __init__(self, url: str, paths: list[str], token: bytes) -> None:
        self._connections = Connections(url, CONNECTIONS)
        self._paths = paths
        self._token = token
        self._made = 0
        self.statuses: dict[int, Counter[int]] = defaultdict(Counter)
        self.waits: dict[int, list[float]] = defaultdict(list)

    async def one(self) -> None:
        priority = self._made % len(self._paths) + 1
        self._made += 1
        began, status = time.monotonic(), 0
        try:
            answer = await asyncio.wait_for(
                self._connections.request("GET", self._paths[priority - 1], self._token, b"", PATIENCE_SECONDS), PATIENCE_SECONDS
            )
            status = answer.status
        except (TimeoutError, OSError):
            pass
        self.statuses[priority][status] += 1
        if status == 200:
            self.waits[priority].append(time.monotonic() - began)

    def show(self) -> None:
        for priority, statuses in sorted(self.statuses.items()):
            waits = sorted(self.waits[priority]) or [0.0]
            p99 = waits[int(len(waits) * 0.99)]
            share = statuses[200] / statuses.total()
            print(
                f"  priority {priority}: {share:7.2%} answered, p50 {statistics.median(waits) * 1000:.0f} ms, "
                f"p99 {p99 * 1000:.0f} ms; {dict(statuses)}"
            )


async def closed(calls: Calls, seconds: float) -> float:
    """Calls a second, each caller's next one as soon as its last is answered."""
    until, done = time.monotonic() + seconds, 0

    async def caller() -> None:
        nonlocal done
        while time.monotonic() < until:
            await calls.one()
            done += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return done / seconds


async def opened(calls: Calls, rate: float, seconds: float) -> None:
    """So many calls a second, whatever is answered."""
    began, running = time.monotonic(), []
    for number in range(round(rate * seconds)):
        if (wait := began + number / rate - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        running.append(asyncio.ensure_future(calls.one()))
    await asyncio.gather(*running)


async def prepared(shell: Shell) -> tuple[str, list[str], bytes]:
    url, home = f"http://127.0.0.1:{shell.port}", Home(shell.home.path)
    shop = Shop(url)
    seeds = Seeds(shop, home, 1)
    await seeds.stock()
    await seeds.enrol(8)
    admin = await administrator(shop, home).token(400)
    customer = seeds.customers[0]
    token = await customer.account.token()
    cart = await seeds.cart(customer, seeds.popular(2))
    body = {"cartId": cart, "addressId": await customer.address_id(), "paymentMethod": "COD"}
    order = (await shop.post("/v1/orders", body, token=token, key="bench"))["order"]["orderId"]
    sku = seeds.skus[0]
    shop.close()
    paths = [f"/v1/orders/{order}", f"/v1/inventory/{sku}/balances", f"/v1/inventory/{sku}/ledger"]
    return url, paths, f"authorization: Bearer {admin}\r\n".encode()


async def measure(shell: Shell, seconds: float, sustained: float) -> float:
    url, paths, token = await prepared(shell)
    await closed(Calls(url, paths, token), WARM_UP_SECONDS)
    if not sustained:
        before = spent(shell)
        sustained = await closed(Calls(url, paths, token), seconds)
        print(f"sustained: {sustained:.0f} calls a second")
        show_spent(shell, before, seconds)
    calls, before = Calls(url, paths, token), spent(shell)
    await opened(calls, 2 * sustained, seconds)
    calls.show()
    show_spent(shell, before, seconds)
    for name, number in sorted((await counters(shell.home.sockets, COUNTED)).items()):
        print(f"  {number:6} {name}")
    return sustained


def spent(shell: Shell) -> dict[str, float]:
    """Seconds of CPU so far, of those that a call passes."""
    state = shell.home.read_state()
    assert state is not None
    pids = {process.name: process.identity.pid for process in state.processes if process.identity}
    return {"callers": time.process_time(), **{name: used(pid) for name, pid in pids.items() if name.startswith(("envoy", "worker"))}}


def show_spent(shell: Shell, before: dict[str, float], seconds: float) -> None:
    print("  of a core:", ", ".join(f"{name} {(now - before[name]) / seconds:.0%}" for name, now in spent(shell).items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    sustained = 0.0
    for name, settings in (("with shedding", {}), ("without", UNSHED)):
        with tempfile.TemporaryDirectory(prefix="bzl-", dir="/tmp") as folder:
            shell = Shell(Path(folder) / "home")
            shell.environment = {"BAZAAR_LIMITS": "off", **settings}
            try:
                shell.up()
                print(name)
                sustained = uvloop.run(measure(shell, options.seconds, sustained))
            finally:
                shell.end()


if __name__ == "__main__":
    main()

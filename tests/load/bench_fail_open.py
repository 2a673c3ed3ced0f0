"""How long a call waits for a limit that nobody can judge: Redis is frozen, or whoever asks it.

    python -m tests.load.bench_fail_open [--calls 300]

An edge that has every call counted, one caller, one call after the other; the service that answers is another process than the one that
counts. Milliseconds of whole calls, so the first row, in which nothing is counted, is what to take off; and how many passed uncounted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from gateway.__main__ import main as write_configuration
from services.__main__ import NOUNS
from tests.load.bench_limits import EDGES, start_worker, token_line
from tests.unit.gateway.limited import counters
from tools import secrets
from tools.servers import Running, free_port
from tools.servers.envoy import Envoy
from tools.servers.redis import Redis


def edge(stack: ExitStack, home: Path, ranking: str, counting: str, settings: dict[str, str]) -> Envoy:
    """In a home that has its secrets."""
    port = free_port()
    addresses = {**dict.fromkeys(NOUNS, f"localhost:{free_port()}"), "ranking": ranking, "users": counting}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        for name, address in addresses.items():
            environment.setenv(f"BAZAAR_ADDRESS_{name.upper()}", address)
        write_configuration([str(home), str(port), "0"])
    envoy = Envoy(home / "envoy" / "envoy.yaml", port, port)
    stack.enter_context(Running(envoy, home / "envoy.log"))
    return envoy


def ask(client: httpx.Client, calls: int) -> list[float]:
    """Milliseconds of each call."""
    waits = []
    for _ in range(calls):
        began = time.perf_counter()
        assert client.get("/v1/queryTopProducts").status_code == 200
        waits.append((time.perf_counter() - began) * 1000)
    return waits


def measure(name: str, home: Path, client: httpx.Client, calls: int) -> None:
    before = uncounted(home)
    waits = ask(client, calls)
    share = (uncounted(home) - before) / calls
    p99 = statistics.quantiles(waits, n=100)[98]
    print(f"{name:20} least {min(waits):5.1f}  p50 {statistics.median(waits):5.1f}  p99 {p99:5.1f} ms  uncounted {share:4.0%}")


def uncounted(home: Path) -> int:
    return sum(asyncio.run(counters(home / "envoy", "failure_mode_allowed")).values())


def client_of(envoy: Envoy, home: Path) -> httpx.Client:
    """Once calls are answered."""
    headers = dict([token_line(home).decode().strip().split(": ", 1)])
    client = httpx.Client(base_url=envoy.url, headers=headers, trust_env=False)
    until = time.monotonic() + 30
    while client.get("/v1/queryTopProducts").status_code != 200 and time.monotonic() < until:
        time.sleep(0.1)
    return client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300)
    calls = parser.parse_args().calls
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bzl-", dir="/tmp")))
        free, home = folder / "free", folder / "counted"
        for each in (free, home):
            (each / "secrets").mkdir(parents=True)
            secrets.make_missing(each / "secrets")
        redis = Redis(folder / "redis", "bench")
        redis_pid = stack.enter_context(Running(redis, folder / "redis.log")).pid
        answers, counts = (f"localhost:{free_port()}" for _ in range(2))
        ranking, counting = start_worker(answers, redis.url), start_worker(counts, redis.url)
        unlimited = client_of(edge(stack, free, answers, counts, EDGES["no limits"]), free)
        client = client_of(edge(stack, home, answers, counts, EDGES["Redis asked"]), home)
        measure("nothing is counted", free, unlimited, calls)
        measure("all is well", home, client, calls)
        for name, pid in (("Redis is frozen", redis_pid), ("who asks is frozen", int(counting.pid or 0))):
            os.kill(pid, signal.SIGSTOP)
            try:
                measure(name, home, client, calls)
            finally:
                os.kill(pid, signal.SIGCONT)
        ranking.terminate()
        counting.terminate()


if __name__ == "__main__":
    main()

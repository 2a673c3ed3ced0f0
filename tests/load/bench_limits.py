"""What the edge's limits add to a call: CPU of Envoy, of a worker, and of Redis.

    python -m tests.load.bench_limits [--rounds 12] [--calls 1000]

Three edges in front of one worker that answers nothing much: without limits; with limits of which the free share is enough; asking Redis at
every call. They take turns, round by round, so that what else happens on the machine happens to all; the figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from joserfc.jwk import KeySet

from bazaar.ranking.v1 import ranking_service_pb2, ranking_service_pb2_grpc
from gateway.__main__ import main as write_configuration
from services.kit.limits.edge import RateLimitService, add_rate_limits_to_server
from services.kit.redis import open_redis
from tests.load.cpu import used
from tests.unit.gateway.conftest import Tokens
from tools import secrets
from tools.servers import Running, free_port
from tools.servers.envoy import Envoy
from tools.servers.redis import Redis
from tools.shop.http import Connections

AT_ONCE = 8
HUGE = "user.read=100000/1000000"
EDGES = {
    "no limits": {"BAZAAR_LIMITS": "off"},
    "within the free share": {"BAZAAR_LIMITS": HUGE},
    "Redis asked": {"BAZAAR_LIMITS": HUGE, "BAZAAR_LIMITS_FREE_SHARE": "0"},
}


class Ranking(ranking_service_pb2_grpc.RankingServiceServicer):
    async def QueryTopProducts(self, request, context):
        return ranking_service_pb2.QueryTopProductsResponse()


async def serve(address: str, redis_url: str) -> None:
    """Answers rankings, and counts calls for edges."""
    server = grpc.aio.server()
    ranking_service_pb2_grpc.add_RankingServiceServicer_to_server(Ranking(), server)
    add_rate_limits_to_server(RateLimitService(open_redis(redis_url)), server)
    servicer = health.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.ServingStatus.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


def worker(address: str, redis_url: str) -> None:
    uvloop.run(serve(address, redis_url))


def start_worker(address: str, redis_url: str) -> multiprocessing.context.SpawnProcess:
    """A process of its own, which ends with this one."""
    process = multiprocessing.get_context("spawn").Process(target=worker, args=(address, redis_url), daemon=True)
    process.start()
    return process


def edge(stack: ExitStack, folder: Path, number: int, settings: dict[str, str]) -> tuple[Envoy, Running]:
    home = folder / f"edge-{number}"
    for name in ("envoy", "logs", "secrets"):
        (home / name).mkdir(parents=True)
    for file in (folder / "secrets").iterdir():
        (home / "secrets" / file.name).write_bytes(file.read_bytes())
    port, tls_port = free_port(), free_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        write_configuration([str(home), str(port), str(tls_port), f"{folder}/worker.sock"])
    file = home / "envoy" / "envoy.yaml"
    file.write_text(file.read_text().replace(f"{folder}/envoy.sock", f"{home}/envoy.sock"))
    envoy = Envoy(file, port, tls_port)
    return envoy, stack.enter_context(Running(envoy, home / "logs" / "envoy.log"))


def token_line(folder: Path) -> bytes:
    """A customer's header, by the keys in the folder."""
    tokens = Tokens(KeySet.import_key_set(json.loads((folder / "secrets" / "jwt.json").read_text())))
    return f"authorization: {tokens.make()['authorization']}\r\n".encode()


async def ask(connections: Connections, token: bytes, calls: int) -> None:
    async def caller() -> None:
        for _ in range(calls // AT_ONCE):
            answer = await connections.request("GET", "/v1/queryTopProducts", token, b"", 30)
            assert answer.status == 200, answer

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--calls", type=int, default=1000)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bzl-", dir="/tmp")))
        (folder / "secrets").mkdir()
        secrets.make_missing(folder / "secrets")
        redis = Redis(folder / "redis", "bench")
        redis_running = stack.enter_context(Running(redis, folder / "redis.log"))
        backend = start_worker(f"unix:{folder}/worker.sock", redis.url)
        edges = {name: edge(stack, folder, number, settings) for number, (name, settings) in enumerate(EDGES.items())}
        token = token_line(folder)
        rows = measure(options, edges, {"worker": int(backend.pid or 0), "redis": redis_running.pid}, token)
        backend.terminate()
    for name, figures in rows.items():
        print(f"{name:24}", "  ".join(f"{process} {statistics.median(values):4.0f} µs" for process, values in figures.items()))


def measure(options: argparse.Namespace, edges: dict[str, Any], others: dict[str, int], token: bytes) -> dict[str, dict[str, list[float]]]:
    """Microseconds of CPU a call, by edge and process, for each round."""
    rows: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in edges}

    async def rounds() -> None:
        clients = {name: Connections(envoy.url, AT_ONCE) for name, (envoy, _) in edges.items()}
        for turn in range(options.rounds + 1):
            for name, (_, running) in edges.items():
                processes = {"envoy": running.pid, **others}
                before = {process: used(pid) for process, pid in processes.items()}
                await ask(clients[name], token, options.calls)
                for process, pid in processes.items():
                    if turn:  # the first warms up
                        rows[name][process].append((used(pid) - before[process]) / options.calls * 1e6)

    uvloop.run(rounds())
    return rows


if __name__ == "__main__":
    main()

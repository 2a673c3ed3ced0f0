"""Six nodes of a Redis Cluster that a test may kill, as a full home has them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from tools.servers import Running, free_port
from tools.servers.redis import BUS, Redis
from tools.servers.redis_cluster import Place, nodes_of

PASSWORD = "test-password"


class Cluster:
    """All of them, running."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports: list[int] = []
        while len(self._ports) < 6:
            if (port := free_port(also=BUS)) not in self._ports:
                self._ports.append(port)

    def start(self) -> None:
        """As a supervisor does that knows nothing of the last one."""
        self.servers = [Redis(self._folder / str(index), PASSWORD, place=Place(self._ports, index)) for index in range(6)]
        self.running = [Running(server, self._folder / f"{server.name}.log") for server in self.servers]
        for each in self.running:
            each.start()
        with ThreadPoolExecutor(len(self.running)) as pool:
            list(pool.map(Running.wait, self.running))

    def stop(self) -> None:
        for each in self.running:
            each.stop()

    def client(self, index: int) -> redis.Redis:
        return redis.Redis(port=self.servers[index].port, password=PASSWORD)

    def own(self, index: int) -> tuple[bool, int]:
        """Whether a node is a copy, and its slots, as it sees itself."""
        with self.client(index) as client:
            own = next(node for node in nodes_of(client) if "myself" in node.flags)
        return bool(own.primary_id), sum(map(len, own.slots))

    def epochs(self, index: int) -> dict[int, int]:
        """The epochs of those who have slots, as a node sees them."""
        with self.client(index) as client:
            told = client.execute_command("CLUSTER NODES")
        assert isinstance(told, dict)
        return {self._ports.index(int(address.split(":")[1])): int(node["epoch"]) for address, node in told.items() if node["slots"]}


@pytest.fixture
def redis_cluster(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()

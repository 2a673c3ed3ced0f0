"""Six nodes of a Redis Cluster, as a full home has them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from tools.servers import Running, free_port
from tools.servers.redis import BUS, Redis
from tools.servers.redis_cluster import SLOTS, Place, nodes_of

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


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.mark.parametrize(
    ("index", "slots"), [(0, range(5461)), (1, range(5461, 10922)), (2, range(10922, SLOTS)), (3, range(5461)), (5, range(10922, SLOTS))]
)
def test_a_place_has_a_third_of_the_slots_and_a_copy_has_the_same(index: int, slots: range):
    assert Place(range(6), index).slots == slots


def test_the_only_node_has_all_slots():
    assert Place([7000], 0).slots == range(SLOTS)


def test_three_have_the_slots_and_three_copy_them(cluster: Cluster):
    assert [cluster.own(index) for index in range(6)] == [(False, 5461), (False, 5461), (False, 5462), *[(True, 0)] * 3]


def test_a_copy_takes_over_with_what_there_was_and_who_died_comes_back_as_its_copy(cluster: Cluster):
    with redis.RedisCluster(port=cluster.servers[0].port, host="127.0.0.1", password=PASSWORD) as client:
        key = next(f"key-{number}" for number in range(1000) if client.keyslot(f"key-{number}") < 5461)
        client.set(key, "kept")
        assert client.wait(1, 5000, target_nodes=client.get_node_from_key(key)) == 1
    cluster.running[0].kill()
    cluster.running[0].start()
    cluster.running[0].wait()

    assert (cluster.own(0), cluster.own(3)) == ((True, 0), (False, 5461))
    with cluster.client(3) as heir:
        assert heir.get(key) == b"kept"


def test_all_come_back_where_they_were(cluster: Cluster):
    cluster.stop()
    cluster.start()

    assert [cluster.own(index) for index in range(6)] == [(False, 5461), (False, 5461), (False, 5462), *[(True, 0)] * 3]

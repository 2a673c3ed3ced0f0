"""More primaries for a Redis Cluster that runs, and slots that move to them and back.

Each slot goes as redis-cli takes it: the target imports, the source migrates, keys follow in portions, then it is the target's. See
https://redis.io/docs/latest/commands/cluster-setslot/
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import redis

from tests.full import NODES, RedisNodes
from tools.servers import Running, free_port, is_listening
from tools.servers.redis import BUS, Redis
from tools.servers.redis_cluster import Node, nodes_of

KEYS_A_PORTION = 10
SLOTS_A_BATCH = 128


class More:
    """Primaries beside those of a full home, which have no slots at first."""

    def __init__(self, nodes: RedisNodes, folder: Path, count: int) -> None:
        self._nodes = nodes
        self._servers = [Redis(folder / str(number), nodes.password, free_port(also=BUS)) for number in range(count)]
        self._running = [Running(server, folder / f"{number}.log") for number, server in enumerate(self._servers)]
        self.ports = [server.port for server in self._servers]

    def join(self) -> None:
        """Starts them, and has everybody know them; back when they take writes."""
        for running, port in zip(self._running, self.ports, strict=True):
            running.start()
            while not is_listening(port):
                time.sleep(0.02)
            with self._nodes.client(NODES[0]) as client:
                client.execute_command("CLUSTER MEET", "127.0.0.1", port)
        for port in [*map(self._nodes.port, NODES), *self.ports]:
            while not set(self.ports) <= {node.port for node in self._seen_by(port) if "handshake" not in node.flags}:
                time.sleep(0.05)
        for port in self.ports:
            with self._nodes.client_at(port) as client:
                while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":  # type: ignore[index]
                    time.sleep(0.05)

    def leave(self) -> None:
        """Ends them, and has everybody forget them."""
        ids = [node.node_id for node in self._seen_by(self._nodes.port(NODES[0])) if node.port in self.ports]
        for running in self._running:
            running.stop()
        for name in NODES:
            with self._nodes.client(name) as client:
                for each in ids:
                    client.execute_command("CLUSTER FORGET", each)

    def _seen_by(self, port: int) -> list[Node]:
        with self._nodes.client_at(port) as client:
            return nodes_of(client)


def move(nodes: RedisNodes, slots: Sequence[int], source: int, target: int) -> None:
    """Moves slots, with what is in them, from the node at one port to the one at another."""
    with nodes.client_at(source) as giver, nodes.client_at(target) as taker:
        giver_id, taker_id = _id(giver), _id(taker)
        for first in range(0, len(slots), SLOTS_A_BATCH):
            batch = slots[first : first + SLOTS_A_BATCH]
            _each(taker, batch, "IMPORTING", giver_id)
            _each(giver, batch, "MIGRATING", taker_id)
            for slot in batch:
                _move_keys(giver, slot, target, nodes.password)
            _each(taker, batch, "NODE", taker_id)
            # Who has given its last slot away has become a copy, and knows without being told.
            _each(giver, batch, "NODE", taker_id, is_told=False)


def _each(client: redis.Redis, slots: Sequence[int], state: str, node_id: str, *, is_told: bool = True) -> None:
    pipeline = client.pipeline(transaction=False)
    for slot in slots:
        pipeline.execute_command("CLUSTER SETSLOT", slot, state, node_id)
    pipeline.execute(raise_on_error=is_told)


def _move_keys(giver: redis.Redis, slot: int, target: int, password: str) -> None:
    while keys := giver.execute_command("CLUSTER GETKEYSINSLOT", slot, KEYS_A_PORTION):
        giver.execute_command("MIGRATE", "127.0.0.1", target, "", 0, 2000, "AUTH", password, "KEYS", *keys)  # type: ignore[misc]


def _id(client: redis.Redis) -> str:
    return str(client.execute_command("CLUSTER MYID").decode())  # type: ignore[union-attr]

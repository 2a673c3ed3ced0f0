"""How nodes of a Redis Cluster find each other, share the slots, and leave them to each other.

The first half of the nodes, rounded up, begin with a share of the slots each; each of the others copies one of those, and takes its place
when it dies. Who has a share later on is the cluster's own affair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import redis

SLOTS = 16_384
HEIR_SECONDS = 10.0
"""How long one that died stays away for another to take its place; that takes four to five."""
POLL = 0.1


@dataclass(frozen=True)
class Place:
    """Which node of the cluster it is."""

    ports: Sequence[int]
    """Of all nodes, on 127.0.0.1."""
    index: int

    @property
    def port(self) -> int:
        return self.ports[self.index]

    @property
    def shares(self) -> int:
        """In how many parts the slots begin."""
        return (len(self.ports) + 1) // 2

    @property
    def slots(self) -> range:
        """The share that the node has, or copies."""
        share = self.index % self.shares
        return range(share * SLOTS // self.shares, (share + 1) * SLOTS // self.shares)


class Node(NamedTuple):
    """What the cluster knows of one of its nodes."""

    node_id: str
    port: int
    flags: Sequence[str]
    primary_id: str
    """Of whom it copies; empty for a primary."""
    slots: Sequence[range]

    def has(self, slot: int) -> bool:
        return any(slot in each for each in self.slots)


def nodes_of(client: redis.Redis) -> list[Node]:
    """All that one of them knows, itself included."""
    found: Mapping[str, Mapping[str, Any]] = client.execute_command("CLUSTER NODES")  # type: ignore[assignment]
    return [_node(address, each) for address, each in found.items()]


def _node(address: str, each: Mapping[str, Any]) -> Node:
    slots = [range(int(first), int((rest or [first])[0]) + 1) for first, *rest in each["slots"]]
    return Node(each["node_id"], int(address.rpartition(":")[2] or 0), each["flags"].split(","), each["master_id"].strip("-"), slots)


def settled(client: redis.Redis, place: Place, connect: Callable[[int], redis.Redis]) -> bool:
    """Whether the node is where it belongs; takes it there, step by step, as often as it is called.

    Args:
        connect: a client of the node at a port.
    """
    nodes = nodes_of(client)
    if missing := set(place.ports) - {node.port for node in nodes}:
        _number(client, place.ports.index(place.port))
        for port in missing:
            with connect(port) as other:
                _number(other, place.ports.index(port))
            client.execute_command("CLUSTER MEET", "127.0.0.1", port)
        return False
    own = next(node for node in nodes if "myself" in node.flags)
    if own.slots or "slave" in own.flags:
        return True
    owner = next((node for node in nodes if node.has(place.slots[0])), None)
    if owner:
        client.execute_command("CLUSTER REPLICATE", owner.node_id)
    elif place.index < place.shares:
        client.execute_command("CLUSTER ADDSLOTS", *place.slots)
    return False


def _number(client: redis.Redis, index: int) -> None:
    """Gives a node an epoch of its own, before it knows another.

    Nodes of one epoch agree on others by and by; a primary that dies meanwhile has no heir: to the others its copy speaks for an old epoch.
    """
    with suppress(redis.ResponseError):  # It has one, or knows others.
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)


def is_whole(client: redis.Redis) -> bool:
    """Whether every slot is served, and a copy is up to date."""
    info: Mapping[str, str] = client.execute_command("CLUSTER INFO")  # type: ignore[assignment]
    copying: Mapping[str, Any] = client.info("replication")  # type: ignore[assignment]
    is_linked = copying["role"] == "master" or copying["master_link_status"] == "up"
    return info["cluster_state"] == "ok" and int(info["cluster_slots_ok"]) == SLOTS and is_linked


def await_heir(others: Sequence[redis.Redis], place: Place) -> None:
    """Waits until another node has taken the place of one that died, or nobody does.

    It comes back empty: as long as it counts as the primary, its copies would copy just that.
    """
    give_up = time.monotonic() + HEIR_SECONDS
    while _has_slots(others, place.port) and time.monotonic() < give_up:
        time.sleep(POLL)


def _has_slots(others: Sequence[redis.Redis], port: int) -> bool:
    """Whether the first of the others that answers still has that node for a primary."""
    for client in others:
        try:
            return any(node.slots for node in nodes_of(client) if node.port == port)
        except redis.RedisError:
            continue
    return False

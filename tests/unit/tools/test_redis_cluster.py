"""Six nodes of a Redis Cluster, as a full home has them."""

from __future__ import annotations

import pytest
import redis

from tests.redis_cluster import PASSWORD, Cluster
from tools.servers.redis_cluster import SLOTS, Place


@pytest.mark.parametrize(
    ("index", "slots"), [(0, range(5461)), (1, range(5461, 10922)), (2, range(10922, SLOTS)), (3, range(5461)), (5, range(10922, SLOTS))]
)
def test_a_place_has_a_third_of_the_slots_and_a_copy_has_the_same(index: int, slots: range):
    assert Place(range(6), index).slots == slots


def test_the_only_node_has_all_slots():
    assert Place([7000], 0).slots == range(SLOTS)


def test_three_have_the_slots_and_three_copy_them(redis_cluster: Cluster):
    assert [redis_cluster.own(index) for index in range(6)] == [(False, 5461), (False, 5461), (False, 5462), *[(True, 0)] * 3]


def test_all_know_each_primary_by_an_epoch_of_its_own(redis_cluster: Cluster):
    assert [redis_cluster.epochs(index) for index in range(6)] == [{0: 1, 1: 2, 2: 3}] * 6


def test_a_copy_takes_over_with_what_there_was_and_who_died_comes_back_as_its_copy(redis_cluster: Cluster):
    with redis.RedisCluster(port=redis_cluster.servers[0].port, host="127.0.0.1", password=PASSWORD) as client:
        key = next(f"key-{number}" for number in range(1000) if client.keyslot(f"key-{number}") < 5461)
        client.set(key, "kept")
        assert client.wait(1, 5000, target_nodes=client.get_node_from_key(key)) == 1
    redis_cluster.running[0].kill()
    redis_cluster.running[0].start()
    redis_cluster.running[0].wait()

    assert (redis_cluster.own(0), redis_cluster.own(3)) == ((True, 0), (False, 5461))
    with redis_cluster.client(3) as heir:
        assert heir.get(key) == b"kept"


def test_all_come_back_where_they_were(redis_cluster: Cluster):
    redis_cluster.stop()
    redis_cluster.start()

    assert [redis_cluster.own(index) for index in range(6)] == [(False, 5461), (False, 5461), (False, 5462), *[(True, 0)] * 3]

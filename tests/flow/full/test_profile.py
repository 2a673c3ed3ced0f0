"""A full home, from its first start to its end."""

from __future__ import annotations

import asyncio
import json
from urllib.request import urlopen

import pytest

from tests.full import DATABASES, MEMBERS, NODES, RedisNodes
from tests.load.memory import mebibytes
from tests.shell import Shell

pytestmark = [pytest.mark.edge, pytest.mark.full]

NAMES = [*DATABASES, *NODES, *MEMBERS, "sandbox", "pulsar", "opensearch", "worker-1", "worker-2", "envoy"]
MEMORY_BAR = 5 * 1024
"""MiB of all processes together, what they share counted once."""


def ranked(shell: Shell) -> list[tuple[str, int]]:
    answer = shell.get("/v1/queryTopProducts?category=grocery&limit=10")
    return [(row["productId"], row["orders"]) for row in answer["products"]]


def test_status_shows_every_server(full: Shell):
    assert {name: process["state"] for name, process in full.processes().items()} == dict.fromkeys(NAMES, "ready")


def test_orders_are_confirmed_and_ranked(full: Shell):
    done = full.run("demo", "--orders", "20")

    assert done.returncode == 0, done.stderr
    assert ranked(full) != []


def test_doctor_finds_nothing(full: Shell):
    done = full.run("doctor")

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_slots_are_shared_and_copied(full: Shell):
    known = RedisNodes(full).known()

    assert sorted((bool(node.slots), bool(node.primary_id)) for node in known) == [(False, True)] * 3 + [(True, False)] * 3


def test_the_index_is_open_search(full: Shell):
    with urlopen(f"http://{full.process('opensearch').address}/") as answer:
        assert json.load(answer)["version"]["number"] == "3.8.0"


def test_products_are_found_there(full: Shell):
    answer = full.get("/v1/search?category=grocery&in_stock=true")

    assert (answer["source"], len(answer["products"])) == ("INDEX", 20)


def test_all_of_it_is_small(full: Shell):
    state = full.home.read_state()
    assert state is not None
    held = mebibytes(state.supervisor.pid)
    print(f"{held:.0f} MiB")

    assert held <= MEMORY_BAR


def test_a_stop_leaves_nothing_and_a_start_finds_what_was_there(full: Shell):
    shown, before = ranked(full), full.identities()
    done = full.run("down")

    assert (done.returncode, done.stdout) == (0, "Bazaar is down\n")
    assert [each for each in before if each.is_alive()] == []
    full.up()
    assert {name: process["state"] for name, process in full.processes().items()} == dict.fromkeys(NAMES, "ready")
    assert ranked(full) == shown
    assert asyncio.run(full.violations()) == []


def test_another_bus_is_refused(full: Shell):
    done = full.run("up", "--detach", "--full", "--bus", "postgres")

    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "bazaar: a full home has its events in Pulsar; leave --bus out, or --full",
    )

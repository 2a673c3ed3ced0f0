"""A full home that is a mesh: every service comes to the same servers with a credential of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from tests.chaos.recovery import BAR, until
from tests.full import DATABASES, MEMBERS, NODES, primary_and_heir
from tests.shell import Shell
from tools.mesh import services

pytestmark = [pytest.mark.edge, pytest.mark.full]


@pytest.fixture(scope="module")
def mesh(pulsar_jars: Path, opensearch_distribution: Path, short_directory: Path) -> Iterator[Shell]:
    shell = Shell(short_directory / "full-mesh")
    try:
        shell.up("--full", "--mesh")
        yield shell
    finally:
        shell.end()


def test_every_server_and_every_service_is_ready(mesh: Shell):
    names = [*DATABASES, *NODES, *MEMBERS, "sandbox", "pulsar", "opensearch", *services(), "envoy"]

    assert {name: process["state"] for name, process in mesh.processes().items()} == dict.fromkeys(names, "ready")


def test_orders_are_confirmed_and_everything_agrees(mesh: Shell):
    done = mesh.run("demo", "--orders", "10")

    assert done.returncode == 0, done.stderr
    assert asyncio.run(mesh.violations()) == []


async def test_the_standby_of_postgresql_takes_the_place_of_the_primary(mesh: Shell):
    primary, heir = await primary_and_heir(mesh)
    victim = mesh.process(primary).identity
    assert victim is not None
    victim.send(signal.SIGKILL)
    await until(lambda: mesh.process(heir).role == "primary", BAR)
    done = await asyncio.to_thread(mesh.run, "demo", "--orders", "10")

    assert done.returncode == 0, done.stderr
    assert await primary_and_heir(mesh) == (heir, primary)


@pytest.mark.parametrize("member", MEMBERS)
def test_no_member_of_mongodb_speaks_without_tls(mesh: Shell, member: str):
    url = f"mongodb://{mesh.process(member).address}/?directConnection=true"
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=500) as client, pytest.raises(ServerSelectionTimeoutError):
        client.admin.command("hello")

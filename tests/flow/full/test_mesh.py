"""A full home that is a mesh: every service comes to the same servers with a credential of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import ServerSelectionTimeoutError

from tests.full import MEMBERS, NODES
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
    names = ["postgres", *NODES, *MEMBERS, "sandbox", "pulsar", "opensearch", *services(), "envoy"]

    assert {name: process["state"] for name, process in mesh.processes().items()} == dict.fromkeys(names, "ready")


def test_orders_are_confirmed_and_everything_agrees(mesh: Shell):
    done = mesh.run("demo", "--orders", "10")

    assert done.returncode == 0, done.stderr
    assert asyncio.run(mesh.violations()) == []


@pytest.mark.parametrize("member", MEMBERS)
def test_no_member_of_mongodb_speaks_without_tls(mesh: Shell, member: str):
    url = f"mongodb://{mesh.process(member).address}/?directConnection=true"
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=500) as client, pytest.raises(ServerSelectionTimeoutError):
        client.admin.command("hello")

"""The rules follow the policy, call by call."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mesh.local.rules import callers_of, write_rules
from services.kit.auth import Grant
from tests.unit.mesh.conftest import SERVICES, Mesh, code_of, policy, request

NOBODY = {"callers": []}


async def until(wanted: str, call: object) -> int:
    """How many calls it took until one ended so; Envoy reads a file within milliseconds, and then no call ends otherwise."""
    for count in range(1, 500):
        if await code_of(call()) == wanted:  # type: ignore[operator]
            return count
        await asyncio.sleep(0.01)
    raise AssertionError(f"no call ended with {wanted}")


async def test_a_grant_that_is_taken_back_holds_on_the_open_connection(mesh: Mesh):
    stub = await mesh.stub("checkout")
    assert await code_of(stub.Echo(request())) == "OK"

    write_rules(mesh.places, policy(Echo=NOBODY))
    await until("PERMISSION_DENIED", lambda: stub.Echo(request()))

    assert {await code_of(stub.Echo(request())) for _ in range(20)} == {"PERMISSION_DENIED"}


async def test_a_new_grant_holds_without_a_restart(mesh: Mesh):
    stub = await mesh.stub("ranking")
    assert await code_of(stub.Denied(request())) == "PERMISSION_DENIED"

    write_rules(mesh.places, policy(Denied={"callers": ["ranking"]}))
    await until("OK", lambda: stub.Denied(request()))

    assert await code_of(stub.Denied(request())) == "OK"


def test_rules_that_say_the_same_are_not_written_again(folder: Path, mesh: Mesh):
    before = mesh.places.rules("test").stat().st_ino
    write_rules(mesh.places, policy())

    assert mesh.places.rules("test").stat().st_ino == before


def test_process_stands_for_every_service():
    assert callers_of(Grant("bazaar.test.v1.EchoService/Collect", frozenset({"process"})), SERVICES) == ["checkout", "ranking", "test"]

"""A policy that changes while a process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import structlog.testing
import yaml

from services.kit import policy_file
from services.kit.auth import Policy

METHOD = "/bazaar.test.v1.EchoService/Echo"


def text(*callers: str) -> str:
    methods = {METHOD[1:]: {"callers": list(callers), "roles": ["anyone"]}}
    return yaml.safe_dump({"identities": {"edge": {}, "orders": {}}, "methods": methods})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(policy_file, "LOOK_SECONDS", 0.01)
    (tmp_path / "policy.yaml").write_text(text("edge"))
    return tmp_path / "policy.yaml"


async def followed(file: Path, until: Callable[[Policy], bool], change: str) -> Policy:
    """The policy after a change of its file, once something holds."""
    policy = Policy.load(file)
    following = asyncio.create_task(policy_file.follow(policy, file))
    await asyncio.sleep(0)
    await asyncio.to_thread(file.write_text, change)
    async with asyncio.timeout(5):
        while not until(policy):
            await asyncio.sleep(0.01)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    return policy


async def test_a_change_holds(file: Path):
    policy = await followed(file, lambda policy: "orders" in policy.grant(METHOD).callers, text("orders"))

    assert policy.grant(METHOD).callers == {"orders"}


async def test_what_cannot_be_read_changes_nothing(file: Path):
    with structlog.testing.capture_logs() as logs:
        policy = await followed(file, lambda _: bool(logs), "methods: [")

    assert ([line["event"] for line in logs], policy.grant(METHOD).callers) == (["the policy stays as it was"], {"edge"})

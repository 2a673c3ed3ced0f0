"""What a process does for its services in each role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from services.kit import migrations
from services.kit.events.port import Delivery, Event, Subscription, Topic
from services.kit.events.postgres_bus import MIGRATIONS as EVENTS_MIGRATIONS
from services.kit.events.postgres_bus import PostgresBus
from services.kit.rpc.client import ClientChannel, socket_channel
from services.kit.runtime import Runtime
from services.kit.service import Parts, Service, ServiceKit
from services.kit.settings import Settings
from services.kit.timers import Timer
from tests.contract.echo import Echo, pb, stubs
from tests.unit.kit.events_on_postgres import event

NAME = "bazaar.test.v1.EchoService"


class Noted:
    """What happened in a process."""

    def __init__(self) -> None:
        self.happened: set[str] = set()
        self._changed = asyncio.Event()

    def note(self, what: str) -> None:
        self.happened.add(what)
        self._changed.set()

    async def all_of(self, what: set[str]) -> None:
        while not what <= self.happened:
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture
async def settings(folder: Path, postgres: Any) -> Settings:
    policy = {"identities": {"edge": {}, "echo": {}}, "methods": {f"{NAME}/Echo": {"callers": ["edge", "echo"], "roles": ["anyone"]}}}
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    database_url, events_url = postgres.fresh_database(), postgres.fresh_database()
    await migrations.migrate(database_url, [("kit", migrations.KIT_MIGRATIONS)])
    await migrations.migrate(events_url, [("events", EVENTS_MIGRATIONS)])
    return Settings(listen=f"unix:{folder}/w.sock", policy=folder / "policy.yaml", database_url=database_url, events_url=events_url)


@asynccontextmanager
async def running(settings: Settings, role: str, folder: Path) -> AsyncIterator[Noted]:
    """A process in a role, with one of each thing that a service may have; an event has been published."""
    noted = Noted()

    def build(kit: ServiceKit) -> Parts:
        async def keep() -> None:
            noted.note("background")
            answer = await stubs.EchoServiceStub(kit.channel("echo")).Echo(pb.EchoRequest(text="inside"))
            noted.note(f"called {answer.text}")
            await asyncio.Event().wait()

        async def tick(lease: Any) -> None:
            noted.note("timer")

        def heard(what: str) -> Any:
            async def handle(events: Sequence[Event]) -> None:
                noted.note(what)

            return handle

        return Parts(
            servicers=[(stubs.add_EchoServiceServicer_to_server, Echo())],
            topics=[Topic("echoes", partitions=1)],
            subscriptions=[
                Subscription("echoes", "workers", heard("group")),
                Subscription("echoes", "watchers", heard("broadcast"), Delivery.BROADCAST),
            ],
            timers=[Timer("tick", timedelta(seconds=60), tick)],
            background=[keep],
        )

    runtime = Runtime([Service("echo", build, migrations=folder)], settings.model_copy(update={"role": role}))
    bus = PostgresBus(settings.events_url)
    try:
        await runtime.start()
        await bus.open()
        await bus.declare([Topic("echoes", partitions=1)])
        publishing = asyncio.create_task(_publish(bus))  # a broadcast hears what comes once it listens
        yield noted
        publishing.cancel()
    finally:
        await bus.close()
        await runtime.stop()


async def _publish(bus: PostgresBus) -> None:
    while True:
        await bus.publish([event(topic="echoes")])
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("role", "done", "left"),
    [
        ("all", {"group", "broadcast", "timer", "background", "called inside"}, set()),
        ("serve", {"broadcast", "background", "called inside"}, {"group", "timer"}),
        ("work", {"group", "timer", "background", "called inside"}, {"broadcast"}),
    ],
)
async def test_a_role_says_what_a_process_does(settings: Settings, folder: Path, role: str, done: set[str], left: set[str]):
    async with running(settings, role, folder) as noted, asyncio.timeout(20):
        await noted.all_of(done)
        await asyncio.sleep(0.5)  # for what must not happen there is nothing to wait for

    assert noted.happened & left == set()


async def test_a_process_that_works_is_healthy_and_answers_no_calls(settings: Settings, folder: Path):
    async with running(settings, "work", folder), socket_channel(settings.listen) as channel:
        health = await HealthStub(channel).Check(HealthCheckRequest())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stubs.EchoServiceStub(ClientChannel(channel, "edge", "echo", speaks_for_users=True, is_far=False)).Echo(pb.EchoRequest())

    assert (health.status, refused.value.code()) == (HealthCheckResponse.SERVING, grpc.StatusCode.UNIMPLEMENTED)

"""Services in a real process of their own making: sockets, PostgreSQL and the event bus are real."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from services.kit import migrations, outbox
from services.kit.connections import SharedConnections, Unconfigured
from services.kit.errors import Unavailable
from services.kit.events.port import Event, Subscription, Topic
from services.kit.events.postgres_bus import MIGRATIONS as EVENTS_MIGRATIONS
from services.kit.rpc.server import SocketTaken
from services.kit.runtime import Runtime, StartFailed
from services.kit.service import Parts, Service, ServiceKit
from services.kit.settings import Settings
from services.kit.telemetry.store import read_trace
from services.kit.timers import Timer
from tests.contract.echo import Echo, pb, stubs
from tests.unit.kit.hosting import NAME, connected, echo_service, echo_stub, running, settings_in

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture
def settings(folder: Path) -> Settings:
    return settings_in(folder)


@pytest.mark.parametrize("name", ["", NAME])
async def test_a_process_that_serves_is_healthy_in_all_and_by_service(settings: Settings, name: str):
    async with running([echo_service()], settings), connected(settings) as channel:
        answer = await HealthStub(channel).Check(HealthCheckRequest(service=name))

    assert answer.status == SERVING


async def test_a_watcher_sees_the_end_coming_and_does_not_hold_it_up(settings: Settings):
    async with connected(settings) as channel:
        async with running([echo_service()], settings):
            watch = HealthStub(channel).Watch(HealthCheckRequest())
            first = await watch.read()
        rest = [await watch.read(), await watch.read()]

    assert ([first.status, rest[0].status], rest[1]) == ([SERVING, NOT_SERVING], grpc.aio.EOF)


async def test_reflection_lists_the_services(settings: Settings):
    async with running([echo_service()], settings), connected(settings) as channel:
        call = ServerReflectionStub(channel).ServerReflectionInfo(iter([ServerReflectionRequest(list_services="")]))
        [answer] = [answer async for answer in call]

    names = {service.name for service in answer.list_services_response.service}
    assert names == {NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_spans_of_the_edge_are_taken_in_and_kept(settings: Settings, folder: Path):
    span = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET")
    export = ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span])])])
    tracing = settings.model_copy(update={"trace_dir": folder, "trace_sampling": "all"})
    async with running([echo_service()], tracing), connected(tracing) as channel:
        await TraceServiceStub(channel).Export(export)

    assert [(span.service, span.name) for span in read_trace(folder, (b"t" * 16).hex())] == [("edge", "GET")]


async def test_the_socket_is_private(settings: Settings, folder: Path):
    async with running([echo_service()], settings):
        mode = stat.S_IMODE((folder / "w.sock").stat().st_mode)

    assert mode == 0o600


async def test_a_live_socket_is_not_taken_over(settings: Settings):
    async with running([echo_service()], settings):
        with pytest.raises(SocketTaken):
            async with running([echo_service()], settings):
                pass
        async with connected(settings) as channel:
            assert (await echo_stub(channel).Echo(pb.EchoRequest(text="still here"))).text == "still here"


async def test_a_stale_socket_is_replaced(settings: Settings, folder: Path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{folder}/w.sock")
    async with running([echo_service()], settings), connected(settings) as channel:
        assert (await echo_stub(channel).Echo(pb.EchoRequest(text="new"))).text == "new"


async def test_a_path_too_long_to_bind_is_told_plainly(settings: Settings, folder: Path):
    with pytest.raises(SocketTaken, match="over 107 bytes"):
        async with running([echo_service()], settings.model_copy(update={"listen": f"unix:{folder}/{'x' * 107}"})):
            pass


async def test_services_of_one_process_call_each_other_in_their_own_names(settings: Settings):
    servicer, callers = Echo(), list[str]()

    async def note(request: Any, context: Any) -> Any:
        callers.append(dict(context.invocation_metadata())["x-bazaar-caller"])
        return pb.EchoResponse()

    def build(kit: ServiceKit) -> Parts:
        async def start() -> None:
            await stubs.EchoServiceStub(kit.channel("echo")).Echo(pb.EchoRequest())

        return Parts(servicers=[], start=start)

    servicer.echo = note
    async with running([echo_service(servicer), Service("front", build)], settings):
        pass

    assert callers == ["front"]


async def test_a_callee_that_lives_nowhere_is_named_at_start(settings: Settings):
    def build(kit: ServiceKit) -> Parts:
        kit.channel("orders")
        return Parts(servicers=[])

    with pytest.raises(Unconfigured, match="BAZAAR_ADDRESS_ORDERS is not set"):
        Runtime([Service("front", build)], settings)


async def test_a_server_that_does_not_come_is_told_plainly(settings: Settings, folder: Path):
    absent = settings.model_copy(update={"database_url": f"postgresql://x@/x?host={folder}"})
    service = Service("echo", lambda kit: Parts(servicers=[]), migrations=folder)

    with pytest.raises(StartFailed, match="could not be reached in time"):
        async with running([service], absent):
            pass


async def test_a_process_that_fails_at_its_start_leaves_nothing_running(settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch):
    async def fail(self: SharedConnections) -> None:
        await readied(self)
        raise Unavailable("too late")

    readied = SharedConnections.open
    monkeypatch.setattr(SharedConnections, "open", fail)
    unasked = settings.model_copy(update={"database_url": f"postgresql://x@/x?host={folder}"})
    before = _tasks()
    with pytest.raises(Unavailable):
        await Runtime([Service("echo", lambda kit: Parts(servicers=[]), migrations=folder)], unasked).run()

    assert _tasks() - before == set()


def _tasks() -> set[asyncio.Task[Any]]:
    """What runs, but for pymongo's own: a client that other tests share has monitors, which come and go."""
    return {task for task in asyncio.all_tasks() if "pymongo" not in str(task)}


async def test_a_committed_event_reaches_its_subscriber_and_what_a_leader_does_is_done(settings: Settings, folder: Path, postgres: Any):
    database_url, events_url = postgres.fresh_database(), postgres.fresh_database()
    await migrations.migrate(database_url, [("kit", migrations.KIT_MIGRATIONS)])
    await migrations.migrate(events_url, [("events", EVENTS_MIGRATIONS)])
    received: asyncio.Queue[Event] = asyncio.Queue()
    ticked, led = asyncio.Event(), asyncio.Event()
    databases: list[Any] = []

    async def handle(events: Sequence[Event]) -> None:
        for each in events:
            received.put_nowait(each)

    async def tick(lease: Any) -> None:
        ticked.set()

    async def lead(lease: Any) -> None:
        led.set()
        await asyncio.Event().wait()

    def build(kit: ServiceKit) -> Parts:
        databases.append(kit.database)
        return Parts(
            servicers=[],
            topics=[Topic("echoes", partitions=2)],
            subscriptions=[Subscription("echoes", "listener", handle)],
            timers=[Timer("tick", timedelta(seconds=60), tick)],
            led=[lead],
        )

    whole = settings.model_copy(update={"database_url": database_url, "events_url": events_url, "start_timeout_seconds": 10})
    async with running([Service("echo", build, migrations=folder)], whole), asyncio.timeout(20):
        async with databases[0].transaction() as tx:
            message = pb.EchoEvent(answered=pb.EchoResponse(text="hello"))
            sent = outbox.event(topic="echoes", key="k", subject="s", aggregate_version=1, message=message)
            outbox.append(tx, [sent])
        arrived = await received.get()
        await ticked.wait()
        await led.wait()

    assert (arrived.id, pb.EchoEvent.FromString(arrived.payload).answered.text) == (sent.id, "hello")

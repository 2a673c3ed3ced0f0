"""Runs any set of services in one process, from start to drain."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from grpc.aio import Channel, Server
from grpc_health.v1 import health_pb2_grpc

from services.kit import leader
from services.kit.auth import PROCESS, Policy
from services.kit.clock import system_clock
from services.kit.connections import SharedConnections, Unconfigured
from services.kit.events import event_bus
from services.kit.events.port import Delivery, EventBus, Subscription
from services.kit.limits.edge import RateLimitService, add_rate_limits_to_server
from services.kit.loop_lag import LoopLag
from services.kit.policy_file import follow
from services.kit.relay import Relay
from services.kit.rpc import calls
from services.kit.rpc.bundles import Bundles
from services.kit.rpc.health import SERVICE_NAME as HEALTH
from services.kit.rpc.health import Health
from services.kit.rpc.identity import IsRevoked, certified_caller, claimed_caller
from services.kit.rpc.inprocess import InProcessServer
from services.kit.rpc.pipeline import Rules
from services.kit.rpc.reflection import add_reflection
from services.kit.rpc.server import Registry, serve_on
from services.kit.rpc.shedding import Pressure
from services.kit.rpc.waiting import Waiting
from services.kit.secrets import Secrets
from services.kit.service import Parts, Service, ServiceKit
from services.kit.settings import Settings
from services.kit.supervision import keep_running
from services.kit.telemetry import start as telemetry
from services.kit.telemetry.collector import add_collector_to_server
from services.kit.timers import Timer, housekeeping, run_timers

_BETWEEN_PROBES_SECONDS = 0.25
_LAST_WORDS_SECONDS = 2.0
"""For cancelled work to end; nothing waits longer for it."""

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

ChannelTo = Callable[[str], Channel]
ProcessWork = Callable[[ChannelTo], Awaitable[None]]
"""Long-running work of the process itself; gets channels in the name of `process`."""


class StartFailed(Exception):
    """The process cannot serve; the message is a sentence for whoever started it."""


@dataclass(frozen=True)
class _Running:
    service: Service
    kit: ServiceKit
    parts: Parts


class Runtime:
    """The services of one process.

    Args:
        is_revoked: tells whether a session's tokens are refused.
        process_work: what the composition root wants kept running for the calls that are answered here.
    """

    def __init__(
        self,
        services: Sequence[Service],
        settings: Settings,
        *,
        is_revoked: IsRevoked = lambda session_id: False,
        process_work: Sequence[ProcessWork] = (),
    ) -> None:
        self.loop_lag = LoopLag()
        self._settings = settings
        self._process_work = process_work
        self._policy = policy = Policy.load(settings.policy)
        prefix = settings.spiffe_prefix
        caller = certified_caller(prefix) if prefix else claimed_caller
        self._waiting = Waiting()
        pressure = Pressure(most_calls=settings.shed_calls, most_wait=settings.shed_wait_seconds, wait=lambda: self._waiting.seconds)
        self._rules = Rules(policy, is_revoked, caller, pressure=pressure)
        self._serves, self._works = settings.role != "work", settings.role != "serve"
        self._registry = Registry(self._rules, max_calls=settings.max_concurrent_calls, max_streams=settings.max_concurrent_streams)
        self._outside = self._registry if self._serves else Registry(self._rules)
        """What the socket answers: callers in this process reach its services in any case."""

        self._inside = InProcessServer(self._registry)
        names = frozenset(service.name for service in services)
        self._connections = SharedConnections(settings, policy, names, self._inside.channel())
        self._running = [self._built(service) for service in services]
        self._bus = self._bus_if_needed()
        self._health = self._registered()
        self._server: Server | None = None
        self._background: list[asyncio.Task[None]] = []

    @property
    def parts(self) -> dict[str, Parts]:
        """What each of its services consists of, by name."""
        return {running.service.name: running.parts for running in self._running}

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains.

        Raises:
            StartFailed: the services' servers were not there in time.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(self.start())
        try:
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
                await stopping
        finally:
            await _cancelled([starting, stopping])
            await self.stop()

    async def start(self) -> None:
        """Opens, starts and serves everything.

        Raises:
            StartFailed: see `run`.
            SocketTaken: the address is in use.
        """
        if not self._settings.listen:
            raise StartFailed("BAZAAR_LISTEN is not set: where should this process serve?")
        await self._reach_servers()
        for running in self._running:
            if running.parts.start:
                await running.parts.start()
        self._server = serve_on((Bundles(self._outside, self._rules.caller), self._outside), self._settings.listen)
        self._begin_background()
        await self._server.start()
        self._health.serve()
        _log.info("serving", listen=self._settings.listen, services=[running.service.name for running in self._running])

    async def stop(self) -> None:
        """Drains: no new calls, those in flight finish (up to the drain timeout), then everything is closed."""
        grace = self._settings.drain_timeout_seconds
        deadline = time.monotonic() + grace
        self._health.stop()
        self._rules.streams.end()
        if self._server:
            await self._server.stop(grace)
        if outliving := calls.outliving():
            await asyncio.wait(outliving, timeout=max(0.0, deadline - time.monotonic()))
        await _cancelled([*self._background, *calls.outliving()])
        await self._inside.stop(max(0.0, deadline - time.monotonic()))
        if self._bus:
            await self._bus.close()
        await self._connections.close()
        _log.info("drained")

    def _built(self, service: Service) -> _Running:
        database = self._connections.database(service.name) if service.migrations else None
        kit = ServiceKit(service.name, self._settings, Secrets(self._settings.secrets), system_clock, self._connections, database)
        parts = service.build(kit)
        if database is None and (parts.timers or parts.topics or parts.led):
            raise StartFailed(f"The service {service.name} has timers, topics or work to lead, for which it needs a database (migrations).")
        return _Running(service, kit, parts)

    def _bus_if_needed(self) -> EventBus | None:
        if not any((self._works and running.parts.topics) or self._subscriptions(running) for running in self._running):
            return None
        if not self._settings.events_url:
            raise Unconfigured("BAZAAR_EVENTS_URL is not set, and a service of this process publishes or subscribes.")
        try:
            return event_bus(self._settings.events_url)
        except ValueError as error:
            raise Unconfigured(str(error)) from None

    def _registered(self) -> Health:
        for running in self._running:
            self._registry.add(running.service.name, running.parts.servicers)
        names = self._outside.service_names
        health = Health(names)
        generated: Any = health_pb2_grpc
        self._outside.add_open(generated.add_HealthServicer_to_server, health)
        add_reflection(self._outside, (*names, HEALTH))
        if collector := telemetry.collector(self._settings):
            self._outside.add_open(add_collector_to_server, collector)
        if self._serves and self._settings.redis_url:
            self._outside.add_open(add_rate_limits_to_server, RateLimitService(self._connections.redis))
        return health

    async def _reach_servers(self) -> None:
        await self._connections.open()
        deadline = time.monotonic() + self._settings.start_timeout_seconds
        await _eventually("PostgreSQL, Redis or MongoDB", self._connections.probe, deadline)
        if bus := self._bus:
            topics = [topic for running in self._running for topic in running.parts.topics]

            await _eventually("The event bus", bus.open, deadline)
            await _eventually("The event bus", lambda: bus.declare(topics), deadline)

    def _begin_background(self) -> None:
        self._keep("loop lag", self.loop_lag.measure)
        self._keep("policy", lambda: follow(self._policy, self._settings.policy))
        if self._serves and self._settings.shed_wait_seconds:
            self._keep("waiting", lambda: self._waiting.measure(self._settings.listen))
        for index, work in enumerate(self._process_work if self._serves else ()):
            self._keep(f"process {index}", lambda work=work: work(lambda service: self._connections.channel(PROCESS, service)))
        for running in self._running:
            name = running.service.name
            for index, work in enumerate(running.parts.background):
                self._keep(f"{name} background {index}", work)
            if leading := self._led(running):
                self._keep(f"{name} leader", leading)
            if self._bus:
                for subscription in self._subscriptions(running):
                    consume = self._bus.consume
                    self._keep(f"{name} {subscription.topic}", lambda consume=consume, subscription=subscription: consume(subscription))

    def _subscriptions(self, running: _Running) -> list[Subscription]:
        """A broadcast tells the calls that this process answers; what a group shares is work."""
        return [each for each in running.parts.subscriptions if (self._serves if each.delivery is Delivery.BROADCAST else self._works)]

    def _led(self, running: _Running) -> Callable[[], Awaitable[None]] | None:
        """One leader a service does all that is done once for all processes: the relay, the timers and its own work."""
        database = running.kit.own_database
        if database is None or not self._works:
            return None
        timers: list[Timer] = [*housekeeping(database), *running.parts.timers]
        works: list[leader.Work] = [lambda lease: run_timers(timers, lease), *running.parts.led]
        if self._bus and running.parts.topics:
            works.append(Relay(database, self._bus.publish).run)
        return lambda: leader.lead(database.url, running.service.name, leader.together(*works))

    def _keep(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._background.append(asyncio.create_task(keep_running(name, work), name=name))


async def _eventually(what: str, attempt: Callable[[], Awaitable[None]], deadline: float) -> None:
    while True:
        try:
            return await attempt()
        except Exception as error:
            if time.monotonic() >= deadline:
                raise StartFailed(f"{what} could not be reached in time: {type(error).__name__}: {error}") from error
        await asyncio.sleep(_BETWEEN_PROBES_SECONDS)


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_LAST_WORDS_SECONDS)

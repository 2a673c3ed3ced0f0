"""Stops an attempt at a named step, between two calls: for ever, as a killed process does, or until a rival has been there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from grpc.aio import AioRpcError, Channel

from services.kit.rpc import calls
from services.kit.service import Connections, Parts, Service, ServiceKit

Side = Literal["before", "after"]


@dataclass
class Stop:
    """One stop; the first call that comes to it takes it."""

    call: str
    """Such as "inventory.Reserve"."""
    side: Side
    is_for_ever: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Stops:
    """Watches the calls that some services of a process make while they answer one; what timers and consumers do is left alone."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        """Every call so far, in the order they began."""
        self._waiting: list[Stop] = []
        self._dead: set[str] = set()
        self._held: set[asyncio.Task[Any]] = set()

    def at(self, call: str, side: Side) -> Stop:
        """Stops the next attempt that comes there, until it is released."""
        return self._add(Stop(call, side))

    def die_at(self, call: str, side: Side) -> Stop:
        """Stops the next attempt that comes there for good: nothing that is done in its user's name in this process goes on."""
        return self._add(Stop(call, side, is_for_ever=True))

    def clear(self) -> None:
        """Forgets everything; what still hangs is dropped as a dying process drops it."""
        for task in self._held:
            task.cancel()
        self.calls.clear()
        self._waiting.clear()
        self._dead.clear()

    def watching(self, service: Service) -> Service:
        """The service, with its outgoing calls watched."""

        def build(kit: ServiceKit) -> Parts:
            return service.build(replace(kit, connections=_Watched(kit.connections, self)))  # type: ignore[arg-type]

        return replace(service, build=build)

    async def pass_by(self, call: str, side: Side) -> None:
        """Called around every call; comes back when the attempt may go on."""
        answering = calls.find()
        if answering is None:
            return
        user = answering.principal.id
        if side == "before":
            self.calls.append(call)
        stop = next((stop for stop in self._waiting if (stop.call, stop.side) == (call, side)), None)
        if user not in self._dead and stop is not None:
            self._waiting.remove(stop)
            stop.reached.set()
            if stop.is_for_ever:
                self._dead.add(user)
            else:
                await stop.released.wait()
        if user in self._dead:
            await self._hang()

    async def _hang(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._held.add(task)
        try:
            await asyncio.Event().wait()
        finally:
            self._held.discard(task)

    def _add(self, stop: Stop) -> Stop:
        self._waiting.append(stop)
        return stop


class _Watched:
    """A process's connections, with the unary calls of its stubs watched: no others are made while an order is placed."""

    def __init__(self, connections: Connections, stops: Stops) -> None:
        self._connections = connections
        self._stops = stops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connections, name)

    def channel(self, caller: str, service: str) -> _WatchedChannel:
        return _WatchedChannel(self._connections.channel(caller, service), service, self._stops)


class _WatchedChannel:
    def __init__(self, inner: Channel, callee: str, stops: Stops) -> None:
        self._inner = inner
        self._callee = callee
        self._stops = stops

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def unary_unary(self, method: str, *serializers: Any, **more: Any) -> Callable[..., Any]:
        name = f"{self._callee}.{method.rpartition('/')[2]}"
        send: Callable[..., Any] = self._inner.unary_unary(method, *serializers, **more)

        async def call(request: Any, **options: Any) -> Any:
            await self._stops.pass_by(name, "before")
            try:
                response = await send(request, **options)
            except AioRpcError:
                await self._stops.pass_by(name, "after")
                raise
            await self._stops.pass_by(name, "after")
            return response

        # As any call, it is under way before it is awaited.
        return lambda request, **options: asyncio.ensure_future(call(request, **options))

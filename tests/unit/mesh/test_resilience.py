"""What the sidecars do for a callee that is slow, failing or away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from mesh.local import clusters
from services.kit.errors import Unavailable
from tests.unit.mesh.conftest import Mesh, code_of, policy, request, starting


async def test_a_call_waits_for_a_service_that_is_on_its_way_up(mesh: Mesh):
    """Even one that may not be repeated: it has not begun."""
    stub = await mesh.stub("checkout")
    await mesh.server.stop(0)
    waiting = asyncio.create_task(code_of(stub.Collect(iter([request()]), metadata=(("x-bazaar-caller", "process"),))))
    await asyncio.sleep(1)
    await mesh.open()

    assert await waiting == "OK"


async def test_a_service_that_stops_and_starts_under_load_fails_no_repeatable_call(mesh: Mesh):
    stub, ended, codes = await mesh.client("checkout"), asyncio.Event(), []

    async def call() -> None:
        while not ended.is_set():
            codes.append(await code_of(stub.Echo(request(), timeout=10)))

    load = [asyncio.create_task(call()) for _ in range(16)]
    for _ in range(2):
        await asyncio.sleep(0.5)
        await mesh.server.stop(10)
        await asyncio.sleep(1)
        await mesh.open()
    await asyncio.sleep(0.5)
    ended.set()
    await asyncio.gather(*load)

    assert set(codes) == {"OK"}
    assert len(codes) > 100


def failing(mesh: Mesh) -> list[str]:
    """Has the service fail, and notes with which method."""
    called: list[str] = []

    async def fail(request: Any, context: grpc.aio.ServicerContext) -> None:
        called.append("")
        raise Unavailable("not now")

    mesh.echo.echo = mesh.echo.collect = fail
    return called


async def test_a_repeatable_method_is_asked_once_more(mesh: Mesh):
    called, stub = failing(mesh), await mesh.stub("checkout")

    assert (await code_of(stub.Echo(request())), len(called)) == ("UNAVAILABLE", 2)


async def test_a_method_that_may_not_be_repeated_is_asked_once(mesh: Mesh):
    called, stub = failing(mesh), await mesh.stub("checkout")

    code = await code_of(stub.Collect(iter([request()]), metadata=(("x-bazaar-caller", "process"),)))
    assert (code, len(called)) == ("UNAVAILABLE", 1)


async def test_a_callee_that_keeps_failing_is_put_aside(mesh: Mesh):
    called, stub = failing(mesh), await mesh.stub("checkout")
    for _ in range(400):
        before = len(called)
        await code_of(stub.Echo(request()))
        if len(called) == before:
            break
        await asyncio.sleep(0.025)

    assert len(called) == before


async def test_a_slow_callee_trips_the_breaker(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clusters, "MOST_CALLS", 4)
    async with starting(folder) as mesh:
        arrived, go_on = asyncio.Semaphore(0), asyncio.Event()

        async def dawdle(request: Any, context: Any) -> Any:
            arrived.release()
            await go_on.wait()
            return await mesh.note(request, context)

        mesh.echo.echo = dawdle
        stub = await mesh.stub("checkout")
        waiting = [asyncio.create_task(code_of(stub.Echo(request()))) for _ in range(4)]
        for _ in waiting:
            await arrived.acquire()
        began = time.monotonic()
        refused = await code_of(stub.Echo(request()))
        took = time.monotonic() - began
        go_on.set()

        assert (refused, await asyncio.gather(*waiting)) == ("UNAVAILABLE", ["OK"] * 4)
    assert took < 1


async def test_a_method_takes_no_longer_than_the_policy_says(folder: Path):
    async with starting(folder, policy(Echo={"callers": ["checkout"], "timeout": "100ms"})) as mesh:
        mesh.echo.echo = lambda request, context: asyncio.Event().wait()
        began = time.monotonic()
        code = await code_of((await mesh.stub("checkout")).Echo(request()))

    assert code in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
    assert time.monotonic() - began < 5

"""How a process of services ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

from services.kit.settings import Settings
from tests.contract.echo import Echo, pb
from tests.unit.kit.hosting import connected, echo_service, echo_stub, running, settings_in


@pytest.fixture
def settings(folder: Path) -> Settings:
    return settings_in(folder)


async def test_a_drain_lets_a_call_finish(settings: Settings):
    started, may_finish = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        started.set()
        await may_finish.wait()
        return pb.EchoResponse(text="finished")

    servicer = Echo()
    servicer.echo = wait
    async with connected(settings) as channel:
        async with running([echo_service(servicer)], settings):
            call = asyncio.ensure_future(echo_stub(channel).Echo(pb.EchoRequest()))
            await started.wait()
            asyncio.get_running_loop().call_later(0.1, may_finish.set)
        answer = await call

    assert answer.text == "finished"


async def test_a_drain_ends_open_streams_with_unavailable(settings: Settings):
    async def forever(request: Any, context: Any) -> AsyncIterator[Any]:
        yield pb.EchoResponse(text="first")
        await asyncio.Event().wait()

    servicer = Echo()
    servicer.repeat = forever
    async with connected(settings) as channel:
        async with running([echo_service(servicer)], settings):
            call = echo_stub(channel).Repeat(pb.EchoRequest())
            await call.read()
        code = await call.code()

    assert code is grpc.StatusCode.UNAVAILABLE


async def test_background_work_is_cancelled_at_drain(settings: Settings):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with running([echo_service(background=[work])], settings):
        await started.wait()

    assert cancelled.is_set()


async def test_sigterm_ends_a_process_cleanly(settings: Settings, folder: Path):
    program = f"""
import uvloop
from pathlib import Path
from services.kit.runtime import Runtime
from services.kit.service import Parts, Service
from services.kit.settings import Settings

settings = Settings(listen={settings.listen!r}, policy=Path({str(settings.policy)!r}))
uvloop.run(Runtime([Service("echo", lambda kit: Parts(servicers=[]))], settings).run())
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=os.getcwd())
    try:
        async with connected(settings) as channel, asyncio.timeout(20):
            await HealthStub(channel).Check(HealthCheckRequest(), wait_for_ready=True)
            child.send_signal(signal.SIGTERM)
            code = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()

    assert code == 0

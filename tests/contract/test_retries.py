"""A repeatable call that finds nobody is sent again, over sockets only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from services.kit.errors import Unavailable
from tests.contract.echo import pb, served


async def answered_after(failures: int, call: str, folder: Path) -> tuple[int, grpc.StatusCode]:
    attempts = 0

    async def fail_first(request: Any, context: Any) -> Any:
        nonlocal attempts
        attempts += 1
        if attempts <= failures:
            raise Unavailable("away")
        return pb.EchoResponse()

    async with served("socket", folder) as echo:
        echo.service.echo = echo.service.collect = fail_first
        stub = echo.stub(is_far=True)
        running = stub.Echo(pb.EchoRequest()) if call == "Echo" else stub.Collect(iter([pb.EchoRequest()]))
        try:
            await running
        except grpc.aio.AioRpcError as error:
            return attempts, error.code()
    return attempts, grpc.StatusCode.OK


async def test_a_repeatable_call_is_sent_up_to_three_times(folder: Path):
    assert await answered_after(2, "Echo", folder) == (3, grpc.StatusCode.OK)


async def test_the_third_failure_is_the_answer(folder: Path):
    assert await answered_after(3, "Echo", folder) == (3, grpc.StatusCode.UNAVAILABLE)


async def test_a_call_with_effects_is_sent_once(folder: Path):
    assert await answered_after(1, "Collect", folder) == (1, grpc.StatusCode.UNAVAILABLE)

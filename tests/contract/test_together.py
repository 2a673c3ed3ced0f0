"""Calls that are under way at the same time, and awaited together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grpc.aio import AioRpcError

from services.kit.errors import InvalidArgument
from services.kit.rpc.client_calls import together
from tests.contract.echo import Served, pb


async def test_answers_come_in_the_order_of_the_calls(echo: Served):
    stub = echo.stub()
    answers = await together(*(stub.Echo(pb.EchoRequest(text=text)) for text in "abc"))

    assert [answer.text for answer in answers] == ["a", "b", "c"]


async def test_all_are_at_work_at_once(echo: Served):
    began = asyncio.Barrier(3)

    async def met(received: Any, context: Any) -> Any:
        async with began:
            return pb.EchoResponse(text=received.text)

    echo.service.echo = met
    stub = echo.stub()

    assert len(await together(*(stub.Echo(pb.EchoRequest(text=text)) for text in "abc"))) == 3


async def test_the_first_failure_is_told_once_all_have_ended(echo: Served):
    ended: list[str] = []
    has_failed = asyncio.Event()

    async def refuse(received: Any, context: Any) -> Any:
        # Over a socket the later call may come first.
        if received.text == "late":
            await has_failed.wait()
        ended.append(received.text)
        has_failed.set()
        raise InvalidArgument(received.text)

    echo.service.echo = refuse
    stub = echo.stub()

    with pytest.raises(AioRpcError) as failed:
        await together(stub.Echo(pb.EchoRequest(text="first")), stub.Echo(pb.EchoRequest(text="late")))
    assert (failed.value.details(), ended) == ("first", ["first", "late"])

"""Calls that are made together travel together, and know nothing of each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from bazaar.rpc.v1 import bundle_pb2
from services.kit.auth import Principal, claims_of
from services.kit.errors import NotFound
from services.kit.rpc import calls
from services.kit.rpc.calls import BUNDLE, CALLER, FORWARDED_CERTIFICATE, USER
from tests.contract.echo import Served, failure, pb, served
from tests.serving import details_of

ECHO = "/bazaar.test.v1.EchoService/Echo"


@pytest.fixture
async def echo(folder: Path) -> AsyncIterator[Served]:
    async with served("socket", folder) as running:
        yield running


@pytest.fixture
def messages(echo: Served, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The calls in each message that the server has got, in the order of their coming."""
    came: list[int] = []
    find = echo.registry.find

    def counted(details: grpc.HandlerCallDetails) -> Any:
        came.append(1)
        return find(details.method)

    monkeypatch.setattr(echo.registry, "service", counted)
    serve = echo.bundles.service

    def counted_bundle(details: grpc.HandlerCallDetails) -> Any:
        came.extend(int(value) for key, value in details.invocation_metadata if key == BUNDLE)
        return serve(details)

    monkeypatch.setattr(echo.bundles, "service", counted_bundle)
    return came


async def asked(echo: Served, *texts: str, **options: Any) -> list[Any]:
    stub = echo.stub(is_far=True)
    return await asyncio.gather(*(stub.Echo(pb.EchoRequest(text=text), **options) for text in texts), return_exceptions=True)


async def test_calls_of_one_round_are_one_message(echo: Served, messages: list[int]):
    answers = await asked(echo, "a", "b", "c")

    assert ([answer.text for answer in answers], messages) == (["a", "b", "c"], [3])


async def test_a_call_without_company_goes_as_any_call(echo: Served, messages: list[int]):
    answers = await asked(echo, "a")

    assert ([answer.text for answer in answers], messages) == (["a"], [1])


async def test_the_calls_that_an_answer_leads_to_go_together_again(echo: Served, messages: list[int]):
    stub = echo.stub(is_far=True)

    async def twice(text: str) -> str:
        first = await stub.Echo(pb.EchoRequest(text=text))
        return (await stub.Echo(pb.EchoRequest(text=first.text))).text

    await asyncio.gather(*map(twice, "abcd"))

    assert messages == [4, 4]


async def test_large_requests_are_shared_out(echo: Served, messages: list[int]):
    stub = echo.stub(is_far=True)
    answers = await asyncio.gather(*(stub.Echo(pb.EchoRequest(payload=bytes(400_000))) for _ in range(5)))

    assert ([len(answer.payload) for answer in answers], sorted(messages)) == ([400_000] * 5, [1, 2, 2])


async def test_a_slow_call_holds_back_no_other(echo: Served):
    may_end = asyncio.Event()

    async def answer(request: Any, context: Any) -> Any:
        if request.text == "slow":
            await may_end.wait()
        return pb.EchoResponse(text=request.text)

    echo.service.echo = answer
    stub = echo.stub(is_far=True)
    slow, quick = stub.Echo(pb.EchoRequest(text="slow")), stub.Echo(pb.EchoRequest(text="quick"))
    first = (await quick).text, slow.done()
    may_end.set()

    assert (first, (await slow).text) == (("quick", False), "slow")


async def test_a_refused_call_fails_alone(echo: Served):
    async def answer(request: Any, context: Any) -> Any:
        if request.text == "b":
            raise NotFound("There is no b.", letter="b")
        return pb.EchoResponse(text=request.text)

    echo.service.echo = answer
    a, b, c = await asked(echo, "a", "b", "c")

    assert (a.text, details_of(b), c.text) == ("a", ("NOT_FOUND", "NOT_FOUND", {"letter": "b"}), "c")


async def test_a_call_that_is_cancelled_leaves_the_others_alone(echo: Served):
    may_end = asyncio.Event()

    async def answer(request: Any, context: Any) -> Any:
        await may_end.wait()
        return pb.EchoResponse(text=request.text)

    echo.service.echo = answer
    stub = echo.stub(is_far=True)
    gone, staying = stub.Echo(pb.EchoRequest(text="gone")), stub.Echo(pb.EchoRequest(text="staying"))
    while len(echo.service.requests) < 2:
        await asyncio.sleep(0)
    gone.cancel()
    may_end.set()

    assert ((await staying).text, gone.cancelled(), await gone.code()) == ("staying", True, grpc.StatusCode.CANCELLED)


async def test_each_call_has_its_own_deadline(echo: Served):
    may_end = asyncio.Event()

    async def answer(request: Any, context: Any) -> Any:
        await may_end.wait()
        return pb.EchoResponse(text=request.text)

    echo.service.echo = answer
    stub = echo.stub(is_far=True)
    hasty, patient = stub.Echo(pb.EchoRequest(text="hasty"), timeout=0.05), stub.Echo(pb.EchoRequest(text="patient"), timeout=20)
    error = await failure(hasty)
    may_end.set()

    assert (error.code(), (await patient).text) == (grpc.StatusCode.DEADLINE_EXCEEDED, "patient")


async def test_each_call_has_its_own_user(echo: Served):
    async def answer(request: Any, context: Any) -> Any:
        return pb.EchoResponse(text=f"{request.text} {calls.current().principal.id}")

    echo.service.echo = answer
    stub = echo.stub("checkout", is_far=True)
    in_name_of = [((USER, claims_of(Principal("user", name))),) for name in ("ann", "bob")]
    answers = await asyncio.gather(*(stub.Echo(pb.EchoRequest(text="I am"), metadata=metadata) for metadata in in_name_of))

    assert [answer.text for answer in answers] == ["I am ann", "I am bob"]


async def test_a_call_in_a_bundle_comes_from_who_sends_the_bundle(echo: Served):
    async def answer(request: Any, context: Any) -> Any:
        shown = [value for key, value in context.invocation_metadata() if key in (CALLER, FORWARDED_CERTIFICATE)]
        return pb.EchoResponse(text=f"{calls.current().caller} {shown}")

    echo.service.echo = answer
    lies = [bundle_pb2.Metadatum(key=key, value=b"edge") for key in (CALLER, FORWARDED_CERTIFICATE)]
    forged = bundle_pb2.Bundle.Call(metadata=lies, timeout_seconds=5)
    send = echo.inner.unary_stream(ECHO, bundle_pb2.Bundle.SerializeToString, bundle_pb2.BundleAnswer.FromString)
    metadata = ((CALLER, "ranking"), (BUNDLE, "1"))
    [answers] = [message async for message in send(bundle_pb2.Bundle(calls=[forged]), metadata=metadata)]

    assert pb.EchoResponse.FromString(answers.outcomes[0].response).text == "ranking ['ranking']"


async def test_a_bundle_that_cannot_be_read_is_the_callers_fault(echo: Served):
    send = echo.inner.unary_stream(ECHO)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        _ = [message async for message in send(b"\xff", metadata=((CALLER, "ranking"), (BUNDLE, "1")))]

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_calls_whose_server_is_away_fail_one_by_one(echo: Served):
    await echo.stop(0)
    errors = await asked(echo, "a", "b", timeout=1)

    assert [error.code() for error in errors] == [grpc.StatusCode.UNAVAILABLE] * 2

"""A call is refused over a socket as it is inside a process: for what it says, whose it is, its size, or an error of the handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from services.kit.auth import Principal, claims_of
from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.rpc import calls
from services.kit.rpc.status import reason_of
from tests.contract.echo import Served, failure, pb, served

LIMIT = 4 * 1024 * 1024


class OutOfStock(FailedPrecondition):
    reason = "OUT_OF_STOCK"


async def test_a_handler_can_end_a_call_as_cancelled(echo: Served):
    async def give_up(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.CANCELLED, "given up")

    echo.service.echo = give_up
    error = await failure(echo.stub().Echo(pb.EchoRequest()))

    assert (error.code(), error.details()) == (grpc.StatusCode.CANCELLED, "given up")


async def test_an_error_in_mid_stream_comes_after_what_was_sent(echo: Served):
    async def break_off(request: Any, context: Any) -> AsyncIterator[Any]:
        yield pb.EchoResponse(text="one")
        raise OutOfStock("1 tv left", sku="tv")

    echo.service.repeat = break_off
    call = echo.stub().Repeat(pb.EchoRequest())
    first = await call.read()
    error = await failure(call.read())

    assert (first.text, reason_of(error)) == ("one", "OUT_OF_STOCK")


async def test_a_domain_error_arrives_with_its_details(echo: Served):
    async def refuse(request: Any, context: Any) -> Any:
        raise InvalidArgument("bad page", violations=[("page_size", "is negative")], retry_after=timedelta(seconds=2), page_size="-1")

    echo.service.echo = refuse
    error = await failure(echo.stub().Echo(pb.EchoRequest()))
    status = rpc_status.from_call(error)  # type: ignore[arg-type]

    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "bad page")
    assert status is not None
    assert [detail.TypeName() for detail in status.details] == [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.RetryInfo",
    ]


async def test_an_unexpected_error_tells_nothing_but_an_incident(echo: Served):
    async def break_down(request: Any, context: Any) -> Any:
        raise RuntimeError("password hunter2")

    echo.service.echo = break_down
    error = await failure(echo.stub().Echo(pb.EchoRequest()))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("data", [b"\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"], ids=["no message", "cut short", "no UTF-8"])
async def test_bytes_that_are_no_message_are_the_callers_fault(echo: Served, data: bytes):
    call = echo.inner.unary_unary("/bazaar.test.v1.EchoService/Echo", lambda _: data, pb.EchoResponse.FromString)
    error = await failure(call(pb.EchoRequest(), metadata=((calls.CALLER, "edge"),)))

    assert (error.code(), reason_of(error), echo.service.requests) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED", [])


async def test_an_unknown_method_is_unimplemented(echo: Served):
    call = echo.inner.unary_unary("/bazaar.test.v1.EchoService/Nope", pb.EchoRequest.SerializeToString, pb.EchoResponse.FromString)
    error = await failure(call(pb.EchoRequest()))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_NOT_FOUND")


async def test_a_method_that_the_policy_does_not_name_is_denied(echo: Served):
    error = await failure(echo.stub().Denied(pb.EchoRequest()))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_GRANTED")


async def test_a_denied_call_does_not_reach_the_handler(echo: Served):
    await failure(echo.stub("nobody").Echo(pb.EchoRequest()))

    assert echo.service.requests == []


async def test_a_revoked_session_is_refused(echo: Served):
    echo.revoked.add("s1")
    claims = claims_of(Principal("user", "u1", frozenset({"customer"}), "s1"))
    error = await failure(echo.stub().Echo(pb.EchoRequest(), metadata=((calls.USER, claims),)))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_a_request_id_that_differs_from_the_idempotency_key_is_refused(echo: Served):
    error = await failure(echo.stub().Echo(pb.EchoRequest(request_id="k2"), metadata=((calls.IDEMPOTENCY_KEY, "k1"),)))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_MISMATCH")


async def test_a_request_at_the_limit_passes(echo: Served):
    request = pb.EchoRequest(payload=bytes(LIMIT - 5))

    assert (request.ByteSize(), len((await echo.stub().Echo(request)).payload)) == (LIMIT, LIMIT - 5)


async def test_a_request_over_4_mib_is_refused_before_its_handler(echo: Served):
    error = await failure(echo.stub().Echo(pb.EchoRequest(payload=bytes(LIMIT))))

    assert (error.code(), echo.service.requests) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])


async def test_a_response_over_4_mib_is_refused_by_its_reader(echo: Served):
    async def answer(request: Any, context: Any) -> Any:
        return pb.EchoResponse(payload=bytes(LIMIT))

    echo.service.echo = answer
    error = await failure(echo.stub().Echo(pb.EchoRequest()))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_one_call_too_many_is_refused_with_a_time_to_come_back(transport: str, folder: Path):
    async with served(transport, folder, max_calls=1) as echo:
        started, may_finish = asyncio.Event(), asyncio.Event()

        async def wait(request: Any, context: Any) -> Any:
            started.set()
            await may_finish.wait()
            return pb.EchoResponse()

        echo.service.echo = wait
        running = asyncio.ensure_future(echo.stub().Echo(pb.EchoRequest()))
        await started.wait()
        refused = await failure(echo.stub().Echo(pb.EchoRequest()))
        may_finish.set()
        await running

        assert (refused.code(), reason_of(refused)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")

"""What a call does over a socket it does inside a process too."""

from __future__ import annotations

import asyncio
import contextvars
import tempfile
import time
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
from tests.contract.echo import Served, pb, served
from tests.spans import recorded

LIMIT = 4 * 1024 * 1024
GRPC_TOLERANCE = 1.04
"""Over a socket, grpc sends a timeout just below an earlier one of the connection as that earlier one (measured: up to 3 %)."""
OTHER = contextvars.ContextVar("other", default="unset")


class OutOfStock(FailedPrecondition):
    reason = "OUT_OF_STOCK"


@pytest.fixture
def folder() -> Any:
    with tempfile.TemporaryDirectory(prefix="bz-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture(params=["socket", "in-process"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def echo(transport: str, folder: Path) -> AsyncIterator[Served]:
    async with served(transport, folder) as running:
        yield running


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_unary_call_is_answered(echo: Served):
    assert (await echo.stub().Echo(pb.EchoRequest(text="hello"))).text == "hello"


async def test_a_stream_of_requests_has_one_response(echo: Served):
    assert (await echo.stub().Collect(iter([pb.EchoRequest(text="a"), pb.EchoRequest(text="b")]))).text == "ab"


async def test_a_stream_of_responses_ends(echo: Served):
    assert [response.text async for response in echo.stub().Repeat(pb.EchoRequest(text="n", count=3))] == ["n0", "n1", "n2"]


async def test_both_ends_talk_in_turns(echo: Served):
    chat = echo.stub().Chat()
    heard = []
    for text in ("a", "b"):
        await chat.write(pb.EchoRequest(text=text))
        heard.append((await chat.read()).text)
    await chat.done_writing()

    assert (heard, await chat.read(), await chat.code()) == (["a", "b"], grpc.aio.EOF, grpc.StatusCode.OK)


async def test_what_the_caller_changes_after_sending_stays_with_it(echo: Served):
    started, may_finish = asyncio.Event(), asyncio.Event()

    async def answer_late(received: Any, context: Any) -> Any:
        started.set()
        await may_finish.wait()
        return pb.EchoResponse(text=received.text)

    echo.service.echo = answer_late
    request = pb.EchoRequest(text="sent")
    call = echo.stub().Echo(request)
    await started.wait()
    request.text = "changed"
    may_finish.set()

    assert (await call).text == "sent"


async def test_what_the_handler_changes_after_answering_stays_with_it(echo: Served):
    kept = pb.EchoResponse(text="answered")

    async def answer(request: Any, context: Any) -> Any:
        asyncio.get_running_loop().call_soon(lambda: setattr(kept, "text", "changed"))
        return kept

    echo.service.echo = answer

    assert (await echo.stub().Echo(pb.EchoRequest())).text == "answered"


async def test_what_the_handler_changes_in_the_request_stays_with_it(echo: Served):
    async def scribble(request: Any, context: Any) -> Any:
        request.text = "scribbled"
        return pb.EchoResponse()

    echo.service.echo = scribble
    request = pb.EchoRequest(text="mine")
    await echo.stub().Echo(request)

    assert request.text == "mine"


async def test_the_handler_does_not_see_the_callers_context_variables(echo: Served):
    async def look(request: Any, context: Any) -> Any:
        return pb.EchoResponse(text=OTHER.get())

    echo.service.echo = look
    token = OTHER.set("the caller's")
    try:
        assert (await echo.stub().Echo(pb.EchoRequest())).text == "unset"
    finally:
        OTHER.reset(token)


async def test_a_caller_that_cancels_cancels_the_handler(echo: Served):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    echo.service.echo = wait
    call = echo.stub().Echo(pb.EchoRequest())
    await started.wait()
    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_a_cancelled_task_cancels_the_handler_it_waits_for(echo: Served):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def ask() -> None:
        await echo.stub().Echo(pb.EchoRequest())

    echo.service.echo = wait
    task = asyncio.create_task(ask())
    await started.wait()
    task.cancel()

    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_a_reader_that_leaves_a_stream_cancels_its_handler(echo: Served):
    cancelled = asyncio.Event()

    async def forever(request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            yield pb.EchoResponse(text="first")
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    echo.service.repeat = forever
    call = echo.stub().Repeat(pb.EchoRequest())
    first = await call.read()
    call.cancel()

    async with asyncio.timeout(5):
        await cancelled.wait()
    assert first.text == "first"


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


async def test_metadata_go_both_ways(echo: Served):
    async def answer(request: Any, context: Any) -> Any:
        received = dict(context.invocation_metadata())
        await context.send_initial_metadata((("x-first", received["x-sent"]),))
        context.set_trailing_metadata((("x-last-bin", received["x-sent-bin"]),))
        return pb.EchoResponse()

    echo.service.echo = answer
    call = echo.stub().Echo(pb.EchoRequest(), metadata=(("x-sent", "text"), ("x-sent-bin", b"\x00\xff")))
    await call

    assert (dict(await call.initial_metadata())["x-first"], dict(await call.trailing_metadata())["x-last-bin"]) == ("text", b"\x00\xff")


async def test_an_answer_can_be_awaited_again(echo: Served):
    call = echo.stub().Echo(pb.EchoRequest(text="once"))
    first, again = await call, await call

    assert (first.text, again.text, await call.code(), len(echo.service.requests)) == ("once", "once", grpc.StatusCode.OK, 1)


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


async def test_the_handler_knows_its_caller_and_principal(echo: Served):
    seen: list[calls.Call] = []

    async def note(request: Any, context: Any) -> Any:
        seen.append(calls.current())
        return pb.EchoResponse()

    echo.service.echo = note
    user = Principal("user", "u1", frozenset({"customer"}), "s1")
    await echo.stub("checkout").Echo(pb.EchoRequest(), metadata=((calls.USER, claims_of(user)),))

    assert (seen[0].caller, seen[0].principal, seen[0].method) == ("checkout", user, "/bazaar.test.v1.EchoService/Echo")


async def test_the_idempotency_key_is_folded_into_the_request(echo: Served):
    await echo.stub().Echo(pb.EchoRequest(), metadata=((calls.IDEMPOTENCY_KEY, "k1"),))

    assert echo.service.requests[0].request_id == "k1"


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


async def test_a_call_past_its_deadline_fails_and_cancels_the_handler(echo: Served):
    cancelled = asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    echo.service.echo = wait
    error = await failure(echo.stub().Echo(pb.EchoRequest(), timeout=0.05))

    async with asyncio.timeout(5):
        await cancelled.wait()
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_deadline_is_passed_on_and_reduced(echo: Served):
    seen: list[float | None] = []

    async def ask_again(request: Any, context: Any) -> Any:
        seen.append(calls.current().remaining())
        if len(seen) < 2:
            await asyncio.sleep(0.5)
            return await echo.stub("checkout").Echo(pb.EchoRequest(), timeout=60)
        return pb.EchoResponse()

    echo.service.echo = ask_again
    await echo.stub().Echo(pb.EchoRequest(), timeout=2)
    outer, inner = seen

    assert outer is not None
    assert inner is not None
    assert outer <= 2 * GRPC_TOLERANCE
    assert 1 < inner <= 1.5 * GRPC_TOLERANCE


async def test_a_call_without_any_deadline_gets_ten_seconds(echo: Served):
    seen: list[float | None] = []

    async def note(request: Any, context: Any) -> Any:
        seen.append(calls.current().remaining())
        return pb.EchoResponse()

    echo.service.echo = note
    await echo.stub().Echo(pb.EchoRequest())

    assert seen[0] is not None
    assert 9 < seen[0] <= 10 * GRPC_TOLERANCE


async def test_the_user_is_passed_on_to_the_next_service(echo: Served):
    seen: list[Principal] = []

    async def ask_again(request: Any, context: Any) -> Any:
        seen.append(calls.current().principal)
        return await echo.stub("checkout").Echo(pb.EchoRequest()) if len(seen) < 2 else pb.EchoResponse()

    echo.service.echo = ask_again
    user = Principal("user", "u1", frozenset({"customer"}), "s1")
    await echo.stub().Echo(pb.EchoRequest(), metadata=((calls.USER, claims_of(user)),))

    assert seen == [user, user]


async def test_a_guest_stays_a_guest_at_the_next_service(echo: Served):
    seen: list[str] = []

    async def ask_again(request: Any, context: Any) -> Any:
        seen.append(calls.current().principal.kind)
        return await echo.stub("checkout").Echo(pb.EchoRequest()) if len(seen) < 2 else pb.EchoResponse()

    echo.service.echo = ask_again
    await echo.stub().Echo(pb.EchoRequest())

    assert seen == ["anonymous", "anonymous"]


async def test_a_slow_reader_holds_the_writer_back(echo: Served):
    written = 0
    total = 400

    async def pour(request: Any, context: Any) -> AsyncIterator[Any]:
        nonlocal written
        for _ in range(total):
            yield pb.EchoResponse(payload=bytes(64 * 1024))
            written += 1

    echo.service.repeat = pour
    call = echo.stub().Repeat(pb.EchoRequest())
    await call.read()
    stalled_at = -1
    while written != stalled_at:
        stalled_at = written
        await asyncio.sleep(0.1)
    rest = 0
    while await call.read() is not grpc.aio.EOF:
        rest += 1

    assert stalled_at < total / 2
    assert (rest, written) == (total - 1, total)


async def test_a_slow_handler_holds_the_caller_back(echo: Served):
    sent = 0
    total = 400
    may_read = asyncio.Event()

    async def read_late(requests: Any, context: Any) -> Any:
        await may_read.wait()
        return pb.EchoResponse(text=str(len([request async for request in requests])))

    async def pour() -> AsyncIterator[Any]:
        nonlocal sent
        for _ in range(total):
            yield pb.EchoRequest(payload=bytes(64 * 1024))
            sent += 1

    echo.service.collect = read_late
    call = echo.stub().Collect(pour())
    stalled_at = -1
    while sent != stalled_at or sent == 0:
        stalled_at = sent
        await asyncio.sleep(0.1)
    may_read.set()

    assert ((await call).text, stalled_at < total / 2) == (str(total), True)


async def test_a_drain_lets_calls_finish_and_takes_no_new_ones(echo: Served):
    started, may_finish = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        started.set()
        await may_finish.wait()
        return pb.EchoResponse(text="finished")

    echo.service.echo = wait
    running = asyncio.ensure_future(echo.stub().Echo(pb.EchoRequest()))
    await started.wait()
    stopping = asyncio.create_task(echo.stop(5))
    await asyncio.sleep(0.05)
    refused = await failure(echo.stub().Echo(pb.EchoRequest()))
    may_finish.set()
    await stopping

    assert ((await running).text, refused.code()) == ("finished", grpc.StatusCode.UNAVAILABLE)


async def test_a_drain_cancels_what_outlasts_its_grace(echo: Served):
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(request: Any, context: Any) -> Any:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    echo.service.echo = wait
    running = asyncio.ensure_future(failure(echo.stub().Echo(pb.EchoRequest())))
    await started.wait()
    await echo.stop(0.05)
    error = await running

    async with asyncio.timeout(5):
        await cancelled.wait()
    assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


async def test_work_that_outlives_its_caller_goes_on(echo: Served):
    started, may_finish = asyncio.Event(), asyncio.Event()
    finished: list[float | None] = []

    async def work() -> Any:
        started.set()
        await may_finish.wait()
        finished.append(calls.current().remaining())
        return pb.EchoResponse()

    async def place(request: Any, context: Any) -> Any:
        return await calls.outlive_caller(work(), timedelta(seconds=30))

    echo.service.echo = place
    call = echo.stub().Echo(pb.EchoRequest(), timeout=5)
    await started.wait()
    call.cancel()
    [left] = calls.outliving()
    may_finish.set()
    await left

    assert finished[0] is not None
    assert 20 < finished[0] <= 30


async def test_a_caller_hears_at_once_that_work_was_cut_short(echo: Served):
    async def place(request: Any, context: Any) -> Any:
        work = asyncio.create_task(asyncio.Event().wait())
        asyncio.get_running_loop().call_soon(work.cancel)
        return await calls.outlive_caller(work, timedelta(seconds=30))

    echo.service.echo = place
    error = await failure(echo.stub().Echo(pb.EchoRequest(), timeout=5))

    assert (error.code(), reason_of(error)) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")


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


async def test_a_call_is_one_trace_of_a_client_and_a_server_span(echo: Served):
    async def once(request: Any, context: Any) -> Any:
        return await echo.stub("checkout").Echo(pb.EchoRequest(text="inner")) if not request.text else pb.EchoResponse()

    echo.service.echo = once
    with recorded() as spans:
        await echo.stub("ranking").Echo(pb.EchoRequest())
        ended = spans.all

    kinds = sorted(span.kind.name for span in ended)
    assert (kinds, len({span.context.trace_id for span in ended})) == (["CLIENT", "SERVER", "SERVER"], 1)


async def test_time_remaining_counts_down(echo: Served):
    call = echo.stub().Repeat(pb.EchoRequest(count=1), timeout=5)
    before = time.monotonic()
    left = call.time_remaining()
    call.cancel()

    assert left is not None
    assert 5 - (time.monotonic() - before) - 0.1 <= left <= 5

"""What a call does over a socket it does inside a process too."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import grpc

from services.kit.auth import Principal, claims_of
from services.kit.rpc import calls
from tests.contract.echo import Served, pb
from tests.spans import recorded

OTHER = contextvars.ContextVar("other", default="unset")


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


async def test_a_call_is_one_trace_of_a_client_and_a_server_span(echo: Served):
    async def once(request: Any, context: Any) -> Any:
        return await echo.stub("checkout").Echo(pb.EchoRequest(text="inner")) if not request.text else pb.EchoResponse()

    echo.service.echo = once
    with recorded() as spans:
        await echo.stub("ranking").Echo(pb.EchoRequest())
        ended = spans.all

    traces = [[span for span in ended if span.context.trace_id == trace_id] for trace_id in {span.context.trace_id for span in ended}]
    assert sorted(span.kind.name for span in max(traces, key=len)) == ["CLIENT", "SERVER", "SERVER"]

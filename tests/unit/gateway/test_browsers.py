import gzip
import json

import httpx
import pytest

ORIGIN = "https://shop.example"
TOP = "/v1/queryTopProducts"
LONG = {"category": "tv" * 600}


async def preflight(client, origin):
    asked = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization, idempotency-key"}
    return await client.options("/v1/orders", headers=asked)


async def test_a_page_of_the_shop_may_call_with_its_token(client, backend):
    answer = await preflight(client, ORIGIN)

    assert (answer.status_code, answer.headers["access-control-allow-origin"], backend.calls) == (200, ORIGIN, 0)
    assert {"authorization", "idempotency-key"} <= set(answer.headers["access-control-allow-headers"].split(", "))
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", f"{ORIGIN}.evil.example", "http://shop.example", "null"])
async def test_other_pages_may_not(client, backend, origin):
    answer = await preflight(client, origin)

    assert (answer.status_code, "access-control-allow-origin" in answer.headers, backend.calls) == (404, False, 0)


async def test_a_page_reads_the_answer_and_what_it_says_of_itself(client):
    answer = await client.get(TOP, params={"category": "tv"}, headers={"origin": ORIGIN})

    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert {"etag", "location", "retry-after"} <= set(answer.headers["access-control-expose-headers"].split(", "))


async def test_a_page_reads_errors_too(client):
    answer = await client.get("/v1/orders/0190c2a4-0000-7000-8000-000000000001", headers={"origin": ORIGIN})

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, ORIGIN)


async def raw(client, params, encoding):
    async with client.stream("GET", TOP, params=params, headers={"accept-encoding": encoding}) as answer:
        return answer, b"".join([piece async for piece in answer.aiter_raw()])


@pytest.mark.parametrize(("accepted", "used"), [("br, gzip", "br"), ("gzip", "gzip")])
async def test_a_long_answer_is_compressed_as_the_client_likes_it(client, accepted, used):
    answer, body = await raw(client, LONG, accepted)

    assert (answer.headers["content-encoding"], "accept-encoding" in answer.headers["vary"].lower()) == (used, True)
    if used == "gzip":
        assert json.loads(gzip.decompress(body))["products"][0]["productId"] == LONG["category"]


@pytest.mark.parametrize(("params", "accepted"), [(LONG, "identity"), ({"category": "tv"}, "br, gzip")])
async def test_an_answer_stays_plain_where_that_is_wanted_or_shorter(client, params, accepted):
    answer, body = await raw(client, params, accepted)

    assert "content-encoding" not in answer.headers
    assert json.loads(body)["products"][0]["productId"] == params["category"]


async def test_what_is_kept_is_kept_once_for_all_encodings(client, backend):
    question = {"category": "cached" + "x" * 900}
    bodies = [(await client.get(TOP, params=question, headers={"accept-encoding": form})).json() for form in ("gzip", "identity", "gzip")]

    assert (bodies[0], bodies[1], backend.calls) == (bodies[1], bodies[2], 1)


async def test_connect_is_spoken_on_the_same_port(edge, backend):
    message = bytes([0x0A, 2]) + b"tv"
    headers = {"content-type": "application/proto", "connect-protocol-version": "1"}
    async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as client:
        answer = await client.post("/bazaar.ranking.v1.RankingService/QueryTopProducts", content=message, headers=headers)

    assert (answer.status_code, answer.headers["content-type"], b"tv" in answer.content, backend.calls) == (
        200,
        "application/proto",
        True,
        1,
    )

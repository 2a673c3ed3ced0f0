import base64
import json
import subprocess

import pytest
from joserfc.jwk import ECKey

from tests.shop import eventually
from tools.servers.envoy import BINARY

ORDER = "/v1/orders/0190c2a4-0000-7000-8000-000000000001"
TOP = "/v1/queryTopProducts"


def claims(backend):
    text = backend.metadata["x-bazaar-user"]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_envoy_accepts_the_configuration(edge, edge_home):
    command = [BINARY, "--mode", "validate", "-c", edge_home / "envoy" / "envoy.yaml", "--log-level", "error"]
    assert subprocess.run(command, check=False).returncode == 0


async def test_the_edge_is_healthy_while_a_worker_is(client):
    assert (await client.get("/healthz")).status_code == 200


async def test_a_query_is_transcoded_with_lower_camel_names_and_defaults_shown(client):
    answer = await client.get(TOP, params={"category": "tv"})

    product = answer.json()["products"][0]
    assert (product["rank"], product["productId"], product["orders"], product["units"]) == (1, "tv", "2", "0")


async def test_api_is_the_same_as_v1(client):
    answer = await client.get("/api/queryTopProducts", params={"category": "tv"})

    assert answer.json()["products"][0]["productId"] == "tv"


async def test_an_unknown_query_parameter_is_refused(client):
    answer = await client.get(TOP, params={"categorie": "tv"})

    assert (answer.status_code, answer.json()["code"]) == (400, 3)


async def test_the_services_see_the_edge_as_their_caller(client, backend):
    await client.get(TOP, headers={"x-bazaar-caller": "orders"})

    assert backend.metadata["x-bazaar-caller"] == "edge"


@pytest.mark.parametrize(("header", "value"), [("if-match", '"7"'), ("idempotency-key", "a1")])
async def test_what_a_rest_call_says_in_headers_reaches_the_service(client, backend, header, value):
    await client.get(TOP, headers={header: value})

    assert backend.metadata[header] == value


async def test_a_rest_calls_own_deadline_reaches_the_service(client, backend):
    await client.get(TOP, headers={"grpc-timeout": "700m"})

    assert 0 < backend.remaining <= 0.7


async def test_a_client_cannot_name_a_user(client, backend):
    await client.get(TOP, headers={"x-bazaar-user": "eyJzdWIiOiJ1LTkifQ"})

    assert "x-bazaar-user" not in backend.metadata


async def test_idempotency_key_and_trace_context_go_on(client, backend, tokens):
    headers = {"idempotency-key": "k-1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    await client.post(f"{ORDER}:cancel", json={}, headers={**headers, **tokens.make()})

    assert backend.metadata["idempotency-key"] == "k-1"
    assert backend.metadata["traceparent"].split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


async def test_a_call_without_a_deadline_gets_ten_seconds(client, backend):
    await client.get(TOP)

    assert 9 < backend.remaining <= 10


@pytest.mark.parametrize("header", ["grpc-timeout: never", "grpc-timeout: -1S", "grpc-timeout: 123456789S", "grpc-encoding: secret"])
async def test_a_header_of_grpcs_own_that_it_cannot_parse_is_refused(client, backend, header):
    name, value = header.split(": ")
    answer = await client.get(TOP, params={"category": "tv"}, headers={name: value})

    assert (answer.status_code, answer.json()["message"], backend.calls) == (400, f"The header {name} cannot be read.", 0)


@pytest.mark.parametrize(
    "name", ["grpc-previous-rpc-attempts", "grpc-retry-pushback-ms", "grpc-status", "grpc-tags-bin", "x-any-bin", "x!any", "x&any"]
)
async def test_a_header_that_only_grpcs_server_reads_is_dropped(client, backend, name):
    answer = await client.get(TOP, params={"category": "tv"}, headers={name: "!"})

    assert (answer.status_code, name in backend.metadata) == (200, False)


@pytest.mark.parametrize("path", [ORDER, ORDER.replace("/v1/", "/api/")])
async def test_a_method_for_users_wants_a_token(client, backend, path):
    answer = await client.get(path)

    error = answer.json()
    assert (answer.status_code, error["code"], error["details"][0]["reason"], backend.calls) == (401, 16, "UNAUTHENTICATED", 0)


async def test_verified_claims_reach_the_service_and_the_token_does_not(client, backend, tokens):
    await client.get(ORDER, headers=tokens.make())

    assert (claims(backend)["sub"], claims(backend)["roles"], claims(backend)["sid"]) == ("u-1", ["customer"], "s-1")
    assert "authorization" not in backend.metadata


async def test_a_method_for_anyone_takes_a_token_too(client, backend, tokens):
    await client.get(TOP, headers=tokens.make())

    assert claims(backend)["sub"] == "u-1"


@pytest.mark.parametrize("path", [ORDER, TOP])
async def test_an_expired_token_is_refused(client, backend, tokens, path):
    answer = await client.get(path, headers=tokens.make(lifetime=-5))

    assert (answer.status_code, backend.calls) == (401, 0)


@pytest.mark.parametrize("path", [ORDER, TOP])
async def test_a_forged_token_is_refused(client, backend, tokens, path):
    answer = await client.get(path, headers=tokens.make(key=ECKey.generate_key("P-256", {"kid": "forged"}, private=True)))

    assert (answer.status_code, backend.calls) == (401, 0)


@pytest.mark.parametrize(("claim", "status"), [({"iss": "https://elsewhere.dev"}, 401), ({"exp": None}, 401), ({"aud": "other"}, 403)])
async def test_a_token_that_is_not_for_us_is_refused(client, backend, tokens, claim, status):
    answer = await client.get(ORDER, headers=tokens.make(**claim))

    assert (answer.status_code, backend.calls) == (status, 0)


async def test_a_token_in_the_query_string_is_not_a_token(client, backend, tokens):
    token = tokens.make()["authorization"].removeprefix("Bearer ")
    answer = await client.get(ORDER, params={"access_token": token})

    assert (answer.status_code, backend.calls) == (401, 0)


async def test_a_services_error_keeps_its_details_and_loses_grpcs_headers(client, tokens):
    answer = await client.get(ORDER, headers=tokens.make())

    error = answer.json()
    assert (answer.status_code, error["code"], error["message"], error["details"][0]["reason"]) == (
        404,
        5,
        "No such order.",
        "ORDER_NOT_FOUND",
    )
    assert [name for name in answer.headers if name.startswith("grpc-")] == []


async def test_an_unknown_path_is_an_error_of_the_same_shape(client):
    answer = await client.get("/v1/nothing")

    error = answer.json()
    assert (answer.status_code, error["code"], error["details"][0]["reason"]) == (404, 5, "METHOD_NOT_FOUND")
    assert answer.headers["content-type"] == "application/json"


async def test_a_body_over_one_mebibyte_is_refused(client, backend, tokens):
    answer = await client.post("/v1/products", content=b" " * (2**20 + 1), headers={**tokens.make(), "content-type": "application/json"})

    assert (answer.status_code, answer.json()["code"], backend.calls) == (413, 3, 0)


async def test_an_import_may_be_larger(client, backend, tokens):
    body = b"{}" + b" " * (3 * 2**20)
    answer = await client.post("/v1/products:import", content=body, headers={**tokens.make(), "content-type": "application/json"})

    assert (answer.status_code, backend.calls) == (200, 1)


async def test_broken_json_is_refused(client, backend, tokens):
    answer = await client.post("/v1/products", content=b"{", headers={**tokens.make(), "content-type": "application/json"})

    assert (answer.status_code, answer.json()["code"], backend.calls) == (400, 3, 0)


async def test_a_stream_arrives_as_server_sent_events(client):
    answer = await client.get(f"{TOP}:watch", params={"category": "tv"})

    assert answer.headers["content-type"] == "text/event-stream"
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert [event["isLast"] for event in events] == [False, True]


async def test_a_path_is_normalised_before_it_is_judged(client, backend):
    answer = await client.get(f"/v1/nothing/..{ORDER.removeprefix('/v1')}")

    assert (answer.status_code, backend.calls) == (401, 0)


async def test_a_slash_at_the_end_is_another_path(client, backend, tokens):
    answer = await client.get(f"{TOP}/", params={"category": "tv"}, headers=tokens.make(lifetime=-5))

    assert (answer.status_code, answer.json()["message"], backend.calls) == (404, "There is nothing at this path.", 0)


@pytest.mark.parametrize("path", ["/v1%2Forders/1", "/v1/orders/a%5Cb", "/v1/products/%00"])
async def test_an_escaped_slash_is_refused(client, backend, path):
    answer = await client.get(path)

    wanted = (400, "The path holds an escaped slash, backslash or NUL.", 0)
    assert (answer.status_code, answer.json()["message"], backend.calls) == wanted


async def test_the_edges_span_says_what_the_worker_decided_of_the_trace(client, backend, tokens):
    async def decision() -> str | None:
        return backend.sampled.get(backend.metadata["traceparent"].split("-")[1])

    await client.get(TOP, params={"category": "tv"})
    await eventually(decision, "0")
    await client.get(ORDER, headers=tokens.make())
    await eventually(decision, "1")

"""The OpenAPI document: valid, complete, and true to what the protos say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from bazaar.type.v1.errors_pb2 import ErrorReason
from gateway.methods import methods, service_files
from gateway.pages import OPENAPI
from services.kit.auth import Policy
from tools import ROOT

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
METHODS = methods(service_files(), Policy.load(ROOT / "mesh" / "policy.yaml"))
OPERATIONS = {
    operation["operationId"]: operation
    for forms in DOCUMENT["paths"].values()
    for verb, operation in forms.items()
    if verb in ("get", "post", "put", "patch", "delete")
}


def body(name: str) -> dict[str, Any]:
    return OPERATIONS[name]["requestBody"]["content"]["application/json"]["schema"]


def parameter(operation: str, name: str) -> dict[str, Any]:
    [found] = [each for each in OPERATIONS[operation]["parameters"] if each["name"] == name]
    return found


def test_it_is_valid():
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_it_has_every_rest_form_of_every_open_method_and_no_other():
    told = {(verb.upper(), path) for path, forms in DOCUMENT["paths"].items() for verb in forms.keys() - {"servers"}}
    bindings = {binding for method in METHODS if method.is_open for binding in method.bindings}
    forms = {(each.verb, re.sub("^/(v1|api)/", "/", each.template)) for each in bindings}

    def nameless(pairs: set[tuple[str, str]]) -> list[tuple[str, str]]:
        return sorted((verb, re.sub(r"\{[^}]+\}", "{}", path)) for verb, path in pairs)

    assert nameless(told) == nameless(forms)


def test_internal_methods_are_not_in_it():
    hidden = {method.name.partition("/")[2] for method in METHODS if not method.is_open}

    assert hidden & {name.partition("_")[0] for name in OPERATIONS} == set()
    assert "Reserve" in hidden


def test_both_prefixes_are_servers():
    assert [server["url"] for server in DOCUMENT["servers"]] == ["/v1", "/api"]
    assert DOCUMENT["paths"]["/.well-known/jwks.json"]["servers"] == [{"url": "/"}]


def test_every_operation_and_its_service_are_described():
    tags = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}

    assert all(tags.values())
    assert all(operation["summary"] and operation["tags"][0] in tags for operation in OPERATIONS.values())


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("email", {"type": "string", "format": "email", "maxLength": 254}),
        ("password", {"type": "string", "minLength": 8, "maxLength": 200}),
    ],
)
def test_rules_of_texts(name: str, schema: dict[str, Any]):
    assert body("Register")["properties"][name] == schema


def test_rules_of_numbers_and_lists():
    line = SCHEMAS["PlaceOrderRequest.Line"]["properties"]

    assert (line["quantity"]["exclusiveMinimum"], line["quantity"]["maximum"]) == (0, 100_000)
    assert line["sku"]["pattern"] == "^[A-Za-z0-9._-]{1,128}$"
    assert body("PlaceOrder")["properties"]["lines"]["maxItems"] == 100


def test_rules_over_several_fields_are_told_in_words():
    assert body("PlaceOrder")["description"] == "give either cart_id or lines"


def test_values_that_a_rule_excludes_are_not_offered():
    assert "METHOD_UNSPECIFIED" not in body("PlaceOrder")["properties"]["paymentMethod"]["enum"]
    assert parameter("QueryTopProducts", "metric")["schema"]["enum"] == ["", "orders", "units", "revenue"]


def test_what_cannot_be_left_out_is_required():
    assert body("PlaceOrder")["required"] == ["addressId", "paymentMethod"]
    assert parameter("QueryTopProducts", "category")["required"]
    assert "required" not in parameter("QueryTopProducts", "limit")
    assert OPERATIONS["UpdateUser"]["requestBody"]["required"]


def test_one_of_two_is_demanded():
    demands = SCHEMAS["BatchCreateUsersRequest.NewUser"]["allOf"]

    assert demands == [{"oneOf": [{"required": ["password"]}, {"required": ["passwordHash"]}]}]


def test_a_field_in_the_path_is_not_in_the_body():
    assert "userId" not in body("UpdateUser")["properties"]
    assert parameter("UpdateUser", "userId")["in"] == "path"
    assert parameter("UpdateUser", "updateMask")["in"] == "query"


def test_64_bits_are_text_in_json_and_a_number_in_a_query():
    assert SCHEMAS["Money"]["properties"]["minorUnits"]["type"] == "string"
    assert parameter("WatchOrder", "afterVersion")["schema"] == {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**63 - 1}


def test_answers_have_all_but_messages():
    assert {"orderId", "state", "lines", "version"} <= set(SCHEMAS["Order"]["required"])
    assert {"total", "createTime", "address"} & set(SCHEMAS["Order"]["required"]) == set()


def test_values_are_explained():
    assert "- `CONFIRMED`: Paid, or accepted for cash on delivery" in SCHEMAS["Order"]["properties"]["state"]["description"]


def test_who_needs_a_token():
    assert OPERATIONS["PlaceOrder"]["security"] == [{"token": []}]
    assert OPERATIONS["GetProduct"]["security"] == [{}, {"token": []}]


def test_what_is_made_has_a_place():
    assert list(OPERATIONS["PlaceOrder"]["responses"]["201"]["headers"]) == ["Location"]
    assert "200" not in OPERATIONS["PlaceOrder"]["responses"]


def test_what_is_kept_has_an_etag():
    responses = OPERATIONS["QueryTopProducts"]["responses"]

    assert "ETag" in responses["200"]["headers"]
    assert "content" not in responses["304"]
    assert parameter("QueryTopProducts", "If-None-Match")["in"] == "header"


def test_a_repeat_can_be_told():
    assert parameter("PlaceOrder", "Idempotency-Key")["in"] == "header"
    assert "Idempotency-Key" not in str(OPERATIONS["UpdateUser"]["parameters"])


def test_a_stream_is_told_as_events():
    content = OPERATIONS["WatchOrder"]["responses"]["200"]["content"]

    assert content == {
        "text/event-stream": {"schema": {"type": "string"}, "x-event-schema": {"$ref": "#/components/schemas/WatchOrderResponse"}}
    }
    assert parameter("WatchOrder", "Last-Event-ID")["in"] == "header"


def test_a_stream_tells_its_failure_as_errors_are_told():
    assert SCHEMAS["WatchOrderResponse"]["properties"]["error"]["$ref"] == "#/components/schemas/Error"


def test_a_webhook_takes_any_bytes():
    assert OPERATIONS["ReceiveWebhook"]["requestBody"]["content"] == {"*/*": {"schema": {}}}


def test_every_reason_has_an_example_in_both_forms():
    names = {value.name for value in ErrorReason.DESCRIPTOR.values if value.number}
    examples = DOCUMENT["components"]["examples"]

    assert examples.keys() == names | {f"{name}.problem" for name in names}
    assert examples["OUT_OF_STOCK"]["value"] == {
        "code": 9,
        "message": "Fewer units than wanted.",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "OUT_OF_STOCK",
                "domain": "bazaar.dev",
                "metadata": {"sku": "p-1", "wanted": "3", "available": "2"},
            }
        ],
    }
    assert examples["OUT_OF_STOCK.problem"]["value"]["status"] == 400


def test_reasons_stand_at_the_status_they_come_with():
    responses = OPERATIONS["PlaceOrder"]["responses"]

    assert "OUT_OF_STOCK" in responses["400"]["content"]["application/json"]["examples"]
    assert list(responses["409"]["content"]["application/json"]["examples"]) == ["REQUEST_IN_PROGRESS"]
    assert "METHOD_NOT_FOUND" in OPERATIONS["GetOrder"]["responses"]["404"]["content"]["application/problem+json"]["examples"]

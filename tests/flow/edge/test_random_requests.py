"""Random requests at every public path: whatever comes, an answer or a refusal, never a fault of ours."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from gateway.methods import HTTP, methods, service_files
from services.kit.auth import Policy
from tests.flow.edge.client import Customer, Edge, refusal
from tools import ROOT

pytestmark = pytest.mark.edge

REQUESTS = 150
OPEN = {method.name for method in methods(service_files(), Policy.load(ROOT / "mesh" / "policy.yaml")) if method.is_open}
KNOWN = [
    "edge-tv",
    "edge-shirt",
    "edge-tests",
    "0190c2a4-0000-7000-8000-000000000001",
    "USD",
    "IN",
    "COD",
    "-",
    "*",
    "%",
    "a/b",
    "a:b",
    "\0",
]

texts = st.sampled_from(KNOWN) | st.text(max_size=20)
numbers = st.integers(-3, 3) | st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False)
junk = st.none() | st.booleans() | numbers | texts | st.lists(texts, max_size=2) | st.dictionaries(texts, texts, max_size=2)
OF_TYPE = {FieldDescriptor.CPPTYPE_STRING: texts, FieldDescriptor.CPPTYPE_BOOL: st.booleans()}


def requests() -> Iterator[MethodDescriptor]:
    """The methods with a REST form that answer once. Neither of what changes the shop as a whole: a rebuild is slow."""
    for service in itertools.chain.from_iterable(file.services_by_name.values() for file in service_files()):
        for method in service.methods:
            name = f"{service.full_name}/{method.name}"
            if name in OPEN and method.GetOptions().HasExtension(HTTP) and not method.server_streaming and "Ranking:" not in name:
                yield method


@cache
def value_of(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    """Mostly of the field's type, sometimes anything."""
    if field.message_type is not None:
        of_type = document(field.message_type, depth + 1) if depth < 3 else junk
    elif field.enum_type is not None:
        of_type = st.sampled_from([value.name for value in field.enum_type.values])
    else:
        of_type = OF_TYPE.get(field.cpp_type, numbers)
    if field.is_repeated:
        of_type = st.lists(of_type, max_size=3)
    return of_type | of_type | of_type | junk


@cache
def document(message: Descriptor, depth: int = 0) -> st.SearchStrategy[Any]:
    """A message in JSON, with some of its fields."""
    return st.fixed_dictionaries({}, optional={field.camelcase_name: value_of(field, depth) for field in message.fields})


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, Any]:
    """(verb, target, body) of a public method."""
    method = draw(st.sampled_from(METHODS))
    rules = method.GetOptions().Extensions[HTTP]
    rule = draw(st.sampled_from([rules, *rules.additional_bindings]))
    verb = rule.WhichOneof("pattern")
    path = re.sub(r"\{[^}]*\}", lambda _: quote(draw(texts.filter(bool)), safe=""), getattr(rule, verb))
    fields = method.input_type
    if not rule.body:
        names = draw(st.lists(st.sampled_from([*fields.fields_by_camelcase_name, "other"]), max_size=3))
        query = "&".join(f"{name}={quote(str(draw(junk)), safe='')}" for name in names)
        return verb.upper(), f"{path}?{query}", None
    body = fields if rule.body == "*" else fields.fields_by_name[rule.body].message_type
    return verb.upper(), path, draw(document(body) | document(body) | junk)


METHODS = list(requests())


@seed(20261121)
@settings(max_examples=REQUESTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(call=calls(), who=st.sampled_from(["nobody", "customer", "admin"]))
def test_no_request_is_a_fault_of_ours(edge: Edge, shopper: Customer, call: tuple[str, str, Any], who: str):
    verb, target, body = call
    answer = edge.call(verb, target, body, user={"customer": shopper, "admin": edge.admin}.get(who))

    assert answer.status_code < 500 or answer.status_code == 503, answer.text
    if answer.status_code != 200:
        refusal(answer)

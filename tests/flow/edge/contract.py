"""Holds answers of the edge against the OpenAPI document, more strictly than a client would: a field that it doesn't name is a fault."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

from gateway.openapi.operations import EVENTS
from gateway.pages import OPENAPI

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text())
OF_TRANSPORT = {408, 431}
"""What any request may be answered before anybody has looked at its path."""


def faults(verb: str, target: str, answer: httpx.Response) -> list[str]:
    """What of an answer isn't as the document says; empty too where it says nothing of the path."""
    operation = find(verb, target)
    if operation is None or answer.status_code in OF_TRANSPORT:
        return []
    told = operation["responses"].get(str(answer.status_code))
    if told is None:
        return [f"{operation['operationId']} answers an undocumented {answer.status_code}"]
    missing = [f"no {name}" for name in told.get("headers", {}) if name.lower() not in answer.headers and answer.status_code == 201]
    content = told.get("content", {})
    kind = answer.headers.get("content-type", "")
    if not content:
        return missing + ([f"a body of {kind}"] if answer.content else [])
    if kind not in content:
        return [*missing, f"{operation['operationId']} answers {kind}"]
    if kind == EVENTS:
        events = re.findall("^data: (.*)$", answer.text, re.MULTILINE)
        return [fault for event in events for fault in event_faults(target, json.loads(event))]
    body = json.loads(answer.text)
    reasons = {detail.get("reason") for detail in body.get("details", ())} - {None} if answer.is_error else set()
    untold = [f"{operation['operationId']} may fail with {name}" for name in reasons - content[kind].get("examples", {}).keys()]
    schema = content[kind]["schema"]
    return [*missing, *untold, *(error.message for error in validator(json.dumps(schema)).iter_errors(body))]


def event_faults(target: str, event: dict[str, Any]) -> list[str]:
    """What of an event that a GET streams isn't as the document says."""
    operation = find("GET", target)
    assert operation is not None
    schema = operation["responses"]["200"]["content"][EVENTS]["x-event-schema"]
    return [error.message for error in validator(json.dumps(schema)).iter_errors(event)]


def find(verb: str, target: str) -> dict[str, Any] | None:
    """The operation that a request is for."""
    path = re.sub("^/(api|v1)/", "/", target.partition("?")[0])
    for pattern, operations in templates():
        if pattern.fullmatch(path):
            return operations.get(verb.lower())
    return None


@cache
def templates() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Every path, those that say most first."""
    ordered = sorted(DOCUMENT["paths"].items(), key=lambda item: ["{" in segment for segment in item[0].split("/")])
    return [(re.compile("".join(_piece(piece) for piece in re.split(r"(\{\w+\})", path))), operations) for path, operations in ordered]


@cache
def validator(schema: str) -> Draft202012Validator:
    """Of a schema in the document."""
    return Draft202012Validator({**json.loads(schema), "components": closed()}, format_checker=FormatChecker())


@cache
def closed() -> dict[str, Any]:
    """The components, with no room for what they don't name."""
    components = copy.deepcopy(DOCUMENT["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return components


def _piece(piece: str) -> str:
    return "[^/:]+" if piece.startswith("{") else re.escape(piece)

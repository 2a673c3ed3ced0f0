"""Errors as the document tells them: which HTTP status a reason comes with, and how it looks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.rpc.code_pb2 import Code

from bazaar.type.v1.errors_pb2 import ErrorReason
from gateway.errors import PROBLEM, TITLES
from gateway.openapi.comments import Comments
from gateway.openapi.rules import Schema

HTTP_OF = {
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "UNIMPLEMENTED": 501,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
"""As Envoy translates google.rpc.Code."""

BY_FIELD = {
    "address_id": ["ADDRESS_NOT_FOUND"],
    "cart_id": ["CART_NOT_FOUND"],
    "category_id": ["CATEGORY_NOT_FOUND"],
    "coupon_code": ["COUPON_INVALID"],
    "currency": ["CURRENCY_UNKNOWN"],
    "currency_code": ["CURRENCY_UNKNOWN"],
    "expected_total": ["CURRENCY_MISMATCH"],
    "minor_units": ["PRICE_INVALID"],
    "order_id": ["ORDER_NOT_FOUND"],
    "page": ["PAGE_OUT_OF_RANGE"],
    "page_token": ["PAGE_TOKEN_INVALID"],
    "parent_category_id": ["CATEGORY_NOT_FOUND"],
    "payment_method": ["PAYMENT_METHOD_UNSUPPORTED"],
    "product_id": ["PRODUCT_NOT_FOUND"],
    "request_id": ["REQUEST_ID_REUSED", "REQUEST_IN_PROGRESS", "REQUEST_ID_MISMATCH"],
    "session_id": ["SESSION_NOT_FOUND"],
    "signed_quote": ["QUOTE_INVALID"],
    "user_id": ["USER_NOT_FOUND"],
}
"""Why a request that names such a thing may be refused, whatever its method says of itself."""

COMES_BACK = (429, 503)
COME_BACK = {"Retry-After": {"description": "When to come back, where that is known: in so many seconds.", "schema": {"type": "integer"}}}

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_AS_PROBLEM = ".problem"
_SHAPE = re.compile(r"([A-Z_]+)\. (.*?)\s*Example: (.*)", re.DOTALL)


@dataclass(frozen=True)
class Reason:
    """One value of ErrorReason, as its comment tells it."""

    name: str
    code: str
    """The name of a google.rpc.Code."""
    meaning: str
    metadata: dict[str, str]
    """An example."""
    status: int
    """Of HTTP."""


def reasons(comments: Comments) -> dict[str, Reason]:
    """Every reason by its name."""
    enum = ErrorReason.DESCRIPTOR
    told = {value.name: comments[f"{enum.full_name}.{value.name}"] for value in enum.values if value.number}
    found = {name: _reason(name, comment) for name, comment in told.items()}
    found["METHOD_NOT_FOUND"] = replace(found["METHOD_NOT_FOUND"], code="NOT_FOUND", status=404)  # the edge knows paths, not methods
    return found


TOO_LARGE = Reason("VALIDATION_FAILED", "INVALID_ARGUMENT", "The body is too large.", {}, 413)
"""Said by the edge itself."""


def named_in(text: str, known: Iterable[str]) -> list[str]:
    """The reasons that a method's comment names."""
    words = re.findall(r"[A-Z][A-Z_]+", text)
    return [name for name in known if name in words]


def by_fields(message: Descriptor) -> Iterator[str]:
    """The reasons that a request's fields bring along, those of its messages included."""
    for field in message.fields:
        yield from BY_FIELD.get(field.name, ())
        if field.message_type and field.message_type.full_name.startswith("bazaar."):
            yield from by_fields(field.message_type)


def response(status: int, told: Iterable[Reason]) -> dict[str, Any]:
    """What a status answers, with an example of each of its reasons."""
    found = list(told)
    meanings = "\n".join(f"- `{reason.name}`: {reason.meaning}" for reason in found)
    plain = {reason.name: {"$ref": f"#/components/examples/{reason.name}"} for reason in found}
    problems = {reason.name: {"$ref": f"#/components/examples/{reason.name}{_AS_PROBLEM}"} for reason in found}
    return {
        "description": f"{TITLES[status]}.\n\n{meanings}",
        **({"headers": COME_BACK} if status in COMES_BACK else {}),
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Error"}, "examples": plain},
            PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": problems},
        },
    }


def examples(known: Iterable[Reason]) -> dict[str, Any]:
    """An example of each reason, in both of its forms."""
    made: dict[str, Any] = {}
    for reason in known:
        made[reason.name] = {"summary": reason.meaning, "value": _error(reason)}
        made[reason.name + _AS_PROBLEM] = {"summary": reason.meaning, "value": _problem(reason)}
    return made


def schemas(known: Iterable[str]) -> dict[str, Schema]:
    """The schemas that all errors share."""
    info = {
        "@type": {"const": ERROR_INFO},
        "reason": {"enum": sorted(known), "description": "Why, for programs."},
        "domain": {"const": "bazaar.dev"},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}, "description": "The message's variable parts."},
    }
    details = {
        "type": "array",
        "description": "One `ErrorInfo`; and, where it fits, `BadRequest` (fields), `RetryInfo` (when to come back) or the service's own.",
        "items": {"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"], "additionalProperties": True},
        "contains": {"$ref": "#/components/schemas/ErrorInfo"},
    }
    code = {"type": "integer", "minimum": 1, "maximum": 16, "description": "A google.rpc.Code."}
    message = {"type": "string", "description": "For developers, in English."}
    status = {"type": "integer", "minimum": 400, "maximum": 599}
    problem = {"type": {"const": "about:blank"}, "title": {"type": "string"}, "status": status, "detail": message}
    return {
        "ErrorInfo": {"type": "object", "properties": info, "required": ["@type", "reason", "domain"]},
        "Error": _object("A google.rpc.Status.", {"code": code, "message": message, "details": details}),
        "Problem": _object("RFC 9457, for clients that accept it.", {**problem, "code": code, "details": details}),
    }


def _object(description: str, properties: dict[str, Any]) -> Schema:
    return {"type": "object", "description": description, "properties": properties, "required": list(properties)}


def _reason(name: str, comment: str) -> Reason:
    shape = _SHAPE.fullmatch(comment)
    if not shape:
        raise ValueError(f"ErrorReason.{name}: the comment must be a code, a meaning and an example")
    code, meaning, example = shape.groups()
    metadata = json.loads(example) if example.startswith("{") else {}
    return Reason(name, code, " ".join(meaning.split()), metadata, HTTP_OF[code])


def _error(reason: Reason) -> dict[str, Any]:
    info = {"@type": ERROR_INFO, "reason": reason.name, "domain": "bazaar.dev", "metadata": reason.metadata}
    return {"code": Code.Value(reason.code), "message": reason.meaning, "details": [info]}


def _problem(reason: Reason) -> dict[str, Any]:
    error = _error(reason)
    head = {"type": "about:blank", "title": TITLES[reason.status], "status": reason.status, "detail": error.pop("message")}
    return head | error

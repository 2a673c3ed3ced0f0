"""A method's REST forms as OpenAPI operations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.api import http_pb2
from google.protobuf.descriptor import MethodDescriptor

from gateway.methods import HTTP, Method
from gateway.openapi.comments import Comments
from gateway.openapi.errors import TOO_LARGE, Reason, by_fields, named_in, response
from gateway.openapi.parameters import field_at, in_headers, in_path, in_query, message_of, path_of, variables
from gateway.openapi.rules import required
from gateway.openapi.schemas import Schemas, Way

ALWAYS = ("VALIDATION_FAILED", "UNAUTHENTICATED", "OVERLOADED", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED")
"""Reasons that any call may be refused for; a token that is no good is refused even where none is needed."""

BODY = "google.api.HttpBody"
EVENTS = "text/event-stream"
CACHE_HEADERS = {
    "ETag": {"description": "Names this content; send it as If-None-Match.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "For how long it is good, and for whom.", "schema": {"type": "string"}},
}
LOCATION = {"Location": {"description": "Where to find what was made.", "schema": {"type": "string", "format": "uri-reference"}}}


@dataclass(frozen=True)
class Form:
    """One REST form of a method."""

    path: str
    """`/v1/users/{userId}`."""
    verb: str
    operation: dict[str, Any]


class Operations:
    """Makes operations."""

    def __init__(self, comments: Comments, reasons: dict[str, Reason], schemas: Schemas) -> None:
        self._comments = comments
        self._reasons = reasons
        self._schemas = schemas

    def forms(self, descriptor: MethodDescriptor, method: Method) -> Iterator[Form]:
        """Every REST form of a method that is open; those below /api are left out, for they are those below /v1."""
        rule = descriptor.GetOptions().Extensions[HTTP]
        for number, each in enumerate((rule, *rule.additional_bindings), start=1):
            verb = each.WhichOneof("pattern")
            if verb:
                operation = self._operation(descriptor, method, each, getattr(each, verb))
                operation["operationId"] = descriptor.name if number == 1 else f"{descriptor.name}_{number}"
                yield Form(path_of(getattr(each, verb)), verb, operation)

    def _operation(self, descriptor: MethodDescriptor, method: Method, rule: http_pb2.HttpRule, template: str) -> dict[str, Any]:
        comment = self._comments.get(descriptor.full_name, "")
        summary, _, rest = comment.partition("\n\n")
        bound = set(variables(template))
        parameters = [
            *in_path(descriptor.input_type, template, self._schemas),
            *([] if rule.body == "*" else in_query(descriptor.input_type, bound | {rule.body}, self._schemas)),
            *in_headers(descriptor, is_cacheable=method.is_cacheable, can_resume=method.is_stream),
        ]
        body = self._body(descriptor, rule, bound) if rule.body else None
        return {
            "tags": [descriptor.containing_service.name],
            "summary": " ".join(summary.split()).removesuffix("."),
            **({"description": rest} if rest else {}),
            "operationId": "",
            **({"deprecated": True} if descriptor.GetOptions().deprecated else {}),
            **({"parameters": parameters} if parameters else {}),
            **({"requestBody": body} if body else {}),
            "responses": self._responses(descriptor, method, comment, has_body=bool(body)),
            "security": [{"token": []}] if method.needs_user else [{}, {"token": []}],
        }

    def _body(self, descriptor: MethodDescriptor, rule: http_pb2.HttpRule, bound: set[str]) -> dict[str, Any]:
        message, prefix = descriptor.input_type, ""
        is_required = False
        if rule.body != "*":
            is_required = rule.body in required(message)
            message, prefix = message_of(field_at(message, rule.body)), f"{rule.body}."
        if message.full_name == BODY:
            return {"required": True, "content": {"*/*": {"schema": {}}}}
        without = {name.removeprefix(prefix) for name in bound if name.startswith(prefix)}
        schema = self._schemas.of(message, Way.IN, without)
        is_required = is_required or bool(required(message) - without)
        return {"required": is_required, "content": {"application/json": {"schema": schema}}}

    def _responses(self, descriptor: MethodDescriptor, method: Method, comment: str, *, has_body: bool) -> dict[str, Any]:
        by_status: defaultdict[int, list[Reason]] = defaultdict(list)
        for name in dict.fromkeys([*named_in(comment, self._reasons), *self._general(descriptor, method)]):
            by_status[self._reasons[name].status].append(self._reasons[name])
        if has_body:
            by_status[413].append(TOO_LARGE)
        failures = {str(status): response(status, by_status[status]) for status in sorted(by_status)}
        return {**self._success(descriptor, method), **failures}

    def _general(self, descriptor: MethodDescriptor, method: Method) -> Iterator[str]:
        yield from by_fields(descriptor.input_type)
        yield from ALWAYS
        if any("{" in binding.template for binding in method.bindings):
            yield "METHOD_NOT_FOUND"
        if method.needs_user:
            yield "METHOD_NOT_GRANTED"
        if method.limit:
            yield "RATE_LIMITED"
        if method.priority > 1:
            yield "SHED"

    def _success(self, descriptor: MethodDescriptor, method: Method) -> dict[str, Any]:
        schema = self._schemas.reference(descriptor.output_type, Way.OUT)
        if method.is_stream:
            told = f"Server-sent events. The `data` of each is a line of JSON: [{descriptor.output_type.name}]({schema['$ref']})."
            return {"200": {"description": told, "content": {EVENTS: {"schema": {"type": "string"}, "x-event-schema": schema}}}}
        answer: dict[str, Any] = {"description": "Done.", "content": {"application/json": {"schema": schema}}}
        if method.creates:
            return {"201": {**answer, "description": "Made.", "headers": LOCATION}}
        if method.is_cacheable:
            unchanged = {"description": "What the client has is still good.", "headers": CACHE_HEADERS}
            return {"200": {**answer, "headers": CACHE_HEADERS}, "304": unchanged}
        return {"200": answer}

"""What a REST call says outside of its body: path, query and headers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from gateway.openapi.rules import Schema, keywords, required, rules_of
from gateway.openapi.schemas import WELL_KNOWN, Schemas, Way

_VARIABLE = re.compile(r"\{([^}=]+)(?:=[^}]*)?\}")

IN_TEXT: dict[str, Schema] = {
    "int64": {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
    "uint64": {"type": "integer", "format": "uint64", "minimum": 0, "maximum": 2**64 - 1},
}
"""Outside of JSON every number is text, so that none needs to be a string."""


def variables(template: str) -> list[str]:
    """The fields that a google.api.http template binds: `/v1/users/{user.user_id}` → `user.user_id`."""
    return _VARIABLE.findall(template)


def path_of(template: str) -> str:
    """The template as OpenAPI writes it: `/v1/users/{userId}`."""
    return _VARIABLE.sub(lambda found: f"{{{_path_name(found[1])}}}", template)


def in_path(message: Descriptor, template: str, schemas: Schemas) -> Iterator[dict[str, Any]]:
    """The path's variables."""
    for variable in variables(template):
        field = field_at(message, variable)
        schema = _schema(field, schemas)
        if schema["type"] == "string" and not schema.keys() & {"format", "pattern"}:
            schema["minLength"] = max(1, schema.get("minLength", 1))  # an empty segment is no segment
        yield _parameter(_path_name(variable), "path", schema, is_required=True)


def in_query(message: Descriptor, bound: Collection[str], schemas: Schemas, *, prefix: str = "") -> Iterator[dict[str, Any]]:
    """Every field that neither path nor body holds, fields of fields as `a.b`.

    Args:
        bound: their names in the proto, dotted.
    """
    for field in message.fields:
        name = f"{prefix}{field.name}"
        if name in bound:
            continue
        if field.message_type and field.message_type.full_name not in WELL_KNOWN:
            if not field.is_repeated:
                yield from in_query(field.message_type, bound, schemas, prefix=f"{name}.")
            continue
        is_required = not prefix and field.name in required(message)
        yield _parameter(_json_path(message, name, prefix), "query", _schema(field, schemas), is_required=is_required)


def in_headers(method: MethodDescriptor, *, is_cacheable: bool, can_resume: bool) -> Iterator[dict[str, Any]]:
    """The headers that a method heeds."""
    if "request_id" in method.input_type.fields_by_name:
        told = "Makes a repeat of the call the same call: it gets the first one's answer, for 24 hours. The same as `requestId`."
        yield _parameter("Idempotency-Key", "header", {"type": "string", "maxLength": 128, "description": told}, is_required=False)
    if is_cacheable:
        told = "The ETag of an answer that is still there: 304 while it is good."
        yield _parameter("If-None-Match", "header", {"type": "string", "description": told}, is_required=False)
    if can_resume:
        told = "The `id` of the last event that came: what comes next is what it would have been."
        yield _parameter("Last-Event-ID", "header", {"type": "string", "maxLength": 64, "description": told}, is_required=False)


def field_at(message: Descriptor, dotted: str) -> FieldDescriptor:
    """The field at a path such as `user.user_id`."""
    first, _, rest = dotted.partition(".")
    field = message.fields_by_name[first]
    return field_at(message_of(field), rest) if rest else field


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message that a field holds."""
    assert field.message_type is not None, f"{field.full_name} holds no message"
    return field.message_type


def _path_name(variable: str) -> str:
    """Two templates of one path must name it alike: `{user_id}` and `{user.user_id}` are both `userId`."""
    words = variable.rpartition(".")[2].split("_")
    return words[0] + "".join(word.capitalize() for word in words[1:])


def _json_path(message: Descriptor, name: str, prefix: str) -> str:
    return ".".join([*(_path_name(part) for part in prefix.split(".") if part), message.fields_by_name[name.rpartition(".")[2]].json_name])


def _schema(field: FieldDescriptor, schemas: Schemas) -> Schema:
    schema = schemas.value(field, Way.IN)
    single = schema["items"] if field.is_repeated else schema
    if text := IN_TEXT.get(single.get("format", "")):
        single.pop("pattern", None)
        single.update(text | keywords(field, rules_of(field)))
    return schema


def _parameter(name: str, place: str, schema: Schema, *, is_required: bool) -> dict[str, Any]:
    described = {"description": schema.pop("description")} if "description" in schema else {}
    return {"name": name, "in": place, **({"required": True} if is_required else {}), **described, "schema": schema}

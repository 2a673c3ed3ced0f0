"""Messages as JSON Schema, in the two forms that the transcoder knows.

What goes in follows protovalidate's rules. What comes out has every field that has no presence, zero or not
(`always_print_without_presence_fields`), and 64-bit integers as strings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import Enum
from itertools import combinations
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from gateway.openapi.comments import Comments
from gateway.openapi.rules import Schema, in_words, is_required_oneof, keywords, of_items, of_message, required, rules_of

Kind = FieldDescriptor

INT64: Schema = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
UINT64: Schema = {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}
INT32: Schema = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
UINT32: Schema = {"type": "integer", "format": "uint32", "minimum": 0, "maximum": 2**32 - 1}

SCALARS: dict[int, Schema] = {
    Kind.CPPTYPE_BOOL: {"type": "boolean"},
    Kind.CPPTYPE_INT32: INT32,
    Kind.CPPTYPE_UINT32: UINT32,
    Kind.CPPTYPE_INT64: INT64,
    Kind.CPPTYPE_UINT64: UINT64,
    Kind.CPPTYPE_FLOAT: {"type": "number", "format": "float"},
    Kind.CPPTYPE_DOUBLE: {"type": "number", "format": "double"},
    Kind.CPPTYPE_STRING: {"type": "string"},
}

WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+([.][0-9]{1,9})?s$", "examples": ["1.5s"]},
    "google.protobuf.FieldMask": {"type": "string", "description": "Names of fields with commas between.", "examples": ["title,brand"]},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Value": {},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
        "additionalProperties": True,
    },
    "google.rpc.Status": {"$ref": "#/components/schemas/Error"},
    "google.protobuf.BoolValue": {"type": ["boolean", "null"]},
    "google.protobuf.StringValue": {"type": ["string", "null"]},
    "google.protobuf.BytesValue": {"type": ["string", "null"], "contentEncoding": "base64"},
    "google.protobuf.Int32Value": {**INT32, "type": ["integer", "null"]},
    "google.protobuf.UInt32Value": {**UINT32, "type": ["integer", "null"]},
    "google.protobuf.Int64Value": {**INT64, "type": ["string", "null"]},
    "google.protobuf.UInt64Value": {**UINT64, "type": ["string", "null"]},
    "google.protobuf.FloatValue": {"type": ["number", "null"]},
    "google.protobuf.DoubleValue": {"type": ["number", "null"]},
}


class Way(Enum):
    """Where a message goes."""

    IN = "Input"
    OUT = ""


class Schemas:
    """Makes schemas, and collects those that have a name of their own."""

    def __init__(self, comments: Comments) -> None:
        self._comments = comments
        self._makers: dict[str, Descriptor] = {}
        self.components: dict[str, Schema] = {}

    def reference(self, message: Descriptor, way: Way) -> Schema:
        """A `$ref` to a message's schema, which is made if need be; a well-known type's own schema."""
        if message.full_name in WELL_KNOWN:
            return dict(WELL_KNOWN[message.full_name])
        name = _name(message, way)
        if name not in self.components:
            self.components[name] = {}  # a message may hold itself
            self._makers[name] = message
            self.components[name] = self.of(message, way)
        if self._makers[name] is not message:
            raise ValueError(f"{message.full_name} and {self._makers[name].full_name} would both be called {name}")
        return {"$ref": f"#/components/schemas/{name}"}

    def of(self, message: Descriptor, way: Way, without: Collection[str] = ()) -> Schema:
        """A message's schema in place; fields that stand in the path are left out."""
        fields = [field for field in message.fields if field.name not in without]
        schema: Schema = {"type": "object"}
        if told := _paragraphs(self._comments.get(message.full_name, ""), *(of_message(message) if way is Way.IN else ())):
            schema["description"] = told
        if fields:
            schema["properties"] = {field.json_name: self.value(field, way) for field in fields}
        if needed := [field.json_name for field in fields if _is_needed(field, way)]:
            schema["required"] = needed
        return schema | _oneofs(message)

    def value(self, field: FieldDescriptor, way: Way) -> Schema:
        """A field's value, a list where it is repeated, with the field's description."""
        schema = self._value(field, way)
        told = [self._comments.get(field.full_name, ""), *(in_words(field) if way is Way.IN else ())]
        if described := _paragraphs(*told, schema.get("description", "")):
            schema["description"] = described
        if field.GetOptions().deprecated:
            schema["deprecated"] = True
        return schema

    def _value(self, field: FieldDescriptor, way: Way) -> Schema:
        if field.message_type and field.message_type.GetOptions().map_entry:
            return {"type": "object", "additionalProperties": self.value(field.message_type.fields_by_name["value"], way)}
        rules = rules_of(field)
        if not field.is_repeated:
            return self.single(field, way, rules)
        of_item = rules.repeated.items if rules.WhichOneof("type") == "repeated" else rules
        return {"type": "array", "items": self.single(field, way, of_item), **(of_items(rules) if way is Way.IN else {})}

    def single(self, field: FieldDescriptor, way: Way, rules: Any) -> Schema:
        """One value of a field."""
        if field.message_type:
            return self.reference(field.message_type, way)
        if field.enum_type:
            schema = self._enum(field.enum_type)
        elif field.type == Kind.TYPE_BYTES:
            schema = {"type": "string", "contentEncoding": "base64"}
        else:
            schema = dict(SCALARS[field.cpp_type])
        return schema | keywords(field, rules, as_text="int64" in schema.get("format", "")) if way is Way.IN else schema

    def _enum(self, enum: EnumDescriptor) -> Schema:
        told = [(value.name, self._comments.get(f"{enum.full_name}.{value.name}", "")) for value in enum.values]
        meanings = "\n".join(f"- `{name}`: {comment}" for name, comment in told if comment)
        described = _paragraphs(self._comments.get(enum.full_name, ""), meanings)
        names: Schema = {"type": "string", "enum": [name for name, _ in told]}
        return names | ({"description": described} if described else {})


def _name(message: Descriptor, way: Way) -> str:
    """Without the package. What belongs to a request or response goes one way only and needs no suffix."""
    *_, outermost = _containing(message)
    suffix = "" if outermost.name.endswith(("Request", "Response")) else way.value
    return ".".join(reversed([each.name for each in _containing(message)])) + suffix


def _containing(message: Descriptor) -> Iterator[Descriptor]:
    at: Descriptor | None = message
    while at:
        yield at
        at = at.containing_type


def _is_needed(field: FieldDescriptor, way: Way) -> bool:
    return field.name in required(field.containing_type) if way is Way.IN else not field.has_presence


def _oneofs(message: Descriptor) -> Schema:
    """At most one member of each oneof, or just one where the rules say so."""
    demands: list[Schema] = []
    for oneof in message.oneofs:
        names = [field.json_name for field in oneof.fields]
        if is_required_oneof(oneof):
            demands.append({"oneOf": [{"required": [name]} for name in names]})
        elif len(names) > 1:
            demands.append({"not": {"anyOf": [{"required": list(pair)} for pair in combinations(names, 2)]}})
    return {"allOf": demands} if demands else {}


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(text for text in texts if text)

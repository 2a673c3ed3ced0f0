"""protovalidate's rules as JSON Schema keywords."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message_factory import GetMessageClass

Schema = dict[str, Any]

FORMATS = {"uuid": "uuid", "email": "email", "uri": "uri", "hostname": "hostname"}
NUMBERS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum"}
LENGTHS = {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"}
ITEMS = {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"}
BIG = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


def rules_of(field: FieldDescriptor) -> Any:
    """A field's FieldRules."""
    return field.GetOptions().Extensions[validate_pb2.field]


def keywords(field: FieldDescriptor, rules: Any, *, as_text: bool = False) -> Schema:
    """What the rules demand of one value, beside its type.

    Args:
        as_text: the value is an integer that JSON carries as a string, which keywords about numbers can't reach.
    """
    kind = rules.WhichOneof("type")
    if kind is None or kind == "repeated":
        return {}
    own = getattr(rules, kind)
    if kind == "string":
        return _keywords(own, LENGTHS) | _formats(own) | _choice(own)
    if kind == "bytes":
        return {"maxLength": 4 * math.ceil(own.max_len / 3)} if own.HasField("max_len") else {}
    if kind == "enum":
        return {"enum": _names(field, own)}
    if kind in ("duration", "timestamp") or as_text:
        return {}
    return _keywords(own, NUMBERS) | _choice(own)


def of_items(rules: Any) -> Schema:
    """What the rules demand of a list as a whole."""
    return _keywords(rules.repeated, ITEMS) if rules.WhichOneof("type") == "repeated" else {}


def in_words(field: FieldDescriptor) -> list[str]:
    """Rules that no keyword can say."""
    rules = rules_of(field)
    told = [cel.message for cel in rules.cel]
    if field.cpp_type in BIG and (kind := rules.WhichOneof("type")):
        signs = {"gt": ">", "gte": "≥", "lt": "<", "lte": "≤"}
        told += [f"{sign} {getattr(getattr(rules, kind), name)}" for name, sign in signs.items() if getattr(rules, kind).HasField(name)]
    if rules.WhichOneof("type") == "duration":
        bounds = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}
        told += [f"{word} {getattr(rules.duration, name).seconds} s" for name, word in bounds.items() if rules.duration.HasField(name)]
    return told


def of_message(message: Descriptor) -> list[str]:
    """The rules over several of a message's fields, in words."""
    return [cel.message for cel in message.GetOptions().Extensions[validate_pb2.message].cel]


def is_required_oneof(oneof: OneofDescriptor) -> bool:
    return oneof.GetOptions().Extensions[validate_pb2.oneof].required


@cache
def required(message: Descriptor) -> frozenset[str]:
    """The fields without which a message is refused: asked of protovalidate itself, with a message that has none."""
    violations = protovalidate.collect_violations(GetMessageClass(message)())
    paths = [violation.proto.field.elements for violation in violations if violation.proto.field]
    return frozenset(path[0].field_name for path in paths) & set(message.fields_by_name)


def _keywords(rules: Any, names: dict[str, str]) -> Schema:
    return {keyword: getattr(rules, name) for name, keyword in names.items() if rules.HasField(name)}


def _formats(rules: Any) -> Schema:
    kind = rules.WhichOneof("well_known")
    return {"format": FORMATS[kind]} if kind in FORMATS else {}


def _choice(rules: Any) -> Schema:
    allowed = list(getattr(rules, "in"))
    refused = list(rules.not_in)
    return ({"enum": allowed} if allowed else {}) | ({"not": {"enum": refused}} if refused else {})


def _names(field: FieldDescriptor, rules: Any) -> list[str]:
    allowed, refused = set(getattr(rules, "in")), set(rules.not_in)
    assert field.enum_type is not None
    values = field.enum_type.values
    return [value.name for value in values if (not allowed or value.number in allowed) and value.number not in refused]

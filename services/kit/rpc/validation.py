"""Requests are checked by the rules in their protos (protovalidate) before a handler sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message

from services.kit.errors import InvalidArgument

_validator = protovalidate.Validator()
_RULES = "buf.validate."
_MOST_TOLD = 20
"""Violations in one answer; a batch can break a thousand rules, and an error must fit into metadata."""


class ValidationFailed(InvalidArgument):
    """A request breaks the rules of its proto; the first 20 broken rules are in `violations`."""

    reason = "VALIDATION_FAILED"


def validation_of(message: Descriptor) -> Callable[[Message], None] | None:
    """The check of one message type; None when neither it nor anything in it has rules, so that it costs nothing."""
    return check if _has_rules(message, set()) else None


def check(message: Message) -> None:
    """Checks a message.

    Raises:
        ValidationFailed: it breaks rules.
    """
    if violations := _validator.collect_violations(message):
        found = [(_path(violation), violation.proto.message or violation.proto.rule_id) for violation in violations[:_MOST_TOLD]]
        told = "; ".join(f"{field}: {why}" if field else why for field, why in found)
        raise ValidationFailed(told, violations=found)


def _path(violation: protovalidate.Violation) -> str:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript:
            path += f"[{element.subscript.value}]"
    return path


def _has_rules(message: Descriptor, seen: set[str]) -> bool:
    if message.full_name in seen:
        return False
    seen.add(message.full_name)
    if any(_is_ruled(part) for part in _parts(message)):
        return True
    return any(_has_rules(field.message_type, seen) for field in message.fields if field.message_type)


def _parts(message: Descriptor) -> Iterator[Descriptor | FieldDescriptor | OneofDescriptor]:
    yield message
    yield from message.fields
    yield from message.oneofs


def _is_ruled(part: Descriptor | FieldDescriptor | OneofDescriptor) -> bool:
    return any(option.full_name.startswith(_RULES) for option, _ in part.GetOptions().ListFields())

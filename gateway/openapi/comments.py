"""What the protos' comments say, by full name. Generated code has none: they come from descriptors with source information."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

Comments = dict[str, str]
"""`bazaar.orders.v1.Order.state` → its comment. An enum's values stand below the enum."""

_KINDS = {
    FileDescriptorProto: {4: "message_type", 5: "enum_type", 6: "service"},
    "message_type": {2: "field", 3: "nested_type", 4: "enum_type"},
    "nested_type": {2: "field", 3: "nested_type", 4: "enum_type"},
    "enum_type": {2: "value"},
    "service": {2: "method"},
}
"""Field numbers in descriptor.proto by which a location's path goes down."""


def comments(files: FileDescriptorSet) -> Comments:
    """Every leading comment, without the blank that follows the slashes."""
    found: Comments = {}
    for file in files.file:
        for location in file.source_code_info.location:
            if location.leading_comments and (name := _name(file, location.path)):
                found[name] = "\n".join(line.removeprefix(" ") for line in location.leading_comments.splitlines()).strip()
    return found


def _name(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """The full name of what a location is about; empty for what needs none (an option, an import)."""
    names = list(_names(file, path))
    return ".".join([file.package, *names]) if len(path) % 2 == 0 and len(names) == len(path) // 2 else ""


def _names(file: FileDescriptorProto, path: Sequence[int]) -> Iterator[str]:
    at: Any = file
    kind: Any = FileDescriptorProto
    for number, index in zip(path[::2], path[1::2], strict=False):
        kind = _KINDS.get(kind, {}).get(number)
        if kind is None:
            return
        at = getattr(at, kind)[index]
        yield at.name

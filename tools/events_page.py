"""The catalogue of events, from the protos, the topics that services declare, and their subscriptions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from bazaar.type.v1 import event_options_pb2
from services.__main__ import find_services
from services.kit.events.port import Delivery, Subscription, Topic
from services.kit.runtime import Runtime
from services.kit.service import Parts
from services.kit.settings import Settings
from tools.protos import image
from tools.secrets import make_missing

_HEAD = """# Events

What services tell each other through the event bus. Every event is delivered at least once; those of one key arrive in order. Its
attributes are those of CloudEvents (`services/kit/events/port.py`), its payload is the wrapper message of its topic. This page is made from
the protos and the services' declarations by `python -m tools.docs`.
"""
_TABLE = ["| Event | When | Fields | Subscribers |", "|---|---|---|---|"]


class CatalogueBroken(Exception):
    """The protos and the services' declarations don't agree; the message says where."""


@dataclass(frozen=True)
class EventType:
    """One type of event."""

    name: str
    """Full proto name."""
    when: str
    fields: Sequence[str]
    """Each as `name: type`."""


@dataclass(frozen=True)
class Kind:
    """All events of a topic, as their wrapper message declares them."""

    topic: str
    key: str
    publisher: str
    wrapper: str
    what: str
    types: Sequence[EventType]


def page() -> str:
    """The page's text.

    Raises:
        CatalogueBroken: a topic or a type of event is known to one side only.
    """
    return written(kinds(_described()), shop())


def written(found: Sequence[Kind], services: Mapping[str, Parts]) -> str:
    """The catalogue of these kinds of events, as these services publish and hear them.

    Raises:
        CatalogueBroken: as `page`.
    """
    topics = {topic.name: topic for parts in services.values() for topic in parts.topics}
    heard = [subscription for parts in services.values() for subscription in parts.subscriptions]
    _check(found, topics, heard)
    sections = [_section(kind, topics[kind.topic], heard) for kind in found]
    unheard = [f"`{_short(each.name)}`" for kind in found for each in kind.types if not _hearers(kind.topic, each, heard)]
    return "\n".join([_HEAD, *sections, f"Without a subscriber: {', '.join(unheard) or 'none'}.", ""])


def kinds(files: FileDescriptorSet) -> list[Kind]:
    """Every wrapper of events in these files, which hold their comments."""
    return [kind for file in files.file for kind in _kinds_in(file)]


def _kinds_in(file: FileDescriptorProto) -> Iterator[Kind]:
    said = {tuple(location.path): " ".join(location.leading_comments.split()) for location in file.source_code_info.location}
    messages = {f".{file.package}.{message.name}": (place, message) for place, message in enumerate(file.message_type)}
    for place, message in enumerate(file.message_type):
        options = message.options.Extensions[event_options_pb2.event]
        if options.topic:
            members = [messages[field.type_name] for field in message.field]
            types = [_type(f"{file.package}.{of.name}", said.get((4, at), ""), of) for at, of in members]
            yield Kind(options.topic, options.key, file.package.split(".")[1], message.name, said.get((4, place), ""), types)


def _type(name: str, when: str, message: DescriptorProto) -> EventType:
    return EventType(name, when, [_told(field) for field in message.field])


def _told(field: FieldDescriptorProto) -> str:
    plain = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    repeated = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else ""
    return f"{field.name}: {repeated}{field.type_name.lstrip('.').removeprefix('google.protobuf.') or plain}"


def _check(found: Sequence[Kind], topics: Mapping[str, Topic], heard: Sequence[Subscription]) -> None:
    types = {kind.topic: {each.name for each in kind.types} for kind in found}
    if lonely := sorted(topics.keys() ^ types.keys()):
        raise CatalogueBroken(f"Declared by a service or described in an events.proto, but not both: {', '.join(lonely)}.")
    for subscription in heard:
        if subscription.topic not in types:
            raise CatalogueBroken(f"{subscription.group} subscribes to {subscription.topic}, which nobody publishes.")
        if unknown := sorted(subscription.types - types[subscription.topic]):
            raise CatalogueBroken(f"{subscription.group} wants {', '.join(unknown)} of {subscription.topic}, which nobody publishes there.")


def _section(kind: Kind, topic: Topic, heard: Sequence[Subscription]) -> str:
    where = f"Published by {kind.publisher} as `{kind.wrapper}`, in {topic.partitions} partitions, kept for {topic.retention.days} days."
    rows = [_row(each, _hearers(kind.topic, each, heard)) for each in kind.types]
    return "\n".join([f"## `{kind.topic}`", "", f"{kind.what} Key: {kind.key}. {where}", "", *_TABLE, *rows, ""])


def _row(event: EventType, hearers: str) -> str:
    return f"| `{_short(event.name)}` | {event.when} | {', '.join(f'`{field}`' for field in event.fields)} | {hearers} |"


def _hearers(topic: str, event: EventType, heard: Sequence[Subscription]) -> str:
    groups = {
        f"{subscription.group} (every process)" if subscription.delivery is Delivery.BROADCAST else subscription.group
        for subscription in heard
        if subscription.topic == topic and (not subscription.types or event.name in subscription.types)
    }
    return ", ".join(sorted(groups))


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _described() -> FileDescriptorSet:
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "image.binpb"
        image(built)
        return FileDescriptorSet.FromString(built.read_bytes())


def shop() -> Mapping[str, Parts]:
    """Every service, built and never opened."""
    with tempfile.TemporaryDirectory() as folder:
        make_missing(Path(folder))
        settings = Settings(
            secrets=Path(folder),
            database_url="postgresql:///{service}",
            events_url="postgresql:///events",
            redis_url="redis://localhost",
            mongo_url="mongodb://localhost",
            search_url="file:///nowhere",
        )
        return Runtime(find_services([]), settings).parts

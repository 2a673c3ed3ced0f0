"""What users publishes: topic `users`, key user id. Nothing personal."""

from __future__ import annotations

from collections.abc import Sequence

from bazaar.users.v1 import events_pb2 as pb
from services.kit.events.port import Event, Topic
from services.kit.outbox import event

USERS = Topic("users", payload=pb.UserEvent.DESCRIPTOR)


def registered(user_id: str) -> Event:
    """The event of a new user: the first of their changes."""
    return _event(user_id, 1, pb.UserEvent(user_registered=pb.UserRegistered(user_id=user_id)))


def changed(user_id: str, changes: int) -> Event:
    """The event of a changed profile.

    Args:
        changes: of the user so far, with this one.
    """
    return _event(user_id, changes, pb.UserEvent(user_changed=pb.UserChanged(user_id=user_id)))


def addresses_changed(user_id: str, changes: int, address_ids: Sequence[str]) -> Event:
    """The event of a changed address book.

    Args:
        changes: of the user so far, with this one.
    """
    message = pb.AddressesChanged(user_id=user_id, address_ids=address_ids)
    return _event(user_id, changes, pb.UserEvent(addresses_changed=message))


def _event(user_id: str, changes: int, message: pb.UserEvent) -> Event:
    return event(topic=USERS.name, key=user_id, subject=user_id, aggregate_version=changes, message=message)

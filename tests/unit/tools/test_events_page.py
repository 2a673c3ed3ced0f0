"""The catalogue of events says who publishes and who hears what, and refuses what only one side knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from bazaar.orders.v1 import events_pb2
from services.kit.events.port import Delivery, Subscription, Topic
from services.kit.service import Parts
from tools.events_page import CatalogueBroken, EventType, Kind, kinds, written

PAID, LOST = EventType("bazaar.tills.v1.Paid", "Money came.", ["till_id: string"]), EventType("bazaar.tills.v1.Lost", "Money went.", [])
TILLS = Kind("tills", "till_id", "tills", "TillEvent", "What becomes of tills.", [PAID, LOST])


def heard(topic: str = "tills", group: str = "books", **more: Any) -> Subscription:
    return Subscription(topic, group, None, **more)  # type: ignore[arg-type]


def shop(*subscriptions: Subscription, topic: str = "tills") -> dict[str, Parts]:
    return {"tills": Parts([], topics=[Topic(topic)]), "books": Parts([], subscriptions=subscriptions)}


def test_a_subscriber_is_named_with_the_events_that_it_wants():
    page = written([TILLS], shop(heard(types=frozenset({PAID.name})), heard(group="lights", delivery=Delivery.BROADCAST)))

    assert "| `Paid` | Money came. | `till_id: string` | books, lights (every process) |" in page
    assert "| `Lost` | Money went. |  | lights (every process) |" in page
    assert page.endswith("Without a subscriber: none.\n")


def test_an_event_without_a_subscriber_is_named():
    assert written([TILLS], shop(heard(types=frozenset({PAID.name})))).endswith("Without a subscriber: `Lost`.\n")


@pytest.mark.parametrize(
    ("services", "complaint"),
    [
        (shop(topic="safes"), "Declared by a service or described in an events.proto, but not both: safes, tills."),
        (shop(heard("safes")), "books subscribes to safes, which nobody publishes."),
        (
            shop(heard(types=frozenset({"bazaar.tills.v1.Won"}))),
            "books wants bazaar.tills.v1.Won of tills, which nobody publishes there.",
        ),
    ],
)
def test_what_only_one_side_knows_is_refused(services: dict[str, Parts], complaint: str):
    with pytest.raises(CatalogueBroken) as caught:
        written([TILLS], services)

    assert str(caught.value) == complaint


def test_a_wrapper_is_read_with_its_comments_and_fields():
    file = descriptor_pb2.FileDescriptorProto.FromString(events_pb2.DESCRIPTOR.serialized_pb)
    [place] = [place for place, message in enumerate(file.message_type) if message.name == "OrderPaymentFailed"]
    file.source_code_info.location.add(path=[4, place], leading_comments=" Nobody\n paid.\n")

    orders, lines = kinds(descriptor_pb2.FileDescriptorSet(file=[file]))

    assert (orders.topic, orders.key, orders.publisher, orders.wrapper) == ("orders", "order_id", "orders", "OrderEvent")
    assert orders.types[-1] == EventType(
        "bazaar.orders.v1.OrderPaymentFailed", "Nobody paid.", ["order_id: string", "user_id: string", "reason: string"]
    )
    assert replace(lines, types=[]) == Kind("order-lines", "root category", "orders", "OrderLineEvent", "", [])

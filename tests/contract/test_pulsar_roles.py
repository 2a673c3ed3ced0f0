"""Who may do what on Pulsar: a role has what its service declares, and nothing else."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from pulsar import ConsumerType

from bazaar.orders.v1 import events_pb2
from services.kit.errors import Unavailable
from services.kit.events import event_bus
from services.kit.events.port import Delivery, Event, EventBus, Subscription, Topic
from services.kit.events.pulsar.address import Address
from services.kit.events.pulsar.failures import Forbidden
from services.kit.events.pulsar.inbound import subscribed
from services.kit.events.pulsar.link import Link
from services.kit.events.pulsar.setup import Interest, grants, prepare
from services.kit.ids import uuid7
from tests.contract.event_fixtures import Recorder, Stage, eventually, new_event
from tests.pulsar import Broker

pytestmark = pytest.mark.pulsar


async def ignore(events: Sequence[Event]) -> None: ...


@dataclass
class Shop:
    """Orders publishes `orders`, which cart hears."""

    broker: Broker
    namespace: str

    def url(self, role: str) -> str:
        return self.broker.url(role).replace("/shop", f"/{self.namespace}")


@pytest.fixture
async def shop(pulsar: Broker) -> Shop:
    shop = Shop(pulsar, uuid7()[-12:])
    admin = pulsar.admin_url().replace("/shop", f"/{shop.namespace}")
    orders = Topic("orders", 2, payload=events_pb2.OrderEvent.DESCRIPTOR)
    await prepare(admin, {"orders": Interest([orders], []), "cart": Interest([], [Subscription("orders", "cart", ignore)])})
    return shop


@pytest.fixture
async def opened(shop: Shop) -> AsyncIterator[dict[str, EventBus]]:
    buses = {role: event_bus(shop.url(role)) for role in ("orders", "cart")}
    for bus in buses.values():
        await bus.open()
    yield buses
    for bus in buses.values():
        await bus.close()


async def test_services_speak_and_hear_by_their_grants(opened: dict[str, EventBus]):
    seen = Recorder(poison={2})

    async with Stage(opened["cart"], "orders", "cart").consuming(seen):
        await opened["orders"].publish([new_event("orders", "k", 1), new_event("orders", "k", 2)])
        await eventually(lambda: seen.versions == [1], "the first arrives")
        # What fails is the hearer's own to keep and to try again.
        seen.poison.clear()
        await eventually(lambda: seen.versions == [1, 2], "the second arrives")


async def test_a_role_that_only_hears_a_topic_cannot_publish_to_it(opened: dict[str, EventBus]):
    with pytest.raises(Forbidden):
        await opened["cart"].publish([new_event("orders", "k", 1)])


async def test_a_role_that_only_publishes_to_a_topic_cannot_hear_it(shop: Shop, opened: dict[str, EventBus]):
    link = Link(Address.parse(shop.url("orders")))
    await link.open()
    with pytest.raises(Forbidden):
        async with subscribed(link, "orders", "spy", ConsumerType.Shared, batch_size=1):
            pass
    await link.close()


async def test_a_role_without_admin_checks_the_topics_that_it_declares(opened: dict[str, EventBus]):
    await opened["orders"].declare([Topic("orders", 2)])


async def test_a_wrong_token_is_told_as_a_broker_that_does_not_let_in(shop: Shop):
    bus = event_bus(f"pulsar://:forged@{shop.url('orders').partition('@')[2]}")

    with pytest.raises((Unavailable, Forbidden)):
        await bus.open()
    await bus.close()


async def test_events_travel_over_tls(shop: Shop, opened: dict[str, EventBus]):
    bus = event_bus(shop.broker.tls_url("orders").replace("/shop?", f"/{shop.namespace}?"))
    await bus.open()
    seen = Recorder()

    async with Stage(opened["cart"], "orders", "cart").consuming(seen):
        await bus.publish([new_event("orders", "k", 7)])
        await eventually(lambda: seen.versions == [7], "it arrives")
    await bus.close()


async def test_a_broker_whose_certificate_is_of_another_authority_is_not_believed(shop: Shop, tmp_path):
    url = shop.broker.tls_url("orders").replace("/shop?", f"/{shop.namespace}?")
    bus = event_bus(url.partition("?")[0])

    with pytest.raises(Unavailable):
        await bus.open()
    await bus.close()


async def test_a_topics_schema_is_in_the_register(shop: Shop):
    address = Address.parse(shop.broker.admin_url())
    where = f"{address.admin}/admin/v2/schemas/bazaar/{shop.namespace}/orders/schema"
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {address.token}"}) as client:
        found = (await client.get(where)).json()

    schema = json.loads(found["data"])
    files = FileDescriptorSet.FromString(base64.b64decode(schema["fileDescriptorSet"]))
    assert (found["type"], schema["rootMessageTypeName"]) == ("PROTOBUF_NATIVE", "bazaar.orders.v1.OrderEvent")
    assert files.file[-1].name == "bazaar/orders/v1/events.proto"
    assert {name for file in files.file for name in file.dependency} < {file.name for file in files.file}


def test_a_hearer_may_keep_what_failed_and_a_broadcast_needs_no_more_than_to_hear():
    topics = [Topic("orders")]
    heard = [Subscription("payments", "orders", ignore), Subscription("orders", "watch-order", ignore, Delivery.BROADCAST)]

    assert grants(Interest(topics, heard)) == {
        "dead-letters": ["produce"],
        "orders": ["consume", "produce"],
        "payments": ["consume"],
        "payments.orders.retry": ["consume", "produce"],
    }

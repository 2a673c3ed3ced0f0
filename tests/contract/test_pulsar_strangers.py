"""What is in a topic and is no event: nobody can ever work it, and nobody stands still for it."""

import pytest
from pulsar import AuthenticationToken, ConsoleLogger, LoggerLevel
from pulsar.asyncio import Client

from services.kit.events.port import Delivery
from services.kit.events.pulsar.address import Address
from tests.contract.event_fixtures import Recorder, Stage, eventually

pytestmark = pytest.mark.pulsar


@pytest.fixture(params=["pulsar"], scope="module")
async def bus_address(pulsar) -> str:
    return pulsar.admin_url()


@pytest.mark.parametrize("delivery", list(Delivery))
async def test_it_is_passed_over(stage: Stage, bus_address: str, delivery: Delivery):
    seen = Recorder()

    async with stage.consuming(seen, delivery=delivery):
        version = 0
        while not seen.handled:
            version += 1
            await stage.publish("k", version)
        await _write(bus_address, stage.topic, b"hello")
        await stage.publish("k", 1_000_000)
        await eventually(lambda: seen.versions[-1] == 1_000_000, "what comes after it arrives")
        await stage.acked()

    assert seen.versions == sorted(set(seen.versions))


async def _write(url: str, topic: str, content: bytes) -> None:
    address = Address.parse(url)
    client = Client(address.brokers, authentication=AuthenticationToken(address.token), logger=ConsoleLogger(LoggerLevel.Error))
    producer = await client.create_producer(address.topic(topic))
    await producer.send(content, partition_key="k")
    await producer.close()
    await client.close()

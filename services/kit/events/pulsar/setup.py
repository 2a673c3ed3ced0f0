"""Setting Pulsar up for a shop: topics, and what each role may do with them. Done by whoever migrates databases, before processes start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.kit.events.port import Delivery, Subscription, Topic
from services.kit.events.pulsar.address import Address
from services.kit.events.pulsar.admin import Admin
from services.kit.events.pulsar.dead_letters import KEPT
from services.kit.events.pulsar.link import DEAD_LETTERS
from services.kit.events.pulsar.retries import retry_topic


@dataclass(frozen=True)
class Interest:
    """What a role publishes, and what it hears."""

    topics: Sequence[Topic]
    subscriptions: Sequence[Subscription]


async def prepare(url: str, interests: Mapping[str, Interest]) -> None:
    """Makes all topics, and grants each role what its interest needs, which is all that it can do then. May be repeated.

    Args:
        url: of a role that may do so, with `admin`.
        interests: by role.

    Raises:
        TopicChanged: a topic is there with another number of partitions.
        Unavailable: Pulsar is away.
    """
    admin = Admin(Address.parse(url))
    try:
        await make_topics(admin, [topic for interest in interests.values() for topic in interest.topics])
        retries = {retry_topic(each.topic, each.group) for interest in interests.values() for each in _groups(interest)}
        for name in sorted(retries):
            await admin.make_topic(Topic(name, partitions=1))
        for role, interest in interests.items():
            for topic, actions in grants(interest).items():
                await admin.grant(topic, role, actions)
    finally:
        await admin.close()


async def make_topics(admin: Admin, topics: Sequence[Topic]) -> None:
    """Makes the namespace, topics and the topic of dead letters.

    Raises:
        TopicChanged: one exists with another number of partitions.
    """
    await admin.make_namespace()
    for topic in (*dict.fromkeys(topics), Topic(DEAD_LETTERS, partitions=1)):
        await admin.make_topic(topic)
    await admin.make_group(DEAD_LETTERS, KEPT)


def grants(interest: Interest) -> dict[str, list[str]]:
    """The actions that a role may take on each topic."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for topic in interest.topics:
        found[topic.name].add("produce")
    for each in interest.subscriptions:
        found[each.topic].add("consume")
    for each in _groups(interest):
        found[retry_topic(each.topic, each.group)] |= {"produce", "consume"}
    # Also what tells a process that a broker answers: looking for a topic takes a grant on it.
    found[DEAD_LETTERS].add("produce")
    return {topic: sorted(actions) for topic, actions in sorted(found.items())}


def _groups(interest: Interest) -> list[Subscription]:
    return [each for each in interest.subscriptions if each.delivery is not Delivery.BROADCAST]

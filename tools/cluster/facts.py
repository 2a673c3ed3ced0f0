"""What the manifests are made of: the policy, the protos and what the services declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import MethodOptions

from gateway.__main__ import POLICY, USERS
from gateway.methods import Method, methods, service_files
from services.__main__ import NOUNS, find_services
from services.kit.auth import Policy
from services.kit.events.port import Delivery
from tools import events_page
from tools.credentials import MONGO_DATABASES, REDIS_KEYS

PROCESS = "process"
"""The identity of whatever runs services, for what every process asks."""

REDIS, MONGO = frozenset(REDIS_KEYS), frozenset(MONGO_DATABASES)
SEARCH = "search"


@dataclass(frozen=True)
class Group:
    """Events that a service's processes share among them."""

    topic: str
    name: str


@dataclass(frozen=True)
class Fact:
    """One service."""

    name: str
    methods: Sequence[Method]
    callers: Mapping[str, frozenset[str]]
    """Identities by method's path."""
    has_database: bool
    uses_bus: bool
    groups: Sequence[Group]

    @property
    def counts_calls(self) -> bool:
        """The edge asks it what its limits let pass."""
        return self.name == USERS

    @property
    def uses_redis(self) -> bool:
        return self.name in REDIS

    @property
    def uses_mongo(self) -> bool:
        return self.name in MONGO

    @property
    def uses_opensearch(self) -> bool:
        return self.name == SEARCH

    @property
    def servers(self) -> list[str]:
        """The servers that it uses."""
        uses = {
            "postgres": self.has_database,
            "pulsar": self.uses_bus,
            "redis": self.uses_redis,
            "mongo": self.uses_mongo,
            "opensearch": self.uses_opensearch,
        }
        return [server for server, is_used in uses.items() if is_used]

    @property
    def works(self) -> bool:
        """It has work apart from answering calls: events, timers, an outbox."""
        return self.has_database

    @property
    def called_by(self) -> list[str]:
        """The identities that may call one of its methods, `process` spelled out."""
        return sorted({who for callers in self.callers.values() for caller in callers for who in spelled_out(caller)})


def spelled_out(caller: str) -> Sequence[str]:
    """The service accounts that an identity stands for."""
    return NOUNS if caller == PROCESS else [caller]


@cache
def facts() -> list[Fact]:
    """Every service, by name."""
    policy, parts = Policy.load(POLICY), events_page.shop()
    declared = {service.name: service for service in find_services([])}
    known = methods(service_files(), policy)
    return [
        Fact(
            name=name,
            methods=sorted((method for method in known if method.noun == name), key=lambda method: method.name),
            callers={method.path: policy.grant(method.path).callers for method in known if method.noun == name},
            has_database=declared[name].migrations is not None,
            uses_bus=bool(parts[name].topics or parts[name].subscriptions),
            groups=[Group(each.topic, each.group) for each in parts[name].subscriptions if each.delivery is not Delivery.BROADCAST],
        )
        for name in sorted(NOUNS)
    ]


def callees(caller: str) -> list[str]:
    """The services that an identity may call, its own excepted."""
    return [fact.name for fact in facts() if caller in fact.called_by and fact.name != caller]


def is_read(method: Method) -> bool:
    """It changes nothing, so a second copy of the call does no harm."""
    service, _, name = method.name.partition("/")
    described = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    return described.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS

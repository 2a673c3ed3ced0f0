"""What the edge must know of every method, read from the generated protos and the policy."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.rpc import error_details_pb2, status_pb2

import bazaar
from bazaar.type.v1 import method_options_pb2
from services.kit.auth import ANYONE, EDGE, Policy

PREFIX, ALIAS = "/v1/", "/api/"
"""`/api/…` is the same as `/v1/…`; app teams ask for both."""

HTTP: Any = annotations_pb2.http
"""The option that gives a method its REST forms; the package's stubs are too vague for a type."""

WORKERS = "workers"
"""The cluster of processes that run every service each."""

SAFE = (
    descriptor_pb2.MethodOptions.IdempotencyLevel.NO_SIDE_EFFECTS,
    descriptor_pb2.MethodOptions.IdempotencyLevel.IDEMPOTENT,
)


@dataclass(frozen=True)
class Binding:
    """One REST form of a method: `GET /v1/orders/{order_id}`."""

    verb: str
    template: str


@dataclass(frozen=True)
class Method:
    """A method as the edge sees it."""

    name: str
    """`package.Service/Method`."""
    bindings: tuple[Binding, ...]
    is_open: bool
    """Reachable from outside: of public, partner or admin visibility, and granted to the edge."""
    needs_user: bool
    priority: int
    is_stream: bool
    """The server answers with a stream."""
    can_repeat: bool
    """Doing it twice is doing it once."""
    is_cacheable: bool
    """The edge may keep its answers for a while."""
    creates: bool
    """It makes what has a place of its own."""
    limit: str
    """The kind of limit that its calls count against (`gateway.limits`): `read`, `write`, `login`, `checkout`; empty: none."""
    timeout_seconds: float | None
    """The policy's; None: the edge's default."""
    cluster: str = WORKERS
    """Who answers it, by Envoy's name."""

    @property
    def noun(self) -> str:
        """The service of ours that it belongs to: `orders`."""
        return self.name.split(".")[1]

    @property
    def service(self) -> str:
        return self.name.partition("/")[0]

    @property
    def path(self) -> str:
        return "/" + self.name


def service_files() -> list[FileDescriptor]:
    """Every generated file that declares a service."""
    modules: Iterator[ModuleType] = (
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(bazaar.__path__, "bazaar.")
        if module.name.endswith("_service_pb2")
    )
    return [module.DESCRIPTOR for module in modules]


def methods(files: Iterable[FileDescriptor], policy: Policy) -> list[Method]:
    """The methods of all services in the files."""
    return [
        _method(method, policy)
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods_by_name.values()
    ]


def _method(descriptor: MethodDescriptor, policy: Policy) -> Method:
    name = f"{descriptor.containing_service.full_name}/{descriptor.name}"
    options = descriptor.GetOptions()
    own = options.Extensions[method_options_pb2.method]
    grant = policy.grant("/" + name)
    internal = method_options_pb2.MethodOptions.Visibility.INTERNAL
    shown = own.visibility not in (internal, method_options_pb2.MethodOptions.Visibility.VISIBILITY_UNSPECIFIED)
    return Method(
        name=name,
        bindings=tuple(_bindings(options.Extensions[HTTP])),
        is_open=shown and EDGE in grant.callers,
        needs_user=ANYONE not in grant.roles,
        priority=own.priority,
        is_stream=descriptor.server_streaming,
        can_repeat=options.idempotency_level in SAFE,
        is_cacheable=own.cacheable_seconds > 0,
        creates=bool(own.creates),
        limit=_limit(method_options_pb2.MethodOptions.Limit.Name(own.limit), options.idempotency_level),
        timeout_seconds=grant.timeout.total_seconds() if grant.timeout else None,
    )


def _limit(named: str, level: int) -> str:
    if named == "UNLIMITED":
        return ""
    if named != "LIMIT_UNSPECIFIED":
        return named.lower()
    return "read" if level == descriptor_pb2.MethodOptions.IdempotencyLevel.NO_SIDE_EFFECTS else "write"


def _bindings(rule: http_pb2.HttpRule) -> Iterator[Binding]:
    for each in (rule, *_aliases(rule)):
        verb = each.WhichOneof("pattern")
        if verb:
            yield Binding(verb.upper(), getattr(each, verb))
    for each in rule.additional_bindings:
        yield from _bindings(each)


def _aliases(rule: http_pb2.HttpRule) -> Iterator[http_pb2.HttpRule]:
    """The same rule under /api."""
    verb = rule.WhichOneof("pattern")
    template = getattr(rule, verb) if verb else ""
    if template.startswith(PREFIX):
        alias = http_pb2.HttpRule(body=rule.body, response_body=rule.response_body)
        setattr(alias, verb, ALIAS + template.removeprefix(PREFIX))
        yield alias


def descriptor_set(files: Iterable[FileDescriptor]) -> descriptor_pb2.FileDescriptorSet:
    """The files with all they import, in order, for Envoy's transcoder; every REST form of /v1 is there under /api too.

    The details of errors travel as `Any`; their types are among the files, or the transcoder could not show them.
    """
    found: dict[str, FileDescriptor] = {}
    for file in (*files, status_pb2.DESCRIPTOR, error_details_pb2.DESCRIPTOR):
        _collect(file, found)
    result = descriptor_pb2.FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(result.file.add())
    for method in (method for file in result.file for service in file.service for method in service.method):
        if method.options.HasExtension(HTTP):
            rule = method.options.Extensions[HTTP]
            rules = (rule, *rule.additional_bindings)
            rule.additional_bindings.extend([alias for each in rules for alias in _aliases(each)])
    return result


def _collect(file: FileDescriptor, found: dict[str, FileDescriptor]) -> None:
    if file.name in found:
        return
    for dependency in file.dependencies:
        _collect(dependency, found)
    found[file.name] = file

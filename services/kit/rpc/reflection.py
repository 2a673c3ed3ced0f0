"""grpc.reflection.v1alpha: lets grpcurl and the like ask what there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from services.kit.rpc.server import Registry

SERVICE_NAME: str = reflection.SERVICE_NAME


def add_reflection(registry: Registry, service_names: Sequence[str]) -> None:
    """Adds the reflection of these services, and its own."""
    aio: Any = reflection.aio
    generated: Any = reflection_pb2_grpc
    registry.add_open(generated.add_ServerReflectionServicer_to_server, aio.ReflectionServicer((*service_names, SERVICE_NAME)))

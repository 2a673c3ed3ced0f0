"""What the protos say of a method, looked up once."""

from __future__ import annotations

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from bazaar.type.v1 import method_options_pb2
from services.kit.values import value


@value
class MethodFacts:
    """Facts of one method; all unset for a method whose proto is not loaded."""

    request: Descriptor | None = None
    response: Descriptor | None = None
    is_repeatable: bool = False
    """Declared NO_SIDE_EFFECTS or IDEMPOTENT: sending it twice does no harm."""
    cacheable_seconds: int = 0
    """For how long an answer to nobody in particular is good; 0: it isn't to be kept."""
    creates: str = ""
    """Where to find what the method makes; empty: it makes nothing."""

    priority: int = 1
    """1 is never shed."""

    @property
    def takes_request_id(self) -> bool:
        return self.request is not None and "request_id" in self.request.fields_by_name

    @property
    def can_resume(self) -> bool:
        """Its stream goes on after the last event that the caller has."""
        return self.request is not None and "last_event_id" in self.request.fields_by_name

    @property
    def tells_failure(self) -> bool:
        """Its stream's last message says why it failed: for clients that don't see a call's status once the answer has begun."""
        return self.response is not None and "error" in self.response.fields_by_name


def facts_of(path: str) -> MethodFacts:
    """The facts of `/package.Service/Method`."""
    service_name, _, method_name = path.lstrip("/").rpartition("/")
    try:
        service = descriptor_pool.Default().FindServiceByName(service_name)
    except KeyError:
        return MethodFacts()
    method = service.methods_by_name.get(method_name)
    if method is None:
        return MethodFacts()
    options = method.GetOptions()
    is_repeatable = options.idempotency_level in (MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT)
    own = options.Extensions[method_options_pb2.method]
    return MethodFacts(method.input_type, method.output_type, is_repeatable, own.cacheable_seconds, own.creates, own.priority)

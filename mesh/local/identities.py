"""Names of services, as certificates carry them."""

from __future__ import annotations

TRUST_DOMAIN = "cluster.local"

PREFIX = f"spiffe://{TRUST_DOMAIN}/ns/bazaar/sa/"
"""What every certificate's name begins with; the same as on Kubernetes, where Istio names service accounts so."""


def spiffe_id(service: str) -> str:
    """The name in a service's certificate (https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/)."""
    return PREFIX + service


def noun_of(method: str) -> str:
    """The service that answers `package.Service/Method`: `bazaar.orders.v1.OrdersService/GetOrder` is orders'."""
    return method.split(".")[1]

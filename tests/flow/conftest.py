"""What flow tests share: the shop judged after each of them, and the whole system behind its edge."""

import pytest

from bazaar.catalog.v1 import catalog_service_pb2_grpc
from tests.judge import invariants as invariants
from tests.running import running as running
from tests.shop import ADMIN, Shop
from tests.unit.serving import Client


@pytest.fixture
def public(shop: Shop) -> Client:
    """The catalogue as anybody sees it."""
    return shop.stub(catalog_service_pb2_grpc.CatalogServiceStub)


@pytest.fixture
def staff(shop: Shop) -> Client:
    """The catalogue as an admin sees it."""
    return shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN)

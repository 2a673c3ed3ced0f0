"""What flow tests share: the shop judged after each of them, and the whole system behind its edge."""

from uuid import uuid4

import pytest

from bazaar.catalog.v1 import catalog_service_pb2_grpc
from bazaar.inventory.v1 import inventory_service_pb2 as pb
from bazaar.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from bazaar.search.v1.search_service_pb2_grpc import SearchServiceStub
from tests.flow.shelf import Shelf
from tests.judge import invariants as invariants
from tests.running import running as running
from tests.serving import Client, user
from tests.shop import ADMIN, Shop


@pytest.fixture
def public(shop: Shop) -> Client:
    """The catalogue as anybody sees it."""
    return shop.stub(catalog_service_pb2_grpc.CatalogServiceStub)


@pytest.fixture
def staff(shop: Shop) -> Client:
    """The catalogue as an admin sees it."""
    return shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN)


@pytest.fixture
def admin(shop: Shop) -> Client:
    """Inventory as an admin calls it."""
    return shop.inventory()


@pytest.fixture
def anyone(shop: Shop) -> Client:
    """Inventory as anybody calls it."""
    return shop.stub(InventoryServiceStub)


@pytest.fixture
def checkout(shop: Shop) -> Client:
    """Inventory as checkout calls it for a customer."""
    return shop.stub(InventoryServiceStub, user(str(uuid4())), caller="checkout")


@pytest.fixture
async def tv(admin: Client) -> str:
    """A SKU with five units."""
    sku = f"tv-{uuid4().hex[:8]}"
    await admin.ReceiveStock(pb.ReceiveStockRequest(sku=sku, quantity=5, reference="delivery 1"))
    return sku


@pytest.fixture
def search(shop: Shop) -> Client:
    """Search as anybody calls it."""
    return shop.stub(SearchServiceStub)


@pytest.fixture
def shelf(shop: Shop, search: Client) -> Shelf:
    """A root category of the test's own."""
    return Shelf(shop, search)

"""What is written into the catalogue reaches the event bus, once."""

from __future__ import annotations

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc, events_pb2
from services.kit.ids import uuid7
from tests.shop import ADMIN, Shop, eventually

_EVENTS = (
    "SELECT type, aggregate_version, payload FROM log JOIN partitions ON partitions.id = partition_id WHERE topic = 'catalog' AND key = %s"
)


async def test_a_product_and_its_category_are_told_of_once(shop: Shop):
    # A catalogue's first leader tells of all that it finds, and then of what changes.
    first = await shop.stocked()
    await eventually(lambda: is_told(shop, first), True)
    root = f"Lamps {uuid7()[-8:]}"
    sku = await shop.stocked(path=(root,))
    catalog = shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN)
    await eventually(lambda: told(shop, sku), [("ProductCreated", 1)])
    change = catalog_pb2.Product(product_id=sku, title="Lamp")
    ask = catalog_service_pb2.UpdateProductRequest(product=change)
    ask.update_mask.paths.append("title")
    await catalog.UpdateProduct(ask)
    await catalog.UpdateProduct(ask)

    await eventually(lambda: told(shop, sku), [("ProductCreated", 1), ("ProductChanged", 2)])
    await eventually(lambda: told(shop, root.lower().replace(" ", "-")), [("CategoryCreated", 1)])
    _, _, payload = (await shop.execute("events", _EVENTS, sku))[1]
    assert events_pb2.CatalogEvent.FromString(payload).product_changed.product.title == "Lamp"


async def told(shop: Shop, key: str) -> list[tuple[str, int]]:
    return [(kind.rpartition(".")[2], version) for kind, version, _ in await shop.execute("events", f"{_EVENTS} ORDER BY position", key)]


async def is_told(shop: Shop, key: str) -> bool:
    return await told(shop, key) != []

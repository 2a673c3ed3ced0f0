"""What is written into the catalogue reaches the event bus, once."""

from __future__ import annotations

from bazaar.catalog.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc, events_pb2
from services.kit.events.port import Event
from services.kit.ids import uuid7
from tests.bus import books_of
from tests.shop import ADMIN, Shop, eventually


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
    [_, changed] = await events_of(shop, sku)
    assert events_pb2.CatalogEvent.FromString(changed.payload).product_changed.product.title == "Lamp"


async def told(shop: Shop, key: str) -> list[tuple[str, int]]:
    return [(event.type.rpartition(".")[2], event.aggregate_version) for event in await events_of(shop, key)]


async def events_of(shop: Shop, key: str) -> list[Event]:
    return [event for event in await books_of(shop.servers.events).told("catalog") if event.key == key]


async def is_told(shop: Shop, key: str) -> bool:
    return await told(shop, key) != []

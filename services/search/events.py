"""What search listens to: topics `catalog`, `prices` and `stock`. A repeat changes nothing, by its version, so that no inbox is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from bazaar.catalog.v1 import events_pb2 as catalog_pb
from bazaar.inventory.v1 import events_pb2 as inventory_pb
from bazaar.pricing.v1 import events_pb2 as pricing_pb
from services.kit.events.port import PATIENT, Event, Subscription
from services.search import wire
from services.search.store import PriceTold, ProductTold, SearchStore, StockTold

GROUP = "search"

Told = TypeVar("Told", ProductTold, PriceTold, StockTold)


def subscriptions(store: SearchStore, currency: str) -> list[Subscription]:
    """All of them.

    Args:
        currency: the shop's own; prices in others aren't searched.
    """

    async def products(events: Sequence[Event]) -> None:
        await store.put_products(_newest(map(_product, events), lambda told: told.product_id))
        if gone := [event.subject for event in events if event.type == _name(catalog_pb.ProductRemoved)]:
            await store.take_out(list(dict.fromkeys(gone)))

    async def prices(events: Sequence[Event]) -> None:
        told = [price for event in events if (price := _price(event, currency))]
        await store.put_prices(_newest(told, lambda price: price.sku))

    async def stock(events: Sequence[Event]) -> None:
        await store.put_stock(_newest(map(_stock, events), lambda told: told.sku))

    shown = frozenset(map(_name, (catalog_pb.ProductCreated, catalog_pb.ProductChanged, catalog_pb.ProductRemoved)))
    # What is left of a SKU is of no interest, only whether anything is: an order has an event here when it takes the last unit.
    crossed = frozenset(map(_name, (inventory_pb.StockOut, inventory_pb.StockBack)))
    return [
        Subscription("catalog", GROUP, products, types=shown, patience=PATIENT),
        Subscription("prices", GROUP, prices, patience=PATIENT),
        Subscription("stock", GROUP, stock, types=crossed, patience=PATIENT),
    ]


def _product(event: Event) -> ProductTold | None:
    message = catalog_pb.CatalogEvent.FromString(event.payload)
    match message.WhichOneof("event"):
        case "product_created":
            return wire.product_told(message.product_created.product, event.aggregate_version)
        case "product_changed":
            return wire.product_told(message.product_changed.product, event.aggregate_version)
        case _:
            return None


def _price(event: Event, currency: str) -> PriceTold | None:
    changed = pricing_pb.PriceEvent.FromString(event.payload).price_changed
    if changed.amount.currency_code != currency:
        return None
    return PriceTold(changed.sku, event.aggregate_version, changed.amount.minor_units)


def _stock(event: Event) -> StockTold:
    return StockTold(event.key, event.aggregate_version, event.type == _name(inventory_pb.StockBack))


def _newest(told: Iterable[Told | None], key: Callable[[Told], str]) -> list[Told]:
    """The newest of each key."""
    newest: dict[str, Told] = {}
    for each in told:
        if each and ((known := newest.get(key(each))) is None or known.version <= each.version):
            newest[key(each)] = each
    return list(newest.values())


def _name(message: type) -> str:
    return message.DESCRIPTOR.full_name

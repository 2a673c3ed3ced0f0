"""What search takes from events."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from bazaar.catalog.v1 import catalog_pb2
from bazaar.catalog.v1 import events_pb2 as catalog_pb
from bazaar.inventory.v1 import events_pb2 as inventory_pb
from bazaar.pricing.v1 import events_pb2 as pricing_pb
from bazaar.type.v1.money_pb2 import Money
from services.kit.events.port import Event
from services.kit.outbox import event
from services.search.events import subscriptions
from services.search.store import SearchStore

Shown = dict[str, tuple[str, int | None, bool] | None]


def told(topic: str, key: str, version: int, message: Message) -> Event:
    return event(topic=topic, key=key, subject=key, aggregate_version=version, message=message)


def changed(version: int, title: str) -> Event:
    product = catalog_pb2.Product(
        product_id="tv", title=title, category_id="toys", state=catalog_pb2.Product.ACTIVE, variants=[catalog_pb2.Variant(sku="tv")]
    )
    return told("catalog", "tv", version, catalog_pb.CatalogEvent(product_changed=catalog_pb.ProductChanged(product=product)))


def priced(version: int, units: int, currency: str = "USD") -> Event:
    change = pricing_pb.PriceChanged(sku="tv", amount=Money(currency_code=currency, minor_units=units))
    return told("prices", "tv", version, pricing_pb.PriceEvent(price_changed=change))


async def heard(store: SearchStore, *events: Event) -> Shown:
    """What is known after each topic's events were handed over in one batch."""
    for subscription in subscriptions(store, "USD"):
        batch: Sequence[Event] = [event for event in events if event.topic == subscription.topic and subscription.wants(event)]
        if batch:
            await subscription.handle(batch)
    summaries = {each.product_id: each.document and each.document.summary for each in await store.changed(0, 9)}
    return {name: summary and (summary.title, summary.price, summary.in_stock) for name, summary in summaries.items()}


async def test_of_one_batch_the_newest_counts_in_whichever_order(store: SearchStore) -> None:
    assert await heard(store, changed(3, "New"), changed(2, "Old"), priced(2, 20), priced(1, 10)) == {"tv": ("New", 20, False)}


async def test_prices_in_other_currencies_are_passed_over(store: SearchStore) -> None:
    assert await heard(store, changed(1, "TV"), priced(1, 500, "INR")) == {"tv": ("TV", None, False)}


async def test_stock_comes_and_goes(store: SearchStore) -> None:
    back = told("stock", "tv", 1, inventory_pb.StockEvent(stock_back=inventory_pb.StockBack(sku="tv", available=3)))
    out = told("stock", "tv", 2, inventory_pb.StockEvent(stock_out=inventory_pb.StockOut(sku="tv")))

    assert await heard(store, changed(1, "TV"), back) == {"tv": ("TV", None, True)}
    assert await heard(store, out) == {"tv": ("TV", None, False)}
    assert await heard(store, back) == {"tv": ("TV", None, False)}


async def test_what_is_gone_is_gone_whatever_comes_later(store: SearchStore) -> None:
    gone = told("catalog", "tv", 2**63 - 1, catalog_pb.CatalogEvent(product_removed=catalog_pb.ProductRemoved(product_id="tv")))

    assert await heard(store, gone, changed(1, "TV")) == {"tv": None}
    assert await heard(store, changed(2, "TV")) == {"tv": None}


async def test_what_is_left_of_a_sku_is_nothing_to_search(store: SearchStore) -> None:
    low = inventory_pb.StockEvent(stock_low=inventory_pb.StockLow(sku="tv", available=3))
    [stock] = [each for each in subscriptions(store, "USD") if each.topic == "stock"]

    assert not stock.wants(told("stock", "tv", 1, low))

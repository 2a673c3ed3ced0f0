"""What inventory publishes: topic `stock`, key SKU."""

from __future__ import annotations

from collections.abc import Iterable

from bazaar.inventory.v1 import events_pb2 as pb
from services.inventory.levels import Level, News, crossings
from services.inventory.model import Balance
from services.kit.events.port import Event, Topic
from services.kit.outbox import event

STOCK = Topic("stock", payload=pb.StockEvent.DESCRIPTOR)


def told(before: Iterable[Balance], after: Iterable[Balance]) -> list[Event]:
    """The events of a transaction, from the balances of its SKUs, every warehouse, as it found them and as it leaves them."""
    return [
        event(topic=STOCK.name, key=level.sku, subject=level.sku, aggregate_version=level.version, message=_message(news, level))
        for news, level in crossings(before, after)
    ]


def _message(news: News, level: Level) -> pb.StockEvent:
    match news:
        case News.LOW:
            return pb.StockEvent(stock_low=pb.StockLow(sku=level.sku, available=level.available))
        case News.OUT:
            return pb.StockEvent(stock_out=pb.StockOut(sku=level.sku))
        case News.BACK:
            return pb.StockEvent(stock_back=pb.StockBack(sku=level.sku, available=level.available))

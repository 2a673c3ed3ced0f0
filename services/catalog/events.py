"""What the catalogue publishes: topic `catalog`, key product id or category id. MongoDB's change streams say when."""

from __future__ import annotations

from bazaar.catalog.v1 import events_pb2 as pb
from services.catalog import wire
from services.catalog.categories import category_of
from services.catalog.documents import SHOWN, from_document
from services.catalog.model import READABLE
from services.kit.changes import Change, Kind
from services.kit.events.port import Event, Topic
from services.kit.outbox import event

CATALOG = Topic("catalog", payload=pb.CatalogEvent.DESCRIPTOR)

_ABOVE_ALL = 2**63 - 1
"""What is gone has no version, and is told after all that was."""


def told_of_product(change: Change) -> Event | None:
    """The event of a change in `products`; None for a change that no reader sees.

    An update comes with the product as it is by now, and is told with that one's version. One of a product that is gone by now isn't told:
    the removal follows.
    """
    if change.kind is Kind.REMOVED:
        return _event(change, pb.CatalogEvent(product_removed=pb.ProductRemoved(product_id=change.id)), _ABOVE_ALL)
    if change.document is None or (change.kind is Kind.CHANGED and SHOWN.isdisjoint(change.fields)):
        return None
    product = from_document(change.document)
    message = wire.to_proto(product, READABLE)
    if change.kind is Kind.CREATED:
        return _event(change, pb.CatalogEvent(product_created=pb.ProductCreated(product=message)), product.version)
    return _event(change, pb.CatalogEvent(product_changed=pb.ProductChanged(product=message)), product.version)


def told_of_category(change: Change) -> Event | None:
    """The event of a change in `categories`: they are made, and stay as they are."""
    if change.document is None or change.kind not in (Kind.CREATED, Kind.FOUND):
        return None
    category = wire.category_to_proto(category_of(change.document))
    return _event(change, pb.CatalogEvent(category_created=pb.CategoryCreated(category=category)), 1)


def _event(change: Change, message: pb.CatalogEvent, version: int) -> Event:
    return event(topic=CATALOG.name, key=change.id, subject=change.id, aggregate_version=version, message=message, occurred_at=change.at)

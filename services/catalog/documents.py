"""Products as MongoDB documents."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from services.catalog.model import Product, State, Variant, ancestors_of

Document = dict[str, Any]

_STORED_AS = {
    "product_id": "_id",
    "create_time": "created_at",
    "update_time": "updated_at",
    "etag": "version",
    # A price is looked up by SKU.
    "price": "variants.sku",
    "variants.price": "variants.sku",
}


def to_document(product: Product) -> Document:
    """All of a product but its id, time of creation and version, which a replacement treats in its own way."""
    return {
        "title": product.title,
        "brand": product.brand,
        "description": product.description,
        "category_path": list(product.category_path),
        "category_id": product.category_id,
        "ancestors": ancestors_of(product.category_id),
        "attributes": dict(product.attributes),
        "variants": [
            {"sku": variant.sku, "title": variant.title, "attributes": dict(variant.attributes), "weight_grams": variant.weight_grams}
            for variant in product.variants
        ],
        "image_urls": list(product.image_urls),
        "state": product.state.value if product.state else None,
        "seller_id": product.seller_id,
        "tax_class": product.tax_class,
        "updated_at": product.updated_at,
    }


def new_document(product: Product) -> Document:
    """The whole document of a product that is stored for the first time."""
    return {"_id": product.product_id, "created_at": product.created_at, "version": product.version, **to_document(product)}


SHOWN = frozenset(new_document(Product())) - {"_id", "ancestors"}
"""The fields that make a product what its readers see."""


def from_document(document: Document) -> Product:
    """A product; what a projection left out has its default, and what isn't a product's is passed over."""
    values = {name: value for name, value in document.items() if name in SHOWN}
    values["product_id"] = document["_id"]
    if state := values.get("state"):
        values["state"] = State(state)
    for name in ("category_path", "image_urls"):
        if name in values:
            values[name] = tuple(values[name])
    if "variants" in values:
        values["variants"] = tuple(Variant(**{"sku": "", **variant}) for variant in values["variants"])
    return Product(**values)


def projection(fields: Collection[str]) -> Document:
    """What MongoDB has to send for some fields (of model.READABLE)."""
    return {_STORED_AS.get(name, name): 1 for name in fields}

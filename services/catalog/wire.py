"""Products between their protos and the model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from google.protobuf import struct_pb2

from bazaar.catalog.v1 import catalog_pb2
from bazaar.pricing.v1 import pricing_pb2
from services.catalog.model import VARIANT_FIELDS, Category, Product, State, Variant

Prices = Mapping[str, pricing_pb2.Price]
"""By SKU."""

_STATE_BY_NUMBER = {catalog_pb2.Product.State.Value(state.name): state for state in State}
_NUMBER_BY_STATE = {state: number for number, state in _STATE_BY_NUMBER.items()}
_PLAIN = ("product_id", "title", "brand", "description", "category_id", "seller_id", "tax_class", "etag")
_VARIANT_PLAIN = (("variants.sku", "sku"), ("variants.title", "title"), ("variants.weight_grams", "weight_grams"))


def from_proto(message: catalog_pb2.Product) -> Product:
    """What a client may say of a product; what is output-only is left out."""
    return Product(
        product_id=message.product_id,
        title=message.title,
        brand=message.brand,
        description=message.description,
        category_path=tuple(message.category_path),
        attributes=_from_struct(message.attributes) if message.HasField("attributes") else {},
        variants=tuple(_variant_from(variant) for variant in message.variants),
        image_urls=tuple(message.image_urls),
        state=_STATE_BY_NUMBER.get(message.state),
        seller_id=message.seller_id,
        tax_class=message.tax_class,
    )


def to_proto(product: Product, fields: Collection[str]) -> catalog_pb2.Product:
    """The named fields of a product (of model.READABLE), without prices."""
    message = catalog_pb2.Product(**{name: getattr(product, name) for name in _PLAIN if name in fields})
    if product.state and "state" in fields:
        message.state = _NUMBER_BY_STATE[product.state]
    if "category_path" in fields:
        message.category_path.extend(product.category_path)
    if "image_urls" in fields:
        message.image_urls.extend(product.image_urls)
    if product.attributes and "attributes" in fields:
        message.attributes.update(dict(product.attributes))
    if product.created_at and "create_time" in fields:
        message.create_time.FromDatetime(product.created_at)
    if product.updated_at and "update_time" in fields:
        message.update_time.FromDatetime(product.updated_at)
    if not VARIANT_FIELDS.isdisjoint(fields):
        message.variants.extend(_variant_to_proto(variant, fields) for variant in product.variants)
    return message


def put_prices(message: catalog_pb2.Product, product: Product, fields: Collection[str], prices: Prices) -> None:
    """Adds the prices there are to what `to_proto` made of the product."""
    if "price" in fields and (price := prices.get(product.variants[0].sku)):
        message.price.CopyFrom(price.amount)
    if "variants.price" in fields:
        for variant, shown in zip(product.variants, message.variants, strict=True):
            if price := prices.get(variant.sku):
                shown.price.CopyFrom(price.amount)


def category_to_proto(category: Category) -> catalog_pb2.Category:
    return catalog_pb2.Category(
        category_id=category.category_id,
        title=category.title,
        parent_category_id=category.parent_category_id,
        path=category.path,
    )


def _variant_to_proto(variant: Variant, fields: Collection[str]) -> catalog_pb2.Variant:
    message = catalog_pb2.Variant(**{name: getattr(variant, name) for path, name in _VARIANT_PLAIN if path in fields})
    if variant.attributes and "variants.attributes" in fields:
        message.attributes.update(dict(variant.attributes))
    return message


def _variant_from(message: catalog_pb2.Variant) -> Variant:
    attributes = _from_struct(message.attributes) if message.HasField("attributes") else {}
    return Variant(message.sku, message.title, attributes, message.weight_grams)


def _from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    # json_format would do, but it refuses infinite numbers with an error that names no field.
    # In the order of their names: to MongoDB the same members in another order are another document.
    return {name: _from_value(value) for name, value in sorted(struct.fields.items())}


def _from_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _from_struct(value.struct_value)
    if kind == "list_value":
        return [_from_value(member) for member in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)

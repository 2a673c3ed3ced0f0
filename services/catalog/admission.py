"""Which products of an import get in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.catalog.model import Product, ProductExists
from services.kit.values import value


@value
class Admission:
    """Which products of an import get in."""

    admitted: dict[str, Product]
    """By product id, the last appearance of each."""
    refused: dict[int, ProductExists]
    """By place in the import."""
    owners: dict[str, str]
    """Product id by SKU, afterwards."""
    updated_count: int
    """Appearances that replaced a product, stored or of the same import."""


def admit(products: Sequence[Product], owners: Mapping[str, str]) -> Admission:
    """Decides an import in its order: a SKU belongs to the product that had it first, until that gives it up.

    Args:
        owners: product id by SKU, of every SKU and every product id in `products` that is stored.
    """
    held = dict(owners)
    held_by: dict[str, set[str]] = {}
    for sku, owner in owners.items():
        held_by.setdefault(owner, set()).add(sku)
    admitted: dict[str, Product] = {}
    refused: dict[int, ProductExists] = {}
    updated = 0
    for place, product in enumerate(products):
        product_id, wanted = product.product_id, {variant.sku for variant in product.variants}
        if taken := [sku for sku in wanted if held.get(sku, product_id) != product_id]:
            refused[place] = taken_by_another(product_id, min(taken))
            continue
        updated += product_id in held_by
        for sku in held_by.get(product_id, set()) - wanted:
            del held[sku]
        held.update(dict.fromkeys(wanted, product_id))
        held_by[product_id] = wanted
        admitted[product_id] = product
    return Admission(admitted, refused, held, updated)


def taken_by_another(product_id: str, sku: str) -> ProductExists:
    """The refusal of a product for one of its SKUs."""
    return ProductExists(f"the SKU {sku} belongs to another product", product_id=product_id, sku=sku)

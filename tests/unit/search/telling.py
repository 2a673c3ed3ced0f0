"""What search is told in tests."""

from __future__ import annotations

from typing import Any

from services.search.store import PriceTold, ProductTold, StockTold


def product(product_id: str, version: int = 1, **changed: Any) -> ProductTold:
    """A product whose id is its only SKU."""
    given: dict[str, Any] = {
        "is_shown": True,
        "title": f"The {product_id}",
        "brand": "Acme",
        "description": "",
        "category_path": ["Toys", "Screens"],
        "category_id": "toys.screens",
        "image_url": "",
        "rating": 0,
        "skus": [product_id],
        "created_at": None,
        **changed,
    }
    return ProductTold(product_id, version, **given)


def price(sku: str, amount: int, version: int = 1) -> PriceTold:
    return PriceTold(sku, version, amount)


def stock(sku: str, version: int = 1, *, is_in_stock: bool = True) -> StockTold:
    return StockTold(sku, version, is_in_stock)

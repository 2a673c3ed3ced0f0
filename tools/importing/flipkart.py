"""Flipkart's listings: products.csv(.gz) with uniq_id, product_name, pid, retail_price, discounted_price, … brand.

The id is `pid`, whose first three letters are the vertical, the only category there is. The list price is the discounted one, in rupees; a
listing without one is a draft. Stock is not in the data, and none is made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path

from bazaar.catalog.v1 import catalog_pb2
from tools.importing.records import ProductRecord, Progress, Refusal, RowRefused, csv_rows, id_of, price_of, shown, state_for, text_of

COLUMNS = {"uniq_id", "product_name", "pid", "discounted_price", "brand"}
CURRENCY = "INR"
_PAISE = 100


def read(path: Path, progress: Progress | None = None) -> Iterator[ProductRecord | Refusal]:
    """See `tools.importing.read_products`."""
    for line, row in csv_rows(path, COLUMNS, progress):
        try:
            yield _record(line, row)
        except RowRefused as refused:
            yield Refusal(line, shown(row["pid"]), refused.reason, str(refused))


def _record(line: int, row: dict[str, str]) -> ProductRecord:
    product_id = id_of(row["pid"], "pid")
    title = text_of(row["product_name"], "product_name")
    if not title:
        raise RowRefused("VALIDATION_FAILED", "product_name is empty")
    amount = text_of(row["discounted_price"], "discounted_price")
    prices = [price_of(product_id, CURRENCY, _paise(amount))] if amount else []
    product = catalog_pb2.Product(
        product_id=product_id,
        title=title,
        brand=text_of(row["brand"], "brand"),
        category_path=[product_id[:3]],
        variants=[catalog_pb2.Variant(sku=product_id)],
        state=state_for(prices),
    )
    return ProductRecord(line, product, prices)


def _paise(amount: str) -> int:
    try:
        paise = Decimal(amount) * _PAISE
    except InvalidOperation:
        raise RowRefused("PRICE_INVALID", f"the price {amount} is not a number") from None
    if not paise.is_finite() or paise != int(paise):
        raise RowRefused("PRICE_INVALID", f"the price {amount} is not in whole paise")
    return int(paise)

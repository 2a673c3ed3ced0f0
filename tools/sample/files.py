"""The made-up shop as files, in the layout of the Complete Journey: products.csv.gz and transactions.csv.gz."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import orjson

from tools.sample.baskets import OPENING, Line, shopping
from tools.sample.catalogue import CURRENCY, Item, catalogue
from tools.sample.shelves import OWN_BRANDS

BASKETS = 500
PRODUCTS_FILE, TRANSACTIONS_FILE = "products.csv.gz", "transactions.csv.gz"

_PRODUCT_COLUMNS = ("product_id", "manufacturer_id", "department", "brand", "product_category", "product_type", "package_size")
_LINE_COLUMNS = (
    "household_id",
    "store_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "retail_disc",
    "coupon_disc",
    "coupon_match_disc",
    "week",
    "transaction_timestamp",
)


def write_sample(directory: Path, baskets: int = BASKETS) -> None:
    """Writes the sample: always the same bytes once unpacked."""
    items = catalogue()
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / PRODUCTS_FILE, _PRODUCT_COLUMNS, products(items))
    _write(directory / TRANSACTIONS_FILE, _LINE_COLUMNS, transactions(shopping(items, baskets)))


def write_catalogue(path: Path, items: Iterable[Item]) -> None:
    """Writes products with their prices and stock as JSON lines, for `./bazaar import`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(orjson.dumps(_listing(item), option=orjson.OPT_APPEND_NEWLINE) for item in items))


def _listing(item: Item) -> dict[str, object]:
    return {
        "product_id": item.product_id,
        "title": item.title,
        "brand": item.brand,
        "category_path": item.path,
        "price_minor": item.cents,
        "currency": CURRENCY,
        "stock": item.stock,
    }


def products(items: Iterable[Item]) -> Iterable[Sequence[object]]:
    """Rows of products.csv. Every fiftieth product has no type, and every hundredth no category either, as in real files."""
    for number, item in enumerate(items, 1):
        department, category, kind = item.path
        kind = kind if number % 50 else "NA"
        category = category if number % 100 else ""
        brand = "Private" if item.brand in OWN_BRANDS else "National"
        yield item.product_id, len(item.brand), department, brand, category, kind, item.size


def transactions(lines: Iterable[Line]) -> Iterable[Sequence[object]]:
    """Rows of transactions.csv."""
    for line in lines:
        week = (line.bought_at - OPENING).days // 7 + 1
        paid, discount = _dollars(line.paid_cents), _dollars(line.discount_cents)
        moment = _utc(line.bought_at)
        yield line.household_id, 1, line.basket_id, line.product_id, line.quantity, paid, discount, "0.0", "0.0", week, moment


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    # Without a time in its head: the same content is the same file.
    path.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"

"""The shop's own format: a line a SKU, as JSON or as CSV.

    {"product_id", "sku"?, "title", "brand"?, "category_path": [..], "price_minor"?, "currency"?, "stock"?}

The SKU is the product's id when absent. Lines of one product that follow each other are its variants; title, brand and category are those
of the first. A line without a price adds none; a product without any is a draft. In CSV the levels of the path are split at `/` or `>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from bazaar.catalog.v1 import catalog_pb2
from tools import ExpectedFailure
from tools.importing.records import (
    LARGEST_STOCK,
    TOLD_EVERY,
    ProductRecord,
    Progress,
    Refusal,
    RowRefused,
    csv_rows,
    id_of,
    open_text,
    price_of,
    state_for,
    text_of,
)

COLUMNS = {"product_id", "title", "category_path"}
_LEVELS = re.compile(r"[/>]")
_INTEGER = re.compile(r"-?[0-9]{1,30}")
_MOST_VARIANTS = 1000

Row = tuple[int, dict[str, Any] | RowRefused]


def read_json_lines(path: Path, progress: Progress | None = None) -> Iterator[ProductRecord | Refusal]:
    """See `tools.importing.read_products`."""
    return _grouped(_json_rows(path, progress))


def read_csv(path: Path, progress: Progress | None = None) -> Iterator[ProductRecord | Refusal]:
    """See `tools.importing.read_products`."""
    return _grouped((line, _typed(row)) for line, row in csv_rows(path, COLUMNS, progress))


def _json_rows(path: Path, progress: Progress | None) -> Iterator[Row]:
    line = 0
    with open_text(path) as file:
        try:
            for line, text in enumerate(file, 1):
                if text.strip():
                    yield line, _parsed(text)
                if progress and line % TOLD_EVERY == 0:
                    progress(line)
        except (EOFError, OSError) as error:
            raise ExpectedFailure(f"{path} is damaged at line {line}: {error}.") from None
    if progress:
        progress(line)


def _parsed(text: str) -> dict[str, Any] | RowRefused:
    try:
        value = orjson.loads(text.encode(errors="surrogateescape"))
    except orjson.JSONDecodeError as error:
        return RowRefused("VALIDATION_FAILED", f"the line is not JSON: {error}")
    return value if isinstance(value, dict) else RowRefused("VALIDATION_FAILED", "the line is not a JSON object")


def _typed(row: dict[str, str]) -> dict[str, Any] | RowRefused:
    """A CSV row as the JSON line that says the same; an empty field says nothing."""
    try:
        values: dict[str, Any] = {
            name: text_of(value, name) for name, value in row.items() if name and isinstance(value, str) and value.strip()
        }
    except RowRefused as refused:
        return refused
    for name in ("price_minor", "stock"):
        if name in values and _INTEGER.fullmatch(values[name]):
            values[name] = int(values[name])
    if "category_path" in values:
        values["category_path"] = [level.strip() for level in _LEVELS.split(values["category_path"])]
    return values


def _grouped(rows: Iterable[Row]) -> Iterator[ProductRecord | Refusal]:
    """A record for each run of lines of one product."""
    current: ProductRecord | None = None
    for line, row in rows:
        try:
            if isinstance(row, RowRefused):
                raise row
            found = _record(line, row)
        except RowRefused as refused:
            named = row.get("product_id") if isinstance(row, dict) else None
            yield Refusal(line, named if isinstance(named, str) else "", refused.reason, str(refused))
            continue
        if current and current.product.product_id == found.product.product_id:
            if refusal := _join(current, found):
                yield refusal
            continue
        if current:
            yield current
        current = found
    if current:
        yield current


def _join(record: ProductRecord, other: ProductRecord) -> Refusal | None:
    variant = other.product.variants[0]
    if any(known.sku == variant.sku for known in record.product.variants):
        return Refusal(other.line, other.product.product_id, "PRODUCT_EXISTS", f"the SKU {variant.sku} comes twice")
    if len(record.product.variants) == _MOST_VARIANTS:
        return Refusal(other.line, other.product.product_id, "VALIDATION_FAILED", f"a product has at most {_MOST_VARIANTS} SKUs")
    record.product.variants.append(variant)
    record.prices.extend(other.prices)
    record.stock.update(other.stock)
    record.product.state = state_for(record.prices)
    return None


def _record(line: int, row: dict[str, Any]) -> ProductRecord:
    product_id = id_of(row.get("product_id"), "product_id")
    sku = id_of(row["sku"], "sku") if row.get("sku") else product_id
    prices = []
    if row.get("price_minor") is not None:
        prices = [price_of(sku, _text(row, "currency", 1, 3), _whole(row, "price_minor"))]
    stock = _whole(row, "stock") if row.get("stock") is not None else 0
    if not 0 <= stock <= LARGEST_STOCK:
        raise RowRefused("VALIDATION_FAILED", f"stock must be from 0 to {LARGEST_STOCK}")
    product = catalog_pb2.Product(
        product_id=product_id,
        title=_text(row, "title", 1, 500),
        brand=_text(row, "brand", 0, 200),
        category_path=_path(row),
        variants=[catalog_pb2.Variant(sku=sku)],
        state=state_for(prices),
    )
    return ProductRecord(line, product, prices, {sku: stock} if stock else {})


def _path(row: dict[str, Any]) -> list[str]:
    path = row.get("category_path")
    if not isinstance(path, list) or not all(isinstance(level, str) for level in path):
        raise RowRefused("CATEGORY_PATH_INVALID", "category_path must be a list of names")
    levels = [level.strip() for level in path if level.strip()]
    if not levels or len(levels) > 10 or max(map(len, levels)) > 200:
        raise RowRefused("CATEGORY_PATH_INVALID", "category_path must have 1 to 10 names of at most 200 characters")
    return levels


def _text(row: dict[str, Any], name: str, shortest: int, longest: int) -> str:
    value = row.get(name)
    value = "" if value is None else value
    if not isinstance(value, str) or not shortest <= len(value.strip()) <= longest:
        raise RowRefused("VALIDATION_FAILED", f"{name} must be a text of {shortest} to {longest} characters")
    return value.strip()


def _whole(row: dict[str, Any], name: str) -> int:
    value = row[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise RowRefused("PRICE_INVALID" if name == "price_minor" else "VALIDATION_FAILED", f"{name} must be a whole number")
    return value

"""What a reader makes of a file: products to send, and lines to report."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bazaar.catalog.v1 import catalog_pb2
from bazaar.pricing.v1 import pricing_pb2
from services.kit.money import UnknownCurrency, exponent
from tools import ExpectedFailure

ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""What product ids and SKUs look like."""

LARGEST_AMOUNT = 2**63 - 1
LARGEST_STOCK = 10**12
"""Units that inventory takes in at once."""

TOLD_EVERY = 1000
LONGEST_FIELD = 16 * 1024 * 1024

Progress = Callable[[int], None]
"""Told now and then how many lines have been read, and once more at the end."""


class RowRefused(Exception):
    """A line can't be a product.

    Args:
        reason: of bazaar.type.v1.ErrorReason.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that was not taken, and why."""

    line: int
    """Of the file, from 1, its heading included; the last one, where a row spans several."""
    product_id: str
    reason: str
    """Of bazaar.type.v1.ErrorReason."""
    message: str


@dataclass(slots=True)
class ProductRecord:
    """A product of a file, with what goes to pricing and to inventory."""

    line: int
    """Where it stands in the file, as in Refusal."""
    product: catalog_pb2.Product
    """Always with an id, a state and at least one variant; a draft when none of its variants has a price."""
    prices: list[pricing_pb2.Price] = field(default_factory=list)
    stock: dict[str, int] = field(default_factory=dict)
    """Units that came in, by SKU; only where there are any."""


def open_text(path: Path) -> IO[str]:
    """A file as text, unpacked when it is named .gz; bytes that aren't UTF-8 become surrogates, which `text_of` refuses."""
    try:
        raw = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 (closed with its wrapper)
    except OSError as error:
        raise ExpectedFailure(f"{path} cannot be read: {error.strerror}.") from None
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")  # type: ignore[arg-type]


def csv_rows(path: Path, columns: set[str], progress: Progress | None) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with their line numbers; a column that a short row lacks is empty.

    Raises:
        ExpectedFailure: the file can't be read, or has not these columns.
    """
    csv.field_size_limit(LONGEST_FIELD)
    with open_text(path) as file:
        rows = csv.DictReader(file, restval="")
        try:
            if missing := columns - set(rows.fieldnames or ()):
                raise ExpectedFailure(f"{path} lacks the column {', '.join(sorted(missing))}.")
            for row in rows:
                yield rows.line_num, row
                if progress and rows.line_num % TOLD_EVERY == 0:
                    progress(rows.line_num)
        except (csv.Error, EOFError, OSError) as error:
            raise ExpectedFailure(f"{path} is damaged at line {rows.line_num}: {error}.") from None
        if progress:
            progress(rows.line_num)


def text_of(value: str, name: str) -> str:
    """A text without blanks at its ends.

    Raises:
        RowRefused: it isn't UTF-8.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowRefused("VALIDATION_FAILED", f"{name} is not UTF-8") from None
    return value.strip()


def shown(value: str) -> str:
    """A field as a report can print it."""
    return value.encode(errors="replace").decode()


def id_of(value: Any, name: str) -> str:
    """Raises: RowRefused: it isn't the id of anything."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise RowRefused("VALIDATION_FAILED", f"{name} must be 1 to 128 of A-Z a-z 0-9 . _ -")
    return value


def price_of(sku: str, currency: str, minor_units: int) -> pricing_pb2.Price:
    """Raises: RowRefused: the amount or the currency can't be."""
    if not 0 <= minor_units <= LARGEST_AMOUNT:
        raise RowRefused("PRICE_INVALID", f"the price {minor_units} is negative or too large")
    try:
        exponent(currency)
    except UnknownCurrency as error:
        raise RowRefused("CURRENCY_UNKNOWN", error.message) from None
    price = pricing_pb2.Price(sku=sku)
    price.amount.currency_code, price.amount.minor_units = currency, minor_units
    return price


def state_for(prices: list[pricing_pb2.Price]) -> catalog_pb2.Product.State.ValueType:
    """What has no price isn't for sale yet."""
    return catalog_pb2.Product.ACTIVE if prices else catalog_pb2.Product.DRAFT

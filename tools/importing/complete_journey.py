"""The Complete Journey of 84.51°: a year of grocery shopping, as products.csv.gz and transactions.csv.gz in one directory.

A product's list price is the median over its lines of what one unit cost before discounts; what was never bought has none and is a draft.
Stock is not in the data: each priced SKU gets 10^9 units, which is as good as unlimited.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from statistics import median

from bazaar.catalog.v1 import catalog_pb2
from tools import ExpectedFailure
from tools.importing.records import ProductRecord, Progress, Refusal, RowRefused, csv_rows, id_of, price_of, shown, state_for, text_of

CURRENCY = "USD"
UNITS = 10**9
"""Of each SKU that has a price."""

_LEVELS = ("department", "product_category", "product_type")
_NOTHING = ("", "NA")
_PRODUCT_COLUMNS = {"product_id", "brand", "package_size", *_LEVELS}
_LINE_COLUMNS = {
    "household_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "retail_disc",
    "coupon_match_disc",
    "transaction_timestamp",
}


@dataclass(frozen=True, slots=True)
class BoughtLine:
    """A line of transactions.csv.gz."""

    line: int
    basket_id: str
    household_id: str
    product_id: str
    quantity: int
    paid: Decimal
    """For all units, after discounts; USD."""
    full_price: Decimal
    """For all units, before the shop's own discounts."""
    bought_at: str
    """ISO 8601, UTC."""

    @property
    def is_sale(self) -> bool:
        """Whether units were sold for money; what is not counts nowhere."""
        return self.quantity > 0 and self.paid > 0


def read(directory: Path, progress: Progress | None = None) -> Iterator[ProductRecord | Refusal]:
    """See `tools.importing.read_products`. The progress is that of products.csv.gz."""
    prices = list_prices(bought_lines(directory))
    for line, row in csv_rows(directory / "products.csv.gz", _PRODUCT_COLUMNS, progress):
        try:
            yield _record(line, row, prices)
        except RowRefused as refused:
            yield Refusal(line, shown(row["product_id"]), refused.reason, str(refused))


def bought_lines(directory: Path, progress: Progress | None = None) -> Iterator[BoughtLine]:
    """The lines of all baskets, in the file's order, refused ones included.

    Raises:
        ExpectedFailure: the file is missing, or not such a file.
    """
    for line, row in csv_rows(directory / "transactions.csv.gz", _LINE_COLUMNS, progress):
        try:
            yield _bought(line, row)
        except (ValueError, ArithmeticError):
            raise ExpectedFailure(f"{directory / 'transactions.csv.gz'} has something other than a number at line {line}.") from None


def product_ids(directory: Path) -> set[str]:
    """The ids of products.csv.gz."""
    return {row["product_id"] for _, row in csv_rows(directory / "products.csv.gz", _PRODUCT_COLUMNS, None)}


def list_prices(lines: Iterable[BoughtLine]) -> dict[str, int]:
    """Cents by product id: the median of the unit prices of its sales, rounded half to even, at least 1."""
    unit_prices: dict[str, list[Fraction]] = {}
    for line in lines:
        if line.is_sale:
            unit_prices.setdefault(line.product_id, []).append(Fraction(line.full_price) / line.quantity)
    # round() of a Fraction is exact and rounds half to even.
    return {product_id: max(1, round(median(found) * 100)) for product_id, found in unit_prices.items()}


def _bought(line: int, row: dict[str, str]) -> BoughtLine:
    paid = Decimal(row["sales_value"])
    return BoughtLine(
        line=line,
        basket_id=row["basket_id"],
        household_id=row["household_id"],
        product_id=row["product_id"],
        quantity=int(row["quantity"]),
        paid=paid,
        full_price=paid + Decimal(row["retail_disc"]) + Decimal(row["coupon_match_disc"]),
        bought_at=row["transaction_timestamp"],
    )


def _record(line: int, row: dict[str, str], prices: dict[str, int]) -> ProductRecord:
    product_id = id_of(row["product_id"], "product_id")
    path = [level for name in _LEVELS if (level := text_of(row[name], name)) not in _NOTHING]
    if not path:
        raise RowRefused("CATEGORY_PATH_INVALID", "no level of the category is filled in")
    size, brand = text_of(row["package_size"], "package_size"), text_of(row["brand"], "brand")
    price = [price_of(product_id, CURRENCY, prices[product_id])] if product_id in prices else []
    product = catalog_pb2.Product(
        product_id=product_id,
        title=", ".join(part for part in (path[-1], size, brand) if part not in _NOTHING),
        brand=brand,
        category_path=path,
        variants=[catalog_pb2.Variant(sku=product_id)],
        state=state_for(price),
    )
    return ProductRecord(line, product, price, {product_id: UNITS} if price else {})

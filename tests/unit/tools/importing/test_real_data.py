"""The readers on the files themselves, where BAZAAR_DATA says where they are."""

from __future__ import annotations

import os
from collections import Counter
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from statistics import median

import pytest

from bazaar.catalog.v1.catalog_pb2 import Product
from tools.importing import BasketReader, ProductRecord, Refusal, read_products
from tools.importing.baskets import NO_LINE_LEFT, NO_SUCH_PRODUCT, NOT_SOLD
from tools.importing.complete_journey import bought_lines, list_prices

DATA = Path(os.environ.get("BAZAAR_DATA") or "/nowhere")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="BAZAAR_DATA names no directory with completejourney/ and flipkart/")


def test_the_complete_journey_has_530_refused_lines_and_256_refused_orders() -> None:
    reader = BasketReader(DATA / "completejourney")

    assert sum(1 for _ in reader) == 46_987 + 530 + 256
    assert dict(reader.refused_lines) == {NOT_SOLD: 529, NO_SUCH_PRODUCT: 1}
    assert (reader.baskets, dict(reader.refused_orders)) == (46_987, {NO_LINE_LEFT: 256})


def test_the_complete_journey_has_20804_products_on_sale() -> None:
    read = list(read_products(DATA / "completejourney"))

    records = [item for item in read if isinstance(item, ProductRecord)]
    assert Counter(record.product.state for record in records) == {Product.ACTIVE: 20_804, Product.DRAFT: 71_526}
    assert [item.product_id for item in read if isinstance(item, Refusal)] == ["9e+05"]
    assert sum(record.stock.get(record.product.product_id, 0) for record in records) == 20_804 * 10**9


def test_list_prices_come_out_the_same_in_decimals() -> None:
    lines = list(bought_lines(DATA / "completejourney"))
    unit_prices: dict[str, list[Decimal]] = {}
    for line in lines:
        if line.is_sale:
            unit_prices.setdefault(line.product_id, []).append(line.full_price / line.quantity)

    again = {
        product_id: max(1, int((median(found) * 100).quantize(Decimal(1), ROUND_HALF_EVEN))) for product_id, found in unit_prices.items()
    }

    assert list_prices(lines) == again


def test_flipkart_has_19922_priced_listings_and_78_drafts() -> None:
    read = list(read_products(DATA / "flipkart" / "products.csv.gz"))

    assert Counter(item.product.state for item in read if isinstance(item, ProductRecord)) == {Product.ACTIVE: 19_922, Product.DRAFT: 78}
    assert len(read) == 20_000

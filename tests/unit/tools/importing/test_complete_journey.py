from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bazaar.catalog.v1.catalog_pb2 import Product
from tools import ExpectedFailure
from tools.importing import Basket, BasketReader, ProductRecord, Refusal, RefusedLine, RefusedOrder, read_products
from tools.importing.baskets import NO_LINE_LEFT, NO_SUCH_PRODUCT, NOT_SOLD

PRODUCTS = """product_id,manufacturer_id,department,brand,product_category,product_type,package_size
ice,2,GROCERY,National,FRZN ICE,ICE - CRUSHED/CUBED,22 LB
misc,2,MISCELLANEOUS,Private,,NA,
9e+05,1,GROCERY,National,BREAD,BREAD,
"""
HEADING = (
    "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,coupon_match_disc,week,transaction_timestamp\n"
)


def a_line(basket: str, product: str, quantity: int, paid: str, discount: str = "0.0", match: str = "0.0", household: str = "h1") -> str:
    return f"{household},s1,{basket},{product},{quantity},{paid},{discount},9.0,{match},1,2017-01-01T12:30:27Z\n"


def a_directory(path: Path, *lines: str) -> Path:
    (path / "products.csv.gz").write_bytes(gzip.compress(PRODUCTS.encode()))
    (path / "transactions.csv.gz").write_bytes(gzip.compress((HEADING + "".join(lines)).encode()))
    return path


def cents(path: Path, *lines: str) -> int:
    records = [record for record in read_products(a_directory(path, *lines)) if isinstance(record, ProductRecord)]
    return next(record.prices[0].amount.minor_units for record in records if record.product.product_id == "ice")


def test_a_bought_product_is_on_sale_with_as_good_as_unlimited_stock(tmp_path: Path) -> None:
    ice, misc, refused = read_products(a_directory(tmp_path, a_line("b1", "ice", 1, "1.5")))

    assert isinstance(ice, ProductRecord)
    assert (ice.product.title, ice.product.brand) == ("ICE - CRUSHED/CUBED, 22 LB, National", "National")
    assert list(ice.product.category_path) == ["GROCERY", "FRZN ICE", "ICE - CRUSHED/CUBED"]
    assert (ice.product.state, ice.prices[0].amount.currency_code, ice.stock) == (Product.ACTIVE, "USD", {"ice": 10**9})
    assert isinstance(misc, ProductRecord)
    assert isinstance(refused, Refusal)


def test_what_was_never_bought_is_a_draft_without_price_or_stock(tmp_path: Path) -> None:
    _, misc, _ = read_products(a_directory(tmp_path))

    assert isinstance(misc, ProductRecord)
    assert (misc.product.state, misc.prices, misc.stock) == (Product.DRAFT, [], {})


def test_levels_that_are_empty_or_na_are_left_out(tmp_path: Path) -> None:
    _, misc, _ = read_products(a_directory(tmp_path))

    assert isinstance(misc, ProductRecord)
    assert (list(misc.product.category_path), misc.product.title) == (["MISCELLANEOUS"], "MISCELLANEOUS, Private")


def test_an_id_that_a_spreadsheet_has_spoilt_is_refused(tmp_path: Path) -> None:
    *_, refused = read_products(a_directory(tmp_path))

    assert isinstance(refused, Refusal)
    assert (refused.line, refused.product_id, refused.reason) == (4, "9e+05", "VALIDATION_FAILED")


def test_a_list_price_is_what_one_unit_cost_before_the_shops_discounts(tmp_path: Path) -> None:
    assert cents(tmp_path, a_line("b1", "ice", 2, "3.0", "0.5", "0.1")) == 180


def test_a_list_price_is_the_median_of_the_lines(tmp_path: Path) -> None:
    assert cents(tmp_path, *(a_line("b1", "ice", 1, paid) for paid in ("9.0", "1.0", "2.0"))) == 200
    assert cents(tmp_path, *(a_line("b1", "ice", 1, paid) for paid in ("9.0", "1.0", "2.0", "3.0"))) == 250


@pytest.mark.parametrize(("paid", "expected"), [("0.25", 12), ("0.27", 14), ("0.005", 1), ("4.440892e-16", 1)])
def test_a_list_price_is_rounded_half_to_even_and_at_least_a_cent(tmp_path: Path, paid: str, expected: int) -> None:
    assert cents(tmp_path, a_line("b1", "ice", 2, paid)) == expected


def test_lines_that_sold_nothing_have_no_say_in_the_price(tmp_path: Path) -> None:
    sold = a_line("b1", "ice", 1, "1.5")

    assert cents(tmp_path, sold, a_line("b1", "ice", 0, "9.0"), a_line("b1", "ice", 1, "0.0"), a_line("b1", "ice", 3, "-1.0")) == 150


def test_a_basket_is_an_order_with_lines_of_one_product_added_up(tmp_path: Path) -> None:
    directory = a_directory(tmp_path, a_line("b1", "misc", 1, "1.0"), a_line("b1", "ice", 2, "1.0"), a_line("b1", "misc", 3, "1.0"))

    assert list(BasketReader(directory)) == [Basket("b1", "h1", "2017-01-01T12:30:27Z", {"misc": 4, "ice": 2})]


def test_refused_lines_and_orders_say_why(tmp_path: Path) -> None:
    directory = a_directory(
        tmp_path,
        a_line("b1", "ice", 1, "1.0"),
        a_line("b1", "nope", 1, "1.0"),
        a_line("b2", "nope", 0, "1.0", household="h2"),
        a_line("b2", "ice", 1, "0.0", household="h2"),
    )
    reader = BasketReader(directory)

    assert list(reader) == [
        RefusedLine(3, "b1", "nope", NO_SUCH_PRODUCT),
        Basket("b1", "h1", "2017-01-01T12:30:27Z", {"ice": 1}),
        RefusedLine(4, "b2", "nope", NOT_SOLD),
        RefusedLine(5, "b2", "ice", NOT_SOLD),
        RefusedOrder("b2", "h2"),
    ]
    assert (reader.baskets, dict(reader.refused_lines), dict(reader.refused_orders)) == (
        1,
        {NO_SUCH_PRODUCT: 1, NOT_SOLD: 2},
        {NO_LINE_LEFT: 1},
    )


def test_the_first_baskets_are_those_of_the_file_refused_ones_included(tmp_path: Path) -> None:
    directory = a_directory(tmp_path, a_line("b1", "ice", 0, "1.0"), a_line("b2", "ice", 1, "1.0"), a_line("b3", "ice", 1, "1.0"))

    taken = [item.basket_id for item in BasketReader(directory, limit=2) if not isinstance(item, RefusedLine)]

    assert taken == ["b1", "b2"]


@pytest.mark.parametrize("line", [a_line("b1", "ice", 1, "much"), "h1,s1,b1,ice,half,1.0,0.0,0.0,0.0,1,2017\n"])
def test_a_line_without_numbers_is_told_in_a_sentence(tmp_path: Path, line: str) -> None:
    with pytest.raises(ExpectedFailure, match="something other than a number at line 2"):
        list(BasketReader(a_directory(tmp_path, line)))


def test_a_directory_without_the_files_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExpectedFailure, match=r"transactions\.csv\.gz cannot be read"):
        list(read_products(tmp_path))

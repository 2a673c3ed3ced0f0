from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bazaar.catalog.v1.catalog_pb2 import Product
from tools import ExpectedFailure
from tools.importing import ProductRecord, Refusal, read_products

TV: dict[str, Any] = {
    "product_id": "tv",
    "title": "TV",
    "brand": "Sharp",
    "category_path": ["Home", "Screens"],
    "price_minor": 1999,
    "currency": "USD",
    "stock": 5,
}


def read_lines(directory: Path, *lines: str | bytes | dict[str, Any]) -> Sequence[ProductRecord | Refusal]:
    encoded = [json.dumps(line).encode() if isinstance(line, dict) else line.encode() if isinstance(line, str) else line for line in lines]
    path = directory / "products.jsonl"
    path.write_bytes(b"\n".join(encoded))
    return list(read_products(path))


def only(read: Sequence[ProductRecord | Refusal]) -> ProductRecord:
    [record] = read
    assert isinstance(record, ProductRecord)
    return record


def amounts(record: ProductRecord) -> list[tuple[str, str, int]]:
    return [(price.sku, price.amount.currency_code, price.amount.minor_units) for price in record.prices]


def test_a_json_line_is_a_product_with_price_and_stock(tmp_path: Path) -> None:
    record = only(read_lines(tmp_path, TV))

    assert (record.product.product_id, record.product.title, record.product.brand) == ("tv", "TV", "Sharp")
    assert (list(record.product.category_path), record.product.state) == (["Home", "Screens"], Product.ACTIVE)
    assert [variant.sku for variant in record.product.variants] == ["tv"]
    assert (amounts(record), record.stock) == ([("tv", "USD", 1999)], {"tv": 5})


def test_without_a_price_a_product_is_a_draft_and_without_stock_none_came_in(tmp_path: Path) -> None:
    record = only(read_lines(tmp_path, {"product_id": "tv", "title": "TV", "category_path": ["Home"]}))

    assert (record.product.state, record.prices, record.stock) == (Product.DRAFT, [], {})


def test_lines_of_one_product_that_follow_each_other_are_its_variants(tmp_path: Path) -> None:
    second = TV | {"sku": "tv-blue", "title": "ignored", "price_minor": 2099}

    record = only(read_lines(tmp_path, TV | {"sku": "tv-red"}, second))

    assert record.product.title == "TV"
    assert [variant.sku for variant in record.product.variants] == ["tv-red", "tv-blue"]
    assert (amounts(record), record.stock) == ([("tv-red", "USD", 1999), ("tv-blue", "USD", 2099)], {"tv-red": 5, "tv-blue": 5})


def test_a_price_of_a_later_variant_puts_the_product_on_sale(tmp_path: Path) -> None:
    record = only(read_lines(tmp_path, TV | {"sku": "a", "price_minor": None}, TV | {"sku": "b"}))

    assert (record.product.state, amounts(record)) == (Product.ACTIVE, [("b", "USD", 1999)])


def test_a_sku_that_comes_twice_in_a_product_is_refused(tmp_path: Path) -> None:
    read = read_lines(tmp_path, TV, TV)

    assert Refusal(2, "tv", "PRODUCT_EXISTS", "the SKU tv comes twice") in read
    assert len(read) == 2


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "VALIDATION_FAILED"),
        ("[]", "VALIDATION_FAILED"),
        (b'{"product_id": "\xff"}', "VALIDATION_FAILED"),
        (TV | {"product_id": "no spaces"}, "VALIDATION_FAILED"),
        (TV | {"product_id": 5}, "VALIDATION_FAILED"),
        (TV | {"sku": "x" * 129}, "VALIDATION_FAILED"),
        (TV | {"title": "  "}, "VALIDATION_FAILED"),
        (TV | {"title": None}, "VALIDATION_FAILED"),
        (TV | {"brand": "b" * 201}, "VALIDATION_FAILED"),
        (TV | {"stock": -1}, "VALIDATION_FAILED"),
        (TV | {"stock": 1.5}, "VALIDATION_FAILED"),
        (TV | {"stock": True}, "VALIDATION_FAILED"),
        (TV | {"category_path": []}, "CATEGORY_PATH_INVALID"),
        (TV | {"category_path": "Home"}, "CATEGORY_PATH_INVALID"),
        (TV | {"category_path": ["a"] * 11}, "CATEGORY_PATH_INVALID"),
        (TV | {"price_minor": -1}, "PRICE_INVALID"),
        (TV | {"price_minor": 19.99}, "PRICE_INVALID"),
        (TV | {"price_minor": 2**63}, "PRICE_INVALID"),
        (TV | {"currency": "XXY"}, "CURRENCY_UNKNOWN"),
        (TV | {"currency": None}, "VALIDATION_FAILED"),
    ],
)
def test_a_line_that_is_no_product_is_refused_and_the_rest_goes_on(tmp_path: Path, line: str | bytes | dict[str, Any], reason: str) -> None:
    read = read_lines(tmp_path, TV | {"product_id": "first"}, line, TV)

    assert sorted(item.product.product_id for item in read if isinstance(item, ProductRecord)) == ["first", "tv"]
    assert [(item.line, item.reason) for item in read if isinstance(item, Refusal)] == [(2, reason)]


def test_empty_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    record = only(read_lines(tmp_path, b"\xef\xbb\xbf" + json.dumps(TV).encode(), "", "  "))

    assert record.product.product_id == "tv"


def test_csv_has_the_same_columns_with_the_path_split_at_slash_or_arrow(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_text(
        "product_id,sku,title,brand,category_path,price_minor,currency,stock\n"
        'tv,,"TV\n55 inch",Sharp,Home / Screens,1999,USD,5\n'
        "lamp,lamp-1,Lamp,,Home>Light,,,\n"
    )

    tv, lamp = read_products(path)

    assert isinstance(tv, ProductRecord)
    assert isinstance(lamp, ProductRecord)
    assert (tv.line, tv.product.title, list(tv.product.category_path)) == (3, "TV\n55 inch", ["Home", "Screens"])
    assert (amounts(tv), tv.stock) == ([("tv", "USD", 1999)], {"tv": 5})
    assert (lamp.line, lamp.product.variants[0].sku, lamp.product.state) == (4, "lamp-1", Product.DRAFT)
    assert list(lamp.product.category_path) == ["Home", "Light"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [("tv,TV,Home,19.99,USD,5", "PRICE_INVALID"), ("tv,TV,Home,1999,USD,many", "VALIDATION_FAILED"), ("tv", "VALIDATION_FAILED")],
)
def test_a_csv_row_that_is_no_product_is_refused(tmp_path: Path, row: str, reason: str) -> None:
    path = tmp_path / "products.csv"
    path.write_text(f"product_id,title,category_path,price_minor,currency,stock\n{row}\n")

    [refused] = read_products(path)

    assert isinstance(refused, Refusal)
    assert (refused.line, refused.product_id, refused.reason) == (2, "tv", reason)


def test_bytes_of_another_encoding_refuse_their_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(b"product_id,title,category_path\na,Caf\xe9,Home\nb,Tea,Home\n")

    refused, taken = read_products(path)

    assert refused == Refusal(2, "", "VALIDATION_FAILED", "title is not UTF-8")
    assert isinstance(taken, ProductRecord)


def test_a_packed_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "products.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(TV).encode()))

    assert only(list(read_products(path))).product.product_id == "tv"


def test_progress_tells_the_lines_read_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "products.jsonl"
    path.write_text("\n".join(json.dumps(TV | {"product_id": f"p{number}"}) for number in range(2500)))
    told: list[int] = []

    list(read_products(path, progress=told.append))

    assert told == [1000, 2000, 2500]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("products.xlsx", b"", "neither"),
        ("products.csv", b"a,b\n1,2\n", "lacks the column category_path, product_id, title"),
        ("products.csv.gz", b"not packed", "cannot be read"),
        ("products.jsonl.gz", gzip.compress(b"{}\n" * 9, mtime=0)[:-9], "damaged"),
        ("missing.jsonl", None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_can_not_be_read_is_told_in_a_sentence(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)

    with pytest.raises(ExpectedFailure, match=told):
        list(read_products(tmp_path / name))

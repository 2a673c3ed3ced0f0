from __future__ import annotations

from pathlib import Path

import pytest

from bazaar.catalog.v1.catalog_pb2 import Product
from tools.importing import ProductRecord, Refusal, read_products

HEADING = "uniq_id,product_name,pid,retail_price,discounted_price,is_FK_Advantage_product,product_rating,overall_rating,brand\n"


def read_row(directory: Path, name: str, pid: str, price: str) -> ProductRecord | Refusal:
    path = directory / "products.csv"
    path.write_text(f"{HEADING}u1,{name},{pid},999,{price},FALSE,No rating available,No rating available,Alisha\n")
    [read] = read_products(path)
    return read


def test_a_listing_is_a_product_of_its_vertical_priced_in_rupees(tmp_path: Path) -> None:
    record = read_row(tmp_path, "Cycling Shorts", "SRTEH2FF9KEDEFGF", "379")

    assert isinstance(record, ProductRecord)
    product, [price] = record.product, record.prices
    assert (product.product_id, product.title, product.brand) == ("SRTEH2FF9KEDEFGF", "Cycling Shorts", "Alisha")
    assert (list(product.category_path), product.variants[0].sku, product.state) == (["SRT"], "SRTEH2FF9KEDEFGF", Product.ACTIVE)
    assert (price.sku, price.amount.currency_code, price.amount.minor_units) == ("SRTEH2FF9KEDEFGF", "INR", 37_900)
    assert record.stock == {}


def test_a_listing_without_a_price_is_a_draft(tmp_path: Path) -> None:
    record = read_row(tmp_path, "Cycling Shorts", "SRT1", "")

    assert isinstance(record, ProductRecord)
    assert (record.product.state, record.prices) == (Product.DRAFT, [])


@pytest.mark.parametrize("price", ["cheap", "1.999", "-5", "nan", "1e30", "Infinity"])
def test_a_price_that_is_no_amount_is_refused(tmp_path: Path, price: str) -> None:
    refused = read_row(tmp_path, "Cycling Shorts", "SRT1", price)

    assert isinstance(refused, Refusal)
    assert (refused.line, refused.product_id, refused.reason) == (2, "SRT1", "PRICE_INVALID")


@pytest.mark.parametrize(("name", "pid"), [("", "SRT1"), ("Shorts", "S R T")])
def test_a_listing_without_a_name_or_an_id_is_refused(tmp_path: Path, name: str, pid: str) -> None:
    refused = read_row(tmp_path, name, pid, "5")

    assert isinstance(refused, Refusal)
    assert refused.reason == "VALIDATION_FAILED"


def test_a_refused_id_of_another_encoding_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "products.csv"
    path.write_bytes(f"{HEADING}u1,Shorts,".encode() + b"S\xe9,999,5,,,,Alisha\n")

    [refused] = read_products(path)

    assert isinstance(refused, Refusal)
    assert refused.product_id == "S?"

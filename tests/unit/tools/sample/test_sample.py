import csv
import gzip

from tools import ROOT
from tools.sample import catalogue, shopping
from tools.sample.files import PRODUCTS_FILE, TRANSACTIONS_FILE, write_sample

SAMPLE = ROOT / "tests" / "data" / "sample"


def rows(name):
    with gzip.open(SAMPLE / name, "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sample_is_what_the_generator_makes(tmp_path):
    write_sample(tmp_path)

    for name in (PRODUCTS_FILE, TRANSACTIONS_FILE):
        # Unpacked: zlib's versions pack the same content differently.
        assert gzip.decompress((tmp_path / name).read_bytes()) == gzip.decompress((SAMPLE / name).read_bytes())


def test_the_sample_has_500_baskets():
    assert len({row["basket_id"] for row in rows(TRANSACTIONS_FILE)}) == 500


def test_the_sample_has_a_product_twice_in_a_basket():
    lines = [(row["basket_id"], row["product_id"]) for row in rows(TRANSACTIONS_FILE)]

    assert len(lines) > len(set(lines))


def test_the_sample_has_lines_to_refuse():
    known = {row["product_id"] for row in rows(PRODUCTS_FILE)}
    lines = rows(TRANSACTIONS_FILE)

    assert any(row["quantity"] == "0" for row in lines)
    assert any(row["product_id"] not in known for row in lines)


def test_the_catalogue_has_1000_products_with_titles_of_their_own():
    assert len({item.title for item in catalogue()}) == 1000


def test_the_catalogue_has_30_categories():
    assert len({item.path[:depth] for item in catalogue() for depth in (1, 2, 3)}) == 30


def test_shopping_is_in_time_order():
    times = [line.bought_at for line in shopping(catalogue(), 200)]

    assert times == sorted(times)

"""The judge of replays, on a case counted by hand."""

import gzip

import pytest

from tests.recount import Recount

PRODUCTS = """product_id,manufacturer_id,department,brand,product_category,product_type,package_size
1,1,GROCERY,National,FRZN ICE,ICE - CRUSHED/CUBED,22 LB
2,1,GROCERY,Private,,NA,
10,1,GROCERY,Private,FRZN ICE,NA,
"""
LINES = """household_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,coupon_match_disc
7,b1,1,2,3.00,0.50,0.0,0.0
7,b1,1,1,1.00,0.00,0.0,0.0
7,b1,2,1,5.00,0.00,0.0,0.0
8,b2,10,1,2.00,0.00,1.0,0.0
8,b2,99,1,2.00,0.00,0.0,0.0
9,b3,1,0,1.00,0.00,0.0,0.0
9,b4,2,1,6.01,0.00,0.0,0.0
"""


@pytest.fixture
def recount(tmp_path):
    (tmp_path / "products.csv.gz").write_bytes(gzip.compress(PRODUCTS.encode()))
    (tmp_path / "transactions.csv.gz").write_bytes(gzip.compress(LINES.encode()))
    return lambda limit=None: Recount(tmp_path, limit)


def test_what_is_refused(recount):
    assert (recount().orders, recount().refused_lines, recount().refused_baskets) == (3, 2, 1)


def test_lines_of_one_product_are_added_up(recount):
    # Product 1: unit prices 1.75 and 1.00, the median 1.375 goes half-even to 1.38.
    assert recount().ranked("grocery.frzn-ice.ice-crushed-cubed", "orders") == [("1", 1, 3, 414)]


def test_equals_are_ranked_by_units_then_by_id_in_byte_order(recount):
    # Product 2: 5.00 and 6.01 make 5.505, half-even 5.50.
    assert recount().ranked("grocery", "orders") == [("2", 2, 2, 1100), ("1", 1, 3, 414), ("10", 1, 1, 200)]
    assert recount().ranked("grocery", "revenue")[0] == ("2", 2, 2, 1100)
    assert recount(2).ranked("grocery", "orders") == [("1", 1, 3, 414), ("10", 1, 1, 200), ("2", 1, 1, 550)]


def test_an_order_counts_for_every_prefix_of_its_path(recount):
    assert sorted(recount().by_category) == ["grocery", "grocery.frzn-ice", "grocery.frzn-ice.ice-crushed-cubed"]

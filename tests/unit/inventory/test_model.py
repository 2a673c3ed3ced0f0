import pytest

from services.inventory.model import (
    MAX_ON_HAND,
    Allocation,
    Balance,
    Line,
    OutOfStock,
    StockAboveLimit,
    StockBelowZero,
    allocate,
    booked,
    fingerprint,
    total_by_sku,
)


def test_allocate_takes_from_the_nearest_warehouse_first():
    near, far = Balance("tv", "blr", on_hand=2, reserved=1), Balance("tv", "del", on_hand=9, reserved=0)

    assert allocate("tv", 3, [near, far]) == [Allocation("tv", "blr", 1), Allocation("tv", "del", 2)]


def test_allocate_passes_an_empty_warehouse_over():
    empty, full = Balance("tv", "blr", on_hand=2, reserved=2), Balance("tv", "del", on_hand=9, reserved=0)

    assert allocate("tv", 1, [empty, full]) == [Allocation("tv", "del", 1)]


def test_allocate_takes_the_very_last_unit():
    assert allocate("tv", 2, [Balance("tv", "blr", on_hand=5, reserved=3)]) == [Allocation("tv", "blr", 2)]


def test_allocate_says_how_many_there_are_when_they_are_too_few():
    with pytest.raises(OutOfStock) as refused:
        allocate("tv", 4, [Balance("tv", "blr", on_hand=2, reserved=1), Balance("tv", "del", on_hand=2, reserved=0)])

    assert refused.value.reason == "OUT_OF_STOCK"
    assert refused.value.metadata == {"sku": "tv", "wanted": "4", "available": "3"}


def test_nothing_is_available_of_a_sku_that_was_never_here():
    with pytest.raises(OutOfStock) as refused:
        allocate("tv", 1, [])

    assert refused.value.metadata["available"] == "0"


def test_quantities_of_one_sku_are_added_up():
    assert total_by_sku([Line("b", 1), Line("a", 2), Line("b", 3)]) == [Line("a", 2), Line("b", 4)]


def test_the_same_goods_have_the_same_fingerprint_however_they_are_listed():
    scattered, summed = [Line("b", 1), Line("a", 2), Line("b", 3)], [Line("a", 2), Line("b", 4)]

    assert fingerprint(total_by_sku(scattered)) == fingerprint(total_by_sku(summed))


def test_another_quantity_has_another_fingerprint():
    assert fingerprint([Line("a", 2)]) != fingerprint([Line("a", 3)])


def test_units_that_are_lost_leave_the_balance():
    assert booked(Balance("tv", "blr", on_hand=5, reserved=2, version=7), -3) == Balance("tv", "blr", on_hand=2, reserved=2, version=8)


def test_units_that_are_held_cannot_be_booked_out():
    with pytest.raises(StockBelowZero) as refused:
        booked(Balance("tv", "blr", on_hand=5, reserved=2), -4)

    assert refused.value.reason == "STOCK_BELOW_ZERO"
    assert refused.value.metadata == {"sku": "tv", "available": "3"}


def test_a_balance_holds_ten_to_the_fifteenth():
    assert booked(Balance("tv", "blr", on_hand=MAX_ON_HAND - 1, reserved=0), 1).on_hand == 10**15


def test_a_balance_holds_no_more_than_that():
    with pytest.raises(StockAboveLimit) as refused:
        booked(Balance("tv", "blr", on_hand=MAX_ON_HAND, reserved=0), 1)

    assert refused.value.reason == "STOCK_ABOVE_LIMIT"

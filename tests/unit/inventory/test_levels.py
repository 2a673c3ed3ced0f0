import pytest

from services.inventory.levels import Level, News, crossings, news
from services.inventory.model import Balance


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (11, 10, News.LOW),
        (11, 1, News.LOW),
        (10, 9, None),
        (12, 11, None),
        (11, 0, News.OUT),
        (1, 0, News.OUT),
        (0, 0, None),
        (0, 1, News.BACK),
        (0, 11, News.BACK),
        (1, 11, None),
        (11, 11, None),
    ],
)
def test_only_a_threshold_that_is_crossed_is_news(before: int, after: int, told: News | None):
    assert news(before, after) is told


def test_all_warehouses_of_a_sku_count_together():
    before = [Balance("tv", "blr", 1, 0, 4), Balance("tv", "del", 10, 0, 2), Balance("pen", "blr", 5, 5, 1)]
    after = [Balance("tv", "blr", 1, 1, 5), Balance("tv", "del", 10, 0, 2), Balance("pen", "blr", 5, 4, 2)]

    assert crossings(before, after) == [(News.LOW, Level("tv", 10, 7)), (News.BACK, Level("pen", 1, 2))]


def test_what_another_warehouse_still_has_is_not_out():
    before = [Balance("tv", "blr", 1, 0), Balance("tv", "del", 10, 0)]

    assert crossings(before, [Balance("tv", "blr", 1, 0), Balance("tv", "del", 10, 10)]) == [(News.LOW, Level("tv", 1, 0))]

"""What the index keeps of a product."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.search.documents import Document, Summary, fields_of, standing_of


def document(**changed: Any) -> Document:
    given = {"price": 1999, "rating": 450, "brand": "Acme & Co", "description": "Big", "popularity": 3, "created_at": None, **changed}
    summary = Summary("tv", "Télévision 4K", given["brand"], "toys.big-screens", "", given["price"], in_stock=True, rating=given["rating"])
    return Document(summary, given["description"], ["Toys", "Big screens"], given["created_at"], given["popularity"])


def test_words_are_what_a_question_s_words_are() -> None:
    fields = fields_of(document(), 7)

    assert [fields[name] for name in ("title", "brand_words", "category_words", "description")] == [
        "television 4k",
        "acme co",
        "toys big screens",
        "big",
    ]


def test_a_product_stands_in_every_category_above_its_own() -> None:
    assert fields_of(document(), 7)["ancestors"] == ["toys", "toys.big-screens"]


def test_what_has_no_price_or_brand_has_no_such_field_and_comes_last_by_price() -> None:
    fields = fields_of(document(price=None, brand=""), 7)

    assert {"price", "brand"}.isdisjoint(fields)
    assert (fields["cheapest"], fields["dearest"]) == (0, 0)


@pytest.mark.parametrize(("cheaper", "dearer"), [(0, 1), (1999, 2000), (10**15, 10**15 + 1)])
def test_the_cheaper_comes_first_or_last(cheaper: int, dearer: int) -> None:
    one, other = fields_of(document(price=cheaper), 7), fields_of(document(price=dearer), 8)

    assert one["cheapest"] > other["cheapest"] > 0
    assert 0 < one["dearest"] < other["dearest"]


def test_the_newest_is_so_to_the_millisecond() -> None:
    assert fields_of(document(created_at=datetime(2026, 1, 1, microsecond=5000, tzinfo=UTC)), 7)["newest"] == 1_767_225_600_005


def test_a_long_description_is_cut() -> None:
    assert len(fields_of(document(description="a " * 5000), 7)["description"]) == 1999


def test_the_more_popular_stands_higher_whatever_its_id() -> None:
    assert max(standing_of(f"p{number}", 4) for number in range(100)) < min(standing_of(f"p{number}", 5) for number in range(100))


def test_the_equally_popular_stand_apart() -> None:
    assert len({standing_of(f"p{number}", 0) for number in range(10_000)}) == 10_000


def test_a_standing_fits_into_a_signed_number() -> None:
    assert standing_of("tv", 2**60) < 2**62

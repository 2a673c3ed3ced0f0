"""Words, amounts and questions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.money import UnknownCurrency
from services.search.model import (
    MOST_WORDS,
    Filters,
    Query,
    QueryMalformed,
    Sort,
    asked_words,
    checked,
    minor_units,
    typos_in,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Fresh  MILK, 2 l", ["fresh", "milk", "2", "l"]),
        ("Crème brûlée", ["creme", "brulee"]),
        ("wi-fi_6E", ["wi", "fi", "6e"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("दूध चाय", ["दूध", "चाय"]),
        ("½ ㎏", ["1", "2", "kg"]),
        ("  ", []),
    ],
)
def test_words_are_lower_case_without_accents(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text())
def test_words_of_words_are_the_same_words(text: str) -> None:
    words = words_of(text)

    assert words_of(" ".join(words)) == words


def test_a_question_has_each_word_once() -> None:
    assert asked_words("tea for two two for tea") == ("tea", "for", "two")


def test_a_question_has_an_end() -> None:
    assert len(asked_words(" ".join(f"w{number}" for number in range(100)))) == MOST_WORDS


@pytest.mark.parametrize(("word", "typos"), [("tea", 0), ("milk", 1), ("kettles", 1), ("umbrella", 2), ("12345678", 0)])
def test_long_words_may_have_typos_and_numbers_none(word: str, typos: int) -> None:
    assert typos_in(word) == typos


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [("19.99", "USD", 1999), ("19.9", "USD", 1990), ("0", "USD", 0), ("500", "JPY", 500), ("1.2345", "CLF", 12345), ("", "USD", None)],
)
def test_amounts_are_exact(amount: str, currency: str, units: int | None) -> None:
    assert minor_units("price_min", amount, currency) == units


@pytest.mark.parametrize(("amount", "currency"), [("1.999", "USD"), ("1.5", "JPY")])
def test_an_amount_with_too_many_decimals_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(QueryMalformed) as refused:
        minor_units("price_min", amount, currency)

    assert refused.value.violations[0][0] == "price_min"


def test_an_amount_in_no_currency_is_refused() -> None:
    with pytest.raises(UnknownCurrency):
        minor_units("price_min", "1", "XXY")


@pytest.mark.parametrize(
    ("query", "path"),
    [(Query(filters=Filters(price_min=2, price_max=1)), "price_min"), (Query(price_step=5), "price_step")],
)
def test_a_question_that_contradicts_itself_is_refused(query: Query, path: str) -> None:
    with pytest.raises(QueryMalformed) as refused:
        checked(query)

    assert [name for name, _ in refused.value.violations] == [path]


def test_one_price_is_a_range() -> None:
    query = Query(filters=Filters(price_min=1, price_max=1))

    assert checked(query) is query


@pytest.mark.parametrize(
    ("words", "sort", "decides"),
    [((), Sort.RELEVANCE, Sort.POPULARITY), (("tea",), Sort.RELEVANCE, Sort.RELEVANCE), ((), Sort.PRICE, Sort.PRICE)],
)
def test_without_words_the_popular_are_relevant(words: tuple[str, ...], sort: Sort, decides: Sort) -> None:
    assert Query(words=words, sort=sort).sorted_by is decides

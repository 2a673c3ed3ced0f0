"""The rules of search: what words are, what a question asks for, and what stands before what."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum

from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.money import exponent
from services.kit.values import value

DEFAULT_PAGE_SIZE = 20
MOST_WORDS = 16
"""Of a question; the rest says nothing new."""

WEIGHTS = {"title": 6, "brand_words": 4, "category_words": 2, "description": 2}
"""What a word is worth by the field that has it: title three times, brand twice. One that is only similar is worth half, and isn't looked
for in descriptions. Whole numbers, so that every engine and every copy of an index finds the same order."""

SIMILAR_WEIGHTS = {field: weight // 2 for field, weight in WEIGHTS.items() if field != "description"}


class QueryMalformed(InvalidArgument):
    """A rule that the proto cannot say is broken; `violations` names the field."""

    reason = "VALIDATION_FAILED"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}", violations=[(path, why)])


class NoPreviousIndex(FailedPrecondition):
    """No copy of the index answered before this one."""

    reason = "NO_PREVIOUS_INDEX"


class Sort(StrEnum):
    """What decides the order. Ties: the more popular first, then an order that is the same everywhere."""

    RELEVANCE = "relevance"
    POPULARITY = "popularity"
    PRICE = "price"
    PRICE_DESC = "price_desc"
    NEWEST = "newest"
    RATING = "rating"


Position = tuple[int, int]
"""Where a result stands, the larger the earlier: what it is sorted by, then what decides ties."""


@value
class Filters:
    """What a result must have."""

    category: str = ""
    brands: tuple[str, ...] = ()
    price_min: int | None = None
    """Minor units of the shop's currency; included, as `price_max` is."""
    price_max: int | None = None
    rating_min: int = 0
    """Hundredths of a star."""
    in_stock: bool = False


@value
class Slice:
    """Which part of the results."""

    size: int = DEFAULT_PAGE_SIZE
    skip: int = 0
    """Results before it."""
    after: Position | None = None
    """The last of them, where it is known; what is new before it moves nothing then."""


@value
class Query:
    """A question to the index."""

    words: tuple[str, ...] = ()
    is_fuzzy: bool = False
    """Similar words count too."""
    filters: Filters = Filters()
    sort: Sort = Sort.RELEVANCE
    slice: Slice = Slice()
    has_facets: bool = False
    price_step: int = 0
    """Minor units; 0: prices aren't counted."""

    def fuzzy(self) -> Query:
        return replace(self, is_fuzzy=True)

    @property
    def sorted_by(self) -> Sort:
        """Without words all is equally relevant, so that popularity decides."""
        return Sort.POPULARITY if self.sort is Sort.RELEVANCE and not self.words else self.sort


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without accents. Signs that scripts write vowels with are parts of words."""
    # As Unicode compares without regard to case: what either step makes, the other one may have to look at again.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold()).casefold())
    plain = (sign for sign in folded if not unicodedata.combining(sign))
    return "".join(sign if sign.isalnum() or unicodedata.category(sign).startswith("M") else " " for sign in plain).split()


def asked_words(text: str) -> tuple[str, ...]:
    """The words of a question, each once."""
    return tuple(dict.fromkeys(words_of(text)))[:MOST_WORDS]


def typos_in(word: str) -> int:
    """How many letters may be wrong, missing, too many or swapped in a similar word. Numbers and short words are meant as they are."""
    if word.isdigit() or len(word) < 4:
        return 0
    return 1 if len(word) < 8 else 2


def minor_units(path: str, amount: str, currency: str) -> int | None:
    """An amount that is written with decimals, in minor units; None for the empty one.

    Raises:
        QueryMalformed: the currency has fewer decimals.
    """
    if not amount:
        return None
    scaled = Decimal(amount).scaleb(exponent(currency))
    if scaled != int(scaled):
        raise QueryMalformed(path, f"{currency} has {exponent(currency)} decimals")
    return int(scaled)


def checked(query: Query) -> Query:
    """The question itself, if it makes sense.

    Raises:
        QueryMalformed: no price can be between its bounds, or a step is asked for without facets.
    """
    low, high = query.filters.price_min, query.filters.price_max
    if low is not None and high is not None and low > high:
        raise QueryMalformed("price_min", "is above price_max")
    if query.price_step and not query.has_facets:
        raise QueryMalformed("price_step", "is for facets: ask for these too")
    return query

"""The index embedded in each process: tantivy, fed from this service's database.

Below the URL's folder each process has one of its own, and in it one a copy; the file `live` names the copy that answers. A folder is
cheap to lose: it is filled anew, 20,000 products in less than a second.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson
import tantivy
from tantivy import DocAddress, FieldType, Occur, Query

from services.kit.paging import REACHABLE_BY_PAGE
from services.kit.telemetry import tracing
from services.search import counting, model
from services.search.documents import EXACT, NUMBERS, Change, Summary, fields_of
from services.search.index import Facets, Found, Hit, IndexAway
from services.search.model import SIMILAR_WEIGHTS, WEIGHTS, Position, Sort, typos_in

T = TypeVar("T")

_WRITER_BYTES = 15_000_000
"""The least that tantivy takes; it is given back after every batch."""

_SLACK = 200
"""Results read beyond those asked for, which most ties end within."""

_ORDER = {
    Sort.POPULARITY: "standing",
    Sort.PRICE: "cheapest",
    Sort.PRICE_DESC: "dearest",
    Sort.NEWEST: "newest",
    Sort.RATING: "rated",
}


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    for name in WEIGHTS:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    for name in EXACT:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
    for name in NUMBERS:
        builder.add_unsigned_field(name, indexed=name in ("price", "in_stock", "rated"), fast=True)
    builder.add_bytes_field("shown", stored=True)
    return builder.build()


_SCHEMA = _schema()


class TantivyIndex:
    """See `services.search.index.ProductIndex`. What takes long leaves the event loop."""

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies: dict[str, tantivy.Index] = {}
        self._live: str | None = None

    @classmethod
    def at(cls, folder: str, process: str) -> TantivyIndex:
        """One process's own, below a folder that all share."""
        return cls(Path(folder) / process)

    async def open(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            named = self._pointer.read_text() if self._pointer.exists() else ""
        except OSError as error:
            raise IndexAway(f"the index's folder can't be used: {error.strerror}") from error
        if named and (self._folder / named).is_dir() and tantivy.Index.exists(str(self._folder / named)):
            self._live = named

    async def close(self) -> None:
        self._copies.clear()

    async def live(self) -> str | None:
        return self._live

    async def position(self, copy: str) -> int:
        if not (self._folder / copy).exists():
            return 0
        asked = {"last": {"max": {"field": "position"}}}
        answer = await self._ask(copy, lambda searcher: searcher.aggregate(Query.all_query(), asked))
        return int(answer["last"]["value"] or 0)

    async def put(self, copy: str, changes: Sequence[Change], position: int) -> None:
        await asyncio.to_thread(self._put, copy, changes)

    async def count(self, copy: str) -> int:
        return await self._ask(copy, lambda searcher: searcher.num_docs)

    async def flip(self, copy: str) -> None:
        kept = {copy, self._live}
        await asyncio.to_thread(self._point_to, copy)
        self._live = copy
        for folder in [each for each in self._folder.iterdir() if each.is_dir() and each.name not in kept]:
            self._copies.pop(folder.name, None)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def search(self, query: model.Query) -> Found:
        if self._live is None:
            raise IndexAway("the index is being filled")
        with tracing.span("search products", kind=tracing.SpanKind.CLIENT, attributes={"db.system.name": "tantivy"}):
            return await self._ask(self._live, lambda searcher: _search(searcher, query))

    @property
    def _pointer(self) -> Path:
        return self._folder / "live"

    def _point_to(self, copy: str) -> None:
        new = self._pointer.with_suffix(".new")
        new.write_text(copy)
        new.replace(self._pointer)

    async def _ask(self, copy: str, question: Callable[[tantivy.Searcher], T]) -> T:
        try:
            return await asyncio.to_thread(lambda: question(self._opened(copy).searcher()))
        except OSError as error:
            raise IndexAway from error

    def _opened(self, copy: str) -> tantivy.Index:
        if copy not in self._copies:
            folder = self._folder / copy
            folder.mkdir(exist_ok=True, mode=0o700)
            index = tantivy.Index(_SCHEMA, path=str(folder))
            index.config_reader("manual")
            index.reload()
            self._copies[copy] = index
        return self._copies[copy]

    def _put(self, copy: str, changes: Sequence[Change]) -> None:
        try:
            index = self._opened(copy)
            known = _positions(index.searcher(), [change.product_id for change in changes])
            newer = [change for change in changes if change.position > known.get(change.product_id, 0)]
            writer = index.writer(_WRITER_BYTES, 1)
            for change in newer:
                writer.delete_documents_by_term("product_id", change.product_id)
                if change.document:
                    writer.add_document(_document(change))
            writer.commit()
            writer.wait_merging_threads()
            index.reload()
        except (OSError, ValueError) as error:
            raise IndexAway from error


def _positions(searcher: tantivy.Searcher, product_ids: Sequence[str]) -> dict[str, int]:
    """Those of the products' last changes that were put, as far as the products are there."""
    asked = {"ids": {"terms": {"field": "product_id", "size": len(product_ids)}, "aggs": {"last": {"max": {"field": "position"}}}}}
    answer = searcher.aggregate(Query.term_set_query(_SCHEMA, "product_id", product_ids), asked)
    return {bucket["key"]: int(bucket["last"]["value"]) for bucket in answer["ids"]["buckets"]}


def _document(change: Change) -> tantivy.Document:
    assert change.document is not None
    fields = fields_of(change.document, change.position)
    document = tantivy.Document()
    document.add_bytes("shown", orjson.dumps(fields.pop("shown")))
    for name in NUMBERS:
        if name in fields:
            document.add_unsigned(name, fields.pop(name))
    for name, value in fields.items():
        for text in value if isinstance(value, list) else [value]:
            document.add_text(name, text)
    return document


def _search(searcher: tantivy.Searcher, query: model.Query) -> Found:
    wanted = _matching(query)
    total, places = _sorted(searcher, wanted, query)
    after = query.slice.after
    places = [place for place in places if place[0] < after] if after else places[query.slice.skip :]
    shown = places[: query.slice.size]
    facets: Facets | None = None
    if query.has_facets:
        facets = counting.facets_of(query, searcher.aggregate(wanted, counting.aggregations(query)))
    return Found([Hit(_shown(searcher, address), position) for position, address in shown], len(places) > len(shown), total, facets)


def _sorted(searcher: tantivy.Searcher, wanted: Query, query: model.Query) -> tuple[int, list[tuple[Position, DocAddress]]]:
    """How many results there are, and enough of them in their order.

    tantivy sorts by one value, and leaves it open which of the equal ones it returns: so more are read, and sorted here. Of more than
    10,000 equally good ones, any 10,000 take part.
    """
    enough = query.slice.skip + query.slice.size + 1
    field = _ORDER.get(query.sorted_by)
    for limit in (enough + _SLACK, REACHABLE_BY_PAGE):
        found = searcher.search(wanted, limit, order_by_field=field)
        keys = [int(key) for key, _ in found.hits]
        addresses = [address for _, address in found.hits]
        if len(keys) < limit or keys[enough - 1] > keys[-1]:
            break
    standings = searcher.fast_field_values("standing", addresses)
    places = [((key, int(standing or 0)), address) for key, standing, address in zip(keys, standings, addresses, strict=True)]
    total = found.count  # pyright: ignore[reportAttributeAccessIssue] (tantivy's stubs forget it)
    return total, sorted(places, key=lambda place: place[0], reverse=True)


def _shown(searcher: tantivy.Searcher, address: DocAddress) -> Summary:
    return Summary(**orjson.loads(bytes(searcher.doc(address)["shown"][0])))


def _matching(query: model.Query) -> Query:
    words = [_word(word, is_fuzzy=query.is_fuzzy) for word in query.words]
    parts = [*words, *(Query.const_score_query(each, 0) for each in _filters(query.filters))]
    return Query.boolean_query([(Occur.Must, part) for part in parts]) if parts else Query.all_query()


def _word(word: str, *, is_fuzzy: bool) -> Query:
    """The best field that has the word counts."""
    scored = [(Query.term_query(_SCHEMA, field, word), weight) for field, weight in WEIGHTS.items()]
    if is_fuzzy and (distance := typos_in(word)):
        scored += [(Query.fuzzy_term_query(_SCHEMA, field, word, distance), weight) for field, weight in SIMILAR_WEIGHTS.items()]
    return Query.disjunction_max_query([Query.const_score_query(each, weight) for each, weight in scored])


def _filters(filters: model.Filters) -> list[Query]:
    found: list[Query] = []
    if filters.category:
        found.append(Query.term_query(_SCHEMA, "ancestors", filters.category))
    if filters.brands:
        found.append(Query.term_set_query(_SCHEMA, "brand", filters.brands))
    if filters.price_min is not None or filters.price_max is not None:
        found.append(_between("price", filters.price_min or 0, filters.price_max))
    if filters.rating_min:
        found.append(_between("rated", filters.rating_min, None))
    if filters.in_stock:
        found.append(Query.term_query(_SCHEMA, "in_stock", 1))
    return found


def _between(field: str, low: int, high: int | None) -> Query:
    bounds: dict[str, Any] = {"lower_bound": low, "upper_bound": high}
    return Query.range_query(_SCHEMA, field, FieldType.Unsigned, **bounds)

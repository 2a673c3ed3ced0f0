"""The index on OpenSearch: one for all processes, its copies behind an alias.

A document's version is the position of its change (external versioning), so that changes may come out of order, and twice. How far a copy
was fed is written into its mapping. Spoken to by httpx, which is here anyway: OpenSearch's own client would bring fifteen packages more for
these ten requests.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx
import orjson
import structlog

from services.kit.paging import REACHABLE_BY_PAGE
from services.kit.telemetry import tracing
from services.search import counting
from services.search.documents import EXACT, NUMBERS, Change, Summary, fields_of
from services.search.index import Found, Hit, IndexAway
from services.search.model import SIMILAR_WEIGHTS, WEIGHTS, Filters, Query, Sort, typos_in

_ALIAS = "bazaar-products"
_SEARCH, _FEED = httpx.Timeout(1.0), httpx.Timeout(30.0, connect=1.0)
_AWAY_SECONDS = 1.0
"""After a search without an answer the next ones are refused at once."""

_CONNECTIONS = httpx.Limits(max_connections=16, max_keepalive_connections=8, keepalive_expiry=20.0)

_log = structlog.get_logger("bazaar.search")

_TEXT = {"type": "text", "analyzer": "whitespace", "norms": False, "index_options": "docs"}
_MAPPINGS: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        **dict.fromkeys(WEIGHTS, _TEXT),
        **{name: {"type": "keyword"} for name in EXACT},
        **{name: {"type": "long"} for name in NUMBERS},
        "shown": {"type": "object", "enabled": False},
    },
}
_SETTINGS = {"auto_expand_replicas": "0-1", "refresh_interval": "1s", "max_result_window": REACHABLE_BY_PAGE}

_ORDER = {
    Sort.RELEVANCE: "_score",
    Sort.POPULARITY: "standing",
    Sort.PRICE: "cheapest",
    Sort.PRICE_DESC: "dearest",
    Sort.NEWEST: "newest",
    Sort.RATING: "rated",
}


class OpenSearchIndex:
    """See `services.search.index.ProductIndex`."""

    is_shared = True

    def __init__(self, url: str) -> None:
        # httpx tells of every request at INFO; spans do that here.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        parts = urlsplit(url)
        authority = parse_qs(parts.query).get("ca", [None])[0]
        self._http = httpx.AsyncClient(
            base_url=urlunsplit((parts.scheme, parts.netloc, "", "", "")),
            timeout=_FEED,
            limits=_CONNECTIONS,
            trust_env=False,
            # Reading every certificate authority of the machine takes 20 ms, and plain HTTP needs none.
            verify=ssl.create_default_context(cafile=authority) if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        self._away_until = 0.0

    async def open(self) -> None:
        """Connects to nothing yet."""

    async def close(self) -> None:
        await self._http.aclose()

    async def live(self) -> str | None:
        answer = await self._asked("GET", f"/_alias/{_ALIAS}")
        return next((name.removeprefix(f"{_ALIAS}-") for name in answer), None) if answer else None

    async def position(self, copy: str) -> int:
        answer = await self._asked("GET", f"/{_name(copy)}/_mapping")
        return answer[_name(copy)]["mappings"].get("_meta", {}).get("position", 0) if answer else 0

    async def put(self, copy: str, changes: Sequence[Change], position: int) -> None:
        index = f"/{_name(copy)}"
        if await self._asked("GET", index) is None:
            await self._told("PUT", index, {"mappings": _MAPPINGS, "settings": _SETTINGS})
        if changes:
            _check(await self._told("POST", f"{index}/_bulk?refresh=true", b"".join(_lines(change) for change in changes)))
        await self._told("PUT", f"{index}/_mapping", {"_meta": {"position": position}})

    async def count(self, copy: str) -> int:
        return (await self._told("GET", f"/{_name(copy)}/_count"))["count"]

    async def flip(self, copy: str) -> None:
        before = await self.live() or copy
        actions = [{"add": {"index": _name(copy), "alias": _ALIAS}}]
        if before != copy:
            actions.append({"remove": {"index": _name(before), "alias": _ALIAS}})
        await self._told("POST", "/_aliases", {"actions": actions})
        for name in await self._told("GET", f"/{_ALIAS}-*/_alias"):
            if name not in (_name(copy), _name(before)):
                await self._told("DELETE", f"/{name}")

    async def search(self, query: Query) -> Found:
        if time.monotonic() < self._away_until:
            raise IndexAway
        with tracing.span("search products", kind=tracing.SpanKind.CLIENT, attributes={"db.system.name": "opensearch"}):
            try:
                answer = await self._asked("POST", f"/{_ALIAS}/_search", _body(query), _SEARCH)
            except IndexAway as error:
                _log.warning("searches are degraded", why=error.message)
                self._away_until = time.monotonic() + _AWAY_SECONDS
                raise
        if answer is None:
            raise IndexAway("the index is being filled")
        return _found(query, answer)

    async def _told(self, verb: str, path: str, body: Any = None) -> Any:
        """The answer to what can only be asked of an index that is there."""
        answer = await self._asked(verb, path, body)
        if answer is None:
            raise IndexAway("the index is gone")
        return answer

    async def _asked(self, verb: str, path: str, body: Any = None, timeout: httpx.Timeout = _FEED) -> Any:
        """The answer; None when there is no such index.

        Raises:
            IndexAway: there is none, or one of a server that is in trouble.
        """
        content = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else None
        headers = {"content-type": "application/x-ndjson" if isinstance(body, bytes) else "application/json"}
        try:
            answer = await self._http.request(verb, path, content=content, headers=headers if content else None, timeout=timeout)
        except httpx.HTTPError as error:
            raise IndexAway from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.is_error:
            raise IndexAway(f"the index answers {answer.status_code}: {answer.text[:200]}")
        return orjson.loads(answer.content)


def _name(copy: str) -> str:
    return f"{_ALIAS}-{copy}"


def _lines(change: Change) -> bytes:
    """A change as the bulk API has it."""
    verb = "index" if change.document else "delete"
    head = {verb: {"_id": change.product_id, "version": change.position, "version_type": "external"}}
    body = [head, fields_of(change.document, change.position)] if change.document else [head]
    return b"".join(orjson.dumps(line) + b"\n" for line in body)


def _check(answer: dict[str, Any]) -> None:
    """A conflict says that a later change is there already; a product to be taken out may be gone.

    Raises:
        IndexAway: some changes weren't taken.
    """
    expected = (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND)
    results = [result for item in answer["items"] for result in item.values()]
    if refused := [result for result in results if result["status"] >= HTTPStatus.BAD_REQUEST and result["status"] not in expected]:
        raise IndexAway(f"{len(refused)} changes weren't taken: {refused[0]['error']['type']}")


def _body(query: Query) -> dict[str, Any]:
    body: dict[str, Any] = {
        "query": {"bool": {"must": [_word(word, is_fuzzy=query.is_fuzzy) for word in query.words], "filter": _filters(query.filters)}},
        "sort": [{_ORDER[query.sorted_by]: "desc"}, {"standing": "desc"}],
        "_source": ["shown"],
        "track_total_hits": True,
        "size": min(query.slice.size + 1, REACHABLE_BY_PAGE - query.slice.skip),
    }
    if query.slice.after:
        body["search_after"] = list(query.slice.after)
    else:
        body["from"] = query.slice.skip
    if query.has_facets:
        body["aggs"] = counting.aggregations(query)
    return body


def _found(query: Query, answer: dict[str, Any]) -> Found:
    hits = answer["hits"]["hits"]
    shown = [Hit(Summary(**hit["_source"]["shown"]), (int(hit["sort"][0]), int(hit["sort"][1]))) for hit in hits[: query.slice.size]]
    facets = counting.facets_of(query, answer["aggregations"]) if query.has_facets else None
    return Found(shown, len(hits) > len(shown), answer["hits"]["total"]["value"], facets)


def _word(word: str, *, is_fuzzy: bool) -> dict[str, Any]:
    """The best field that has the word counts."""
    scored = [({"term": {field: word}}, weight) for field, weight in WEIGHTS.items()]
    if is_fuzzy and (distance := typos_in(word)):
        similar = {"value": word, "fuzziness": distance, "max_expansions": 1000}
        scored += [({"fuzzy": {field: similar}}, weight) for field, weight in SIMILAR_WEIGHTS.items()]
    return {"dis_max": {"queries": [{"constant_score": {"filter": each, "boost": weight}} for each, weight in scored]}}


def _filters(filters: Filters) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if filters.category:
        found.append({"term": {"ancestors": filters.category}})
    if filters.brands:
        found.append({"terms": {"brand": list(filters.brands)}})
    bounds = {"gte": filters.price_min, "lte": filters.price_max}
    if given := {name: bound for name, bound in bounds.items() if bound is not None}:
        found.append({"range": {"price": given}})
    if filters.rating_min:
        found.append({"range": {"rated": {"gte": filters.rating_min}}})
    if filters.in_stock:
        found.append({"term": {"in_stock": 1}})
    return found

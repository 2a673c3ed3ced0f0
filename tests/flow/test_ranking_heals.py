"""Whatever is lost or doubled on the way, the running shop's rankings come to equal its orders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis as RedisClient

from bazaar.ranking.v1 import ranking_pb2
from bazaar.ranking.v1 import ranking_service_pb2 as pb
from services.kit.events.port import Event
from services.ranking.events import lines_of, subscription
from services.ranking.model import Query, Window, lefts_at
from tests.bus import books_of
from tests.ranked import Ranked, query, ranked
from tests.shop import ADMIN, Customer, Shop, category_of, eventually

Source = ranking_pb2.Ranking.Source


@pytest.fixture
async def worker(shop: Shop) -> AsyncIterator[Ranked]:
    """Ranking in another process, on the shop's servers."""
    async with ranked(shop.servers.database("ranking"), shop.settings.redis_url) as worker:
        worker.now = datetime.now(UTC)
        yield worker


@pytest.fixture
async def sold(shop: Shop, buyer: Customer) -> tuple[str, list[tuple[str, int, int, int]]]:
    """A root category that was ordered from, and its ranking."""
    root = f"Root {uuid4().hex[:8]}"
    saw, axe = [await shop.stocked(99, path=(root, "Leaf")) for _ in range(2)]
    await shop.order(buyer, (saw, 1), (axe, 1))
    await shop.order(buyer, (axe, 3))
    cancelled = await shop.order(buyer, (saw, 9))
    await shop.cancel(buyer, cancelled.order_id)
    top = [(axe, 2, 4, 4000), (saw, 1, 1, 1000)]
    # The ranking is the same before the last order has come and after it has gone.
    await eventually(lambda: lines_told(shop, category_of((root,))), 5)
    await eventually(lambda: shop.top(category_of((root,))), top)
    # History answers as well while the board is only being filled.
    await eventually(lambda: applied(shop, category_of((root,))), 5)
    return category_of((root,)), top


async def applied(shop: Shop, root: str) -> int:
    """How many lines a root's board has; 0 without one."""
    with RedisClient.from_url(shop.settings.redis_url) as client:
        heads: Any = client.keys(f"rank:{{{root}}}:*:head")
        return int(client.hget(heads[0], "applied") or 0) if heads else 0  # type: ignore[arg-type]


async def lines_told(shop: Shop, root: str) -> int:
    return sum(1 for event in await told(shop, root) for _ in lines_of(event))


async def source(shop: Shop, category: str) -> int:
    return (await shop.ranking().QueryTopProducts(pb.QueryTopProductsRequest(category=category, limit=99))).source


async def told(shop: Shop, root: str) -> list[Event]:
    """Every event of a root's lines, as the bus has it."""
    return [event for event in await books_of(shop.servers.events).told("order-lines") if event.key == root]


async def assert_verified(shop: Shop, root: str) -> None:
    answer = await shop.ranking(ADMIN).VerifyRanking(pb.VerifyRankingRequest(root_category=root), timeout=60)
    assert list(answer.differences) == []
    assert answer.lines_counted > 0


async def test_every_event_delivered_twice_counts_once(shop: Shop, worker: Ranked, sold):
    root, top = sold
    events = await told(shop, root)

    await subscription(worker.projection).handle(events)
    await subscription(worker.projection).handle(events[::-1])
    await worker.projection.settled()

    assert sum(1 for event in events for _ in lines_of(event)) == 5
    assert [(count.product_id, count.orders, count.units, count.revenue) for count in (await worker.top(_of(root))).counts] == top
    await assert_verified(shop, root)


async def test_an_emptied_redis_is_answered_from_history_and_fills_by_itself(shop: Shop, worker: Ranked, sold):
    root, top = sold
    worker.empty_redis()
    meanwhile = await worker.top(_of(root))

    assert [(count.product_id, count.orders) for count in meanwhile.counts] == [row[:2] for row in top]
    await eventually(lambda: source(shop, root), Source.LIVE)
    assert await shop.top(root) == top
    await assert_verified(shop, root)


async def test_redis_set_back_to_an_older_state_catches_up(shop: Shop, buyer: Customer, sold):
    root, [(axe, *_), (saw, *_)] = sold
    with RedisClient.from_url(shop.settings.redis_url) as client:
        older = {key: client.dump(key) for key in client.keys(f"rank:{{{root}}}:*")}  # type: ignore[union-attr]
        await shop.order(buyer, (saw, 5), (axe, 1))
        top = [(axe, 3, 5, 5000), (saw, 2, 6, 6000)]
        await eventually(lambda: shop.top(root), top)
        # All at once, as a replica that lagged would show it: a head set back before its boards is caught up with in between.
        with client.pipeline(transaction=True) as restoring:
            for key, value in older.items():
                restoring.restore(key, 0, value, replace=True)  # type: ignore[arg-type]
            restoring.execute()
    await shop.order(buyer, (saw, 1))

    await eventually(lambda: shop.top(root), [(saw, 3, 7, 7000), (axe, 3, 5, 5000)])
    await assert_verified(shop, root)


async def test_a_consumer_killed_between_postgresql_and_redis_is_made_good(shop: Shop, worker: Ranked, sold):
    root, top = sold
    lines = [line for event in await told(shop, root) for line in lines_of(event)]
    # As if the truth had everything and the board, made by a consumer that died early, only the first line.
    with RedisClient.from_url(shop.settings.redis_url) as client:
        keys = client.keys(f"rank:{{{root}}}:*")
        client.delete(*keys)  # type: ignore[misc]
    generation = await worker.versions.live()
    sums = await worker.store.sums(generation, root, upto=1)
    await worker.boards.fill(generation, root, upto=1, lefts=lefts_at(worker.minute), sums=dict.fromkeys(Window, sums))

    await eventually(lambda: shop.top(root), top)
    assert len(lines) == 5
    await assert_verified(shop, root)


def _of(root: str) -> Query:
    return query(root, currency="USD")

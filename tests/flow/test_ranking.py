"""Orders in, the Top N out, on the whole shop."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from bazaar.ranking.v1 import ranking_pb2
from bazaar.ranking.v1 import ranking_service_pb2 as pb
from tests.serving import refused
from tests.shop import ADMIN, Customer, Shop, category_of, eventually

Source = ranking_pb2.Ranking.Source


@pytest.fixture
def root() -> str:
    return f"Root {uuid4().hex[:8]}"


def of(row: ranking_pb2.RankedProduct) -> tuple[int, str, int, int, int]:
    return row.rank, row.product_id, row.orders, row.units, row.revenue.minor_units


async def in_stock(shop: Shop, category: str) -> list[bool]:
    """Of each product shown; a change is seen a moment later, as the contract says."""
    answer = await shop.ranking().QueryTopProducts(pb.QueryTopProductsRequest(category=category))
    return [row.product.in_stock for row in answer.products]


async def source(shop: Shop, category: str) -> int:
    """Where the ranking comes from; a board that is away is answered for by history."""
    return (await shop.ranking().QueryTopProducts(pb.QueryTopProductsRequest(category=category))).source


async def test_orders_are_ranked_in_their_category_and_every_ancestor(shop: Shop, buyer: Customer, root: str):
    saw = await shop.stocked(9, price=500, path=(root, "Tools", "Saws"))
    axe = await shop.stocked(9, price=300, path=(root, "Tools", "Axes"))
    await shop.order(buyer, (saw, 1), (axe, 4))
    await shop.order(buyer, (saw, 1))

    for path, top in (
        ((root,), [(saw, 2, 2, 1000), (axe, 1, 4, 1200)]),
        ((root, "Tools"), [(saw, 2, 2, 1000), (axe, 1, 4, 1200)]),
        ((root, "Tools", "Saws"), [(saw, 2, 2, 1000)]),
    ):
        await eventually(lambda path=path: shop.top(category_of(path)), top)
    for fields, first in (({"metric": "units"}, axe), ({"metric": "revenue"}, axe), ({"metric": "orders"}, saw)):
        assert (await shop.top(category_of((root,)), **fields))[0][0] == first


@pytest.mark.parametrize("window", ["1h", "24h", "7d", "30d", "all"])
async def test_an_order_of_just_now_counts_in_every_window(shop: Shop, buyer: Customer, root: str, window: str):
    saw = await shop.stocked(9, price=500, path=(root, "Saws"))
    await shop.order(buyer, (saw, 2))

    await eventually(lambda: shop.top(category_of((root,)), window=window), [(saw, 1, 2, 1000)])


async def test_a_row_shows_what_the_catalogue_pricing_and_inventory_know(shop: Shop, buyer: Customer, root: str):
    sku = await shop.stocked(1, price=700, path=(root, "Leaf"))
    await shop.order(buyer, (sku, 1))
    category = category_of((root, "Leaf"))
    await eventually(lambda: shop.top(category), [(sku, 1, 1, 700)])
    await eventually(lambda: in_stock(shop, category), [False])
    await eventually(lambda: source(shop, category), Source.LIVE)

    answer = await shop.ranking().QueryTopProducts(pb.QueryTopProductsRequest(category=category))

    [row] = answer.products
    assert (of(row), row.product.category_id, row.product.price.minor_units) == ((1, sku, 1, 1, 700), category, 700)
    assert row.product.title.startswith("Thing ")
    assert answer.as_of.seconds > 0


async def test_a_cancelled_order_is_taken_out_again(shop: Shop, buyer: Customer, root: str):
    saw, axe = [await shop.stocked(9, path=(root, "Leaf")) for _ in range(2)]
    order = await shop.order(buyer, (saw, 1))
    await shop.order(buyer, (axe, 2))
    category = category_of((root,))
    await eventually(lambda: shop.top(category), [(axe, 1, 2, 2000), (saw, 1, 1, 1000)])

    await shop.cancel(buyer, order.order_id)

    await eventually(lambda: shop.top(category), [(axe, 1, 2, 2000)])
    assert (await refused(shop.ranking().GetProductRank(pb.GetProductRankRequest(product_id=saw))))[:2] == (
        "NOT_FOUND",
        "PRODUCT_NOT_RANKED",
    )


async def test_a_category_without_orders_is_empty_from_history(shop: Shop):
    answer = await shop.ranking().QueryTopProducts(pb.QueryTopProductsRequest(category="nobody.ordered"))

    assert (list(answer.products), answer.source) == ([], Source.HISTORICAL)


async def test_ties_are_broken_by_product_id(shop: Shop, buyer: Customer, root: str):
    skus = [await shop.stocked(9, path=(root, "Leaf"), sku=f"{prefix}-{uuid4().hex[:6]}") for prefix in ("b", "B", "a")]
    await shop.order(buyer, *((sku, 1) for sku in skus))

    expected = [(sku, 1, 1, 1000) for sku in sorted(skus, key=str.encode)]
    await eventually(lambda: shop.top(category_of((root,))), expected)
    assert await shop.top(category_of((root,)), limit=2) == expected[:2]


async def test_a_product_has_a_rank_in_its_own_category_and_in_a_given_one(shop: Shop, buyer: Customer, root: str):
    saw = await shop.stocked(9, path=(root, "Saws"))
    axe = await shop.stocked(9, path=(root, "Axes"))
    await shop.order(buyer, (saw, 1), (axe, 2))
    await eventually(lambda: shop.top(category_of((root,))), [(axe, 1, 2, 2000), (saw, 1, 1, 1000)])
    await eventually(lambda: source(shop, category_of((root,))), Source.LIVE)

    own = await shop.ranking().GetProductRank(pb.GetProductRankRequest(product_id=saw))
    given = await shop.ranking().GetProductRank(pb.GetProductRankRequest(product_id=saw, category=category_of((root,))))

    assert (own.category, of(own.product), own.source) == (category_of((root, "Saws")), (1, saw, 1, 1, 1000), Source.LIVE)
    assert (given.category, of(given.product), given.product.product.category_id) == (
        category_of((root,)),
        (2, saw, 1, 1, 1000),
        own.category,
    )


@pytest.mark.parametrize("category", ["", "garden"])
async def test_an_unknown_product_has_no_rank(shop: Shop, category: str):
    ask = pb.GetProductRankRequest(product_id="no-such-product", category=category)

    assert (await refused(shop.ranking().GetProductRank(ask)))[:2] == ("NOT_FOUND", "PRODUCT_NOT_RANKED")


@pytest.mark.parametrize(
    "fields",
    [
        {"category": ""},
        {"category": "Not A Slug"},
        {"category": "garden", "limit": 101},
        {"category": "garden", "limit": -1},
        {"category": "garden", "metric": "likes"},
        {"category": "garden", "window": "25h"},
        {"category": "garden", "currency": "usd"},
        {"category": "garden", "currency": "XQQ"},
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(shop: Shop, fields: dict):
    assert (await refused(shop.ranking().QueryTopProducts(pb.QueryTopProductsRequest(**fields))))[0] == "INVALID_ARGUMENT"


async def test_repeated_questions_are_answered_from_one_read(shop: Shop, root: str):
    ask = pb.QueryTopProductsRequest(category=category_of((root,)))

    answers = await asyncio.gather(*(shop.ranking().QueryTopProducts(ask) for _ in range(20)))

    assert len({answer.as_of.ToNanoseconds() for answer in answers}) == 1


async def test_watching_gives_the_current_top_and_then_every_change(shop: Shop, buyer: Customer, root: str):
    saw, axe = [await shop.stocked(9, path=(root, "Leaf")) for _ in range(2)]
    await shop.order(buyer, (saw, 1))
    category = category_of((root,))
    await eventually(lambda: shop.top(category), [(saw, 1, 1, 1000)])
    seen: list[list[str]] = []

    watch = shop.ranking().WatchTopProducts(pb.WatchTopProductsRequest(category=category))
    async with asyncio.timeout(15):
        async for top in watch:
            products = [row.product_id for row in top.products]
            if not seen:
                await shop.order(buyer, (axe, 2))
            if not seen or products != seen[-1]:
                seen.append(products)
            if axe in products:
                break
    watch.cancel()

    assert seen == [[saw], [axe, saw]]


async def test_verify_finds_nothing_wrong(shop: Shop, buyer: Customer, root: str):
    sku = await shop.stocked(9, path=(root, "Leaf"))
    order = await shop.order(buyer, (sku, 1))
    await shop.order(buyer, (sku, 2))
    await shop.cancel(buyer, order.order_id)

    answer = await shop.ranking(ADMIN).VerifyRanking(pb.VerifyRankingRequest(root_category=category_of((root,))))

    assert (answer.lines_counted, answer.difference_count, list(answer.differences)) == (3, 0, [])


async def test_verify_says_what_is_wrong(shop: Shop, buyer: Customer, root: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.ranking.audit.SETTLE_SECONDS", 0.5)
    sku = await shop.stocked(9, path=(root,))
    await shop.order(buyer, (sku, 1))
    await eventually(lambda: shop.top(category_of((root,))), [(sku, 1, 1, 1000)])
    await shop.execute("ranking", "UPDATE lines SET quantity = 5 WHERE product_id = %s", sku)

    answer = await shop.ranking(ADMIN).VerifyRanking(pb.VerifyRankingRequest(root_category=category_of((root,))))
    await shop.execute("ranking", "UPDATE lines SET quantity = 1 WHERE product_id = %s", sku)

    assert pb.VerifyRankingResponse.Difference(
        category=category_of((root,)), product_id=sku, count="all/units", expected=5, actual=1
    ) in list(answer.differences)
    assert answer.difference_count == len(answer.differences)


async def test_a_rebuild_changes_no_answer(shop: Shop, buyer: Customer, root: str):
    sku = await shop.stocked(9, path=(root, "Leaf"))
    order = await shop.order(buyer, (sku, 1))
    await shop.order(buyer, (sku, 2))
    await shop.cancel(buyer, order.order_id)
    await eventually(lambda: shop.top(category_of((root,))), [(sku, 1, 2, 2000)])
    [(live,)] = await shop.execute("ranking", "SELECT live FROM generation")

    rebuilt = await shop.ranking(ADMIN).RebuildRanking(pb.RebuildRankingRequest(), timeout=60)
    await shop.order(buyer, (sku, 3))

    assert rebuilt.generation > live
    assert rebuilt.lines_counted >= 3
    await eventually(lambda: shop.top(category_of((root,))), [(sku, 2, 5, 5000)])
    assert [version for (version,) in await shop.execute("ranking", "SELECT DISTINCT generation FROM lines")] == [rebuilt.generation]


async def test_a_rebuild_meanwhile_is_refused(shop: Shop):
    await shop.execute("ranking", "UPDATE generation SET building = newest + 1, building_since = now()")
    code, reason, _ = await refused(shop.ranking(ADMIN).RebuildRanking(pb.RebuildRankingRequest()))
    await shop.execute("ranking", "UPDATE generation SET building = NULL, building_since = NULL")

    assert (code, reason) == ("FAILED_PRECONDITION", "REBUILD_IN_PROGRESS")


@pytest.mark.parametrize("method", ["VerifyRanking", "RebuildRanking"])
async def test_customers_may_neither_verify_nor_rebuild(shop: Shop, buyer: Customer, method: str):
    call = getattr(shop.ranking(buyer.principal), method)(getattr(pb, f"{method}Request")())

    assert (await refused(call))[:2] == ("PERMISSION_DENIED", "METHOD_NOT_GRANTED")

"""Search over the whole shop: what the catalogue, prices and stock tell is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bazaar.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc
from bazaar.catalog.v1.catalog_pb2 import Product
from bazaar.inventory.v1 import inventory_service_pb2
from bazaar.search.v1 import search_service_pb2 as pb
from bazaar.search.v1 import search_service_pb2_grpc
from tests.flow.products import a_product, created, new_id, set_price
from tests.flow.shelf import Shelf
from tests.serving import Client, refused
from tests.shop import ADMIN, Shop, eventually


@pytest.fixture
def admin(shop: Shop) -> Client:
    return shop.stub(search_service_pb2_grpc.SearchServiceStub, ADMIN)


async def test_a_new_product_is_found_within_seconds_with_its_price_and_stock(shelf: Shelf) -> None:
    name = await shelf.put("Green kettle", price=2599, brand="Acme", image_urls=["https://img.example/1"])
    await shelf.shows("Green kettle", q="kettle acme", in_stock=True, price_min="25.99", price_max="25.99")

    [product] = (await shelf.ask(q="kettle")).products

    assert (product.product_id, product.brand, product.category_id, product.image_url) == (
        name,
        "Acme",
        shelf.category,
        "https://img.example/1",
    )
    assert (product.price.currency_code, product.price.minor_units, product.in_stock) == ("USD", 2599, True)
    assert not product.HasField("rating")


async def test_it_is_answered_from_the_index(shelf: Shelf) -> None:
    await shelf.put("Lamp")
    await shelf.shows("Lamp")

    answer = await shelf.ask()

    assert (pb.SearchProductsResponse.Source.Name(answer.source), answer.total_size, answer.is_fuzzy) == ("INDEX", 1, False)


async def test_a_typo_finds_what_is_spelt_nearly_so(shelf: Shelf) -> None:
    await shelf.put("Umbrella")
    await shelf.shows("Umbrella", q="umbrella")

    answer = await shelf.ask(q="umbrela")

    assert ([product.title for product in answer.products], answer.is_fuzzy) == (["Umbrella"], True)


async def test_a_changed_title_is_found_and_the_old_one_is_not(shelf: Shelf, staff: Client) -> None:
    name = await shelf.put("Teapot")
    await shelf.shows("Teapot", q="teapot")
    change = catalog_service_pb2.UpdateProductRequest(product=Product(product_id=name, title="Cafetiere"))
    change.update_mask.paths.append("title")
    await staff.UpdateProduct(change)

    await shelf.shows("Cafetiere", q="cafetiere")
    assert await shelf.titles(q="teapot") == []


async def test_what_leaves_the_sale_leaves_the_results(shelf: Shelf, staff: Client) -> None:
    name = await shelf.put("Radio")
    await shelf.shows("Radio")
    change = catalog_service_pb2.UpdateProductRequest(product=Product(product_id=name, state=Product.ARCHIVED))
    change.update_mask.paths.append("state")
    await staff.UpdateProduct(change)

    await shelf.shows()


async def test_a_new_price_moves_a_product(shop: Shop, shelf: Shelf) -> None:
    cheap = await shelf.put("First", price=100)
    await shelf.put("Second", price=200)
    await shelf.shows("First", "Second", sort="price")

    await set_price(shop, cheap, ("USD", 300), ("INR", 1))

    await shelf.shows("Second", "First", sort="price")


async def test_the_last_unit_sold_takes_a_product_out_of_what_is_in_stock(shop: Shop, shelf: Shelf) -> None:
    name = await shelf.put("Last one", units=1)
    await shelf.shows("Last one", in_stock=True)

    await shop.order(await shop.customer(), (name, 1))

    await shelf.shows(in_stock=True)
    assert await shelf.titles() == ["Last one"]


async def test_any_variant_in_stock_will_do_and_the_first_one_s_price_counts(shop: Shop, shelf: Shelf) -> None:
    small, large = new_id("sku"), new_id("sku")
    await shelf.put("Shirt", small, large, units=0)
    await set_price(shop, small, ("USD", 500))
    await set_price(shop, large, ("USD", 900))
    await shop.receive(large, 1)

    await shelf.shows("Shirt", in_stock=True, price_max="5")


async def test_ratings_come_from_the_attribute(shelf: Shelf) -> None:
    rated = a_product(new_id(), path=shelf.path, title="Rated")
    rated.attributes.update({"rating": 4.5})
    odd = a_product(new_id(), path=shelf.path, title="Odd")
    odd.attributes.update({"rating": "five"})
    for product in (rated, odd):
        await created(shelf.shop.stub(catalog_service_pb2_grpc.CatalogServiceStub, ADMIN), product)
    await shelf.shows("Rated", "Odd", sort="rating")

    assert [await shelf.titles(rating=stars) for stars in (4.5, 4.6)] == [["Rated"], []]
    assert [product.rating for product in (await shelf.ask(sort="rating")).products] == [4.5, 0]


async def test_facets(shelf: Shelf) -> None:
    await shelf.put("One", price=999, brand="Acme")
    await shelf.put("Two", price=1500, brand="Acme", units=0)
    await shelf.shows("One", "Two", sort="price", price_min="9.99")
    await shelf.shows("One", in_stock=True)

    answer = await shelf.ask(category=shelf.category.partition(".")[0], facets=True, price_step="10")
    facets = answer.facets

    assert [(each.category_id, each.count) for each in facets.categories] == [(shelf.category, 2)]
    assert [(each.brand, each.count) for each in facets.brands] == [("Acme", 2)]
    assert [(each.low.minor_units, each.high.minor_units, each.count) for each in facets.prices] == [(0, 1000, 1), (1000, 2000, 1)]
    assert [(each.at_least, each.count) for each in facets.ratings] == [(4, 0), (3, 0), (2, 0), (1, 0)]
    assert (facets.in_stock_count, facets.out_of_stock_count) == (1, 1)


async def test_pages_by_token_and_by_number(shelf: Shelf) -> None:
    for price in (1, 2, 3):
        await shelf.put(f"At {price}", price=price)
    await shelf.shows("At 1", "At 2", "At 3", sort="price", price_min="0")
    first = await shelf.ask(sort="price", page_size=2)

    assert first.total_size == 3
    assert await shelf.titles(sort="price", page_size=2, page_token=first.next_page_token) == ["At 3"]
    assert await shelf.titles(sort="price", page_size=2, page=2) == ["At 3"]
    assert not (await shelf.ask(sort="price", page_size=3)).next_page_token
    code, reason, _ = await refused(shelf.ask(sort="newest", page_size=2, page_token=first.next_page_token))
    assert (code, reason) == ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"price_min": "2", "price_max": "1"}, "VALIDATION_FAILED"),
        ({"price_min": "1.999"}, "VALIDATION_FAILED"),
        ({"price_min": "ten"}, "VALIDATION_FAILED"),
        ({"price_max": "-1"}, "VALIDATION_FAILED"),
        ({"rating": 5.5}, "VALIDATION_FAILED"),
        ({"rating": float("nan")}, "VALIDATION_FAILED"),
        ({"sort": "beauty"}, "VALIDATION_FAILED"),
        ({"price_step": "5"}, "VALIDATION_FAILED"),
        ({"page": 2, "page_token": "x"}, "VALIDATION_FAILED"),
        ({"page_token": "x"}, "PAGE_TOKEN_INVALID"),
        ({"page": 501}, "PAGE_OUT_OF_RANGE"),
        ({"q": "x" * 201}, "VALIDATION_FAILED"),
    ],
)
async def test_what_makes_no_sense_is_refused(search: Client, fields: dict[str, Any], reason: str) -> None:
    assert (await refused(search.SearchProducts(pb.SearchProductsRequest(**fields))))[:2] == ("INVALID_ARGUMENT", reason)


async def test_what_is_ordered_more_stands_first(shop: Shop, shelf: Shelf, admin: Client) -> None:
    for title in ("Slow", "Fast", "Still"):
        name = await shelf.put(title, units=10)
        if title != "Still":
            await shop.order(await shop.customer(), (name, 1 if title == "Slow" else 5))
    root = shelf.category.partition(".")[0]

    async def ranked() -> int:
        return len(await shop.top(root))

    await eventually(ranked, 2)

    await admin.RebuildIndex(pb.RebuildIndexRequest())

    await shelf.shows("Fast", "Slow", "Still")


async def test_a_rebuilt_index_answers_and_the_way_back_does_too(shop: Shop, shelf: Shelf, admin: Client) -> None:
    await shelf.put("Kept")
    await shelf.shows("Kept")
    before = await wanted(shop)

    rebuilt = (await admin.RebuildIndex(pb.RebuildIndexRequest())).generation
    await eventually(lambda: live(shop), f"v1-{rebuilt}")
    await shelf.shows("Kept")
    back = (await admin.RollBackIndex(pb.RollBackIndexRequest())).generation
    await eventually(lambda: live(shop), f"v1-{back}")

    assert back == before < rebuilt
    await shelf.shows("Kept")


async def wanted(shop: Shop) -> int:
    [(generation,)] = await shop.execute("search", "SELECT wanted FROM generation")
    return generation


async def live(shop: Shop) -> str:
    """The copy that this process's index answers from."""
    return (Path(shop.settings.search_url.removeprefix("file://")) / shop.settings.process / "live").read_text()


async def test_what_was_there_before_search_listened_is_read_from_the_services(shop: Shop, shelf: Shelf, admin: Client) -> None:
    name = await shelf.put("Old stock", price=700)
    await shelf.shows("Old stock", in_stock=True, price_max="7")
    await shop.execute("search", "DELETE FROM products WHERE product_id = %s", name)
    await shop.execute("search", "DELETE FROM offers WHERE sku = %s", name)

    await admin.RebuildIndex(pb.RebuildIndexRequest())

    await shelf.shows("Old stock", in_stock=True, price_max="7")


async def test_only_who_runs_the_shop_rebuilds(search: Client) -> None:
    for call, ask in ((search.RebuildIndex, pb.RebuildIndexRequest()), (search.RollBackIndex, pb.RollBackIndexRequest())):
        assert (await refused(call(ask)))[0] in ("UNAUTHENTICATED", "PERMISSION_DENIED")


async def test_an_order_that_leaves_something_is_no_event_for_search(shop: Shop, shelf: Shelf) -> None:
    name = await shelf.put("Plenty", units=100)
    await shelf.shows("Plenty", in_stock=True)
    [(position,)] = await shop.execute("search", "SELECT position FROM products WHERE product_id = %s", name)

    await shop.order(await shop.customer(), (name, 95))
    ask = inventory_service_pb2.ListBalancesRequest(sku=name)
    assert [balance.on_hand for balance in (await shop.inventory().ListBalances(ask)).balances] == [5]
    await shelf.put("Later")
    await shelf.shows("Later", q="later", in_stock=True)

    assert await shop.execute("search", "SELECT position FROM products WHERE product_id = %s", name) == [(position,)]

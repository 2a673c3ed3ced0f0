"""What search answers while its index is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bazaar.search.v1 import search_service_pb2 as pb
from bazaar.search.v1 import search_service_pb2_grpc
from services.__main__ import find_services
from services.kit.rpc.client import socket_channel
from services.kit.runtime import Runtime
from tests.flow.shelf import Shelf
from tests.serving import Client
from tests.shop import Shop, eventually


@pytest.fixture
async def without_index(shop: Shop, short_directory: Path) -> AsyncIterator[Client]:
    """A process whose index is at an address where nobody listens."""
    settings = shop.settings.model_copy(
        update={
            "listen": f"unix:{short_directory}/no-index.sock",
            "process": "no-index",
            "role": "serve",
            "search_url": "http://127.0.0.1:1",
        }
    )
    runtime = Runtime(find_services([]), settings)
    await runtime.start()
    channel = socket_channel(settings.listen)
    yield Client(search_service_pb2_grpc.SearchServiceStub(channel))
    await channel.close()
    await runtime.stop()


def degraded(answer: pb.SearchProductsResponse) -> list[str]:
    assert answer.source == pb.SearchProductsResponse.DEGRADED
    return [product.title for product in answer.products]


async def test_while_the_index_is_away_the_last_page_is_shown(shelf: Shelf, without_index: Client) -> None:
    await shelf.put("Seen before", price=300)
    await shelf.shows("Seen before", q="seen", price_max="3")
    ask = pb.SearchProductsRequest(category=shelf.category, q="seen", price_max="3")

    async def kept() -> list[str]:
        await shelf.search.SearchProducts(ask)  # pages of other tests may have been kept just now, and this one not
        answer = await without_index.SearchProducts(ask)
        return degraded(answer) if answer.total_size else []

    await eventually(kept, ["Seen before"])


async def test_a_page_that_nobody_saw_is_the_category_s_listing(shelf: Shelf, without_index: Client) -> None:
    names = sorted([await shelf.put(f"Thing {number}", price=number) for number in (1, 2, 3)])
    ask = {"category": shelf.category, "q": "whatever", "price_min": "1000", "page_size": 2}
    first = await without_index.SearchProducts(pb.SearchProductsRequest(**ask))
    second = await without_index.SearchProducts(pb.SearchProductsRequest(**ask, page_token=first.next_page_token))

    assert len(degraded(first)) == 2
    assert [product.product_id for product in (*first.products, *second.products)] == names
    assert {product.HasField("in_stock") for product in first.products} == {False}
    assert not second.next_page_token


async def test_a_category_that_nobody_knows_is_empty_then_too(without_index: Client) -> None:
    answer = await without_index.SearchProducts(pb.SearchProductsRequest(category="no-such-shelf"))

    assert degraded(answer) == []


async def test_a_page_token_of_before_goes_on_in_the_listing(shelf: Shelf, without_index: Client) -> None:
    for number in (1, 2, 3):
        await shelf.put(f"Thing {number}", price=number)
    await shelf.shows("Thing 1", "Thing 2", "Thing 3", sort="price", price_min="0")
    first = await shelf.ask(sort="price", page_size=2)
    ask = pb.SearchProductsRequest(category=shelf.category, sort="price", page_size=2, page_token=first.next_page_token)

    assert len(degraded(await without_index.SearchProducts(ask))) == 1

"""What `./bazaar demo` shows."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

from rich.console import Console

from services.kit.telemetry.store import find_trace, read_traces
from tools.home import Home
from tools.importing import read_products
from tools.replaying import Replay, replay_directory
from tools.sample import Item, catalogue, shopping
from tools.sample.files import write_catalogue
from tools.shop import Account, Shop
from tools.shop.client import patiently
from tools.shop.ordering import Order
from tools.shop.report import Report
from tools.trace import show

PASSWORD_BYTES = 12
TRACE_STILL, TRACE_PATIENCE = 0.6, 10.0
"""Spans are written in batches, the edge's every 5 s: a trace that has its span and stood still for the former time is complete."""


async def demonstrate(url: str, home: Home, data: Path | None, orders: int, console: Console, *, stays: bool) -> None:
    """Fills the shop, orders, and prints what came of it.

    Args:
        stays: the shop goes on running, so that it makes sense to say what to try.

    Raises:
        Refused: the shop does not answer.
    """
    shop, report = Shop(url), Report("demo")
    if data:
        replay = await replay_directory(shop, home, data, orders, None, report)
    else:
        replay = await _made_up(shop, home, orders, report)
    await replay.show_rankings(console, count=1)
    console.print()
    for line in report.lines():
        console.print(line, highlight=False)
    console.print(f"Report: {report.write(home)}", highlight=False, soft_wrap=True)
    order_id = await _one_checkout(shop, next(iter(replay.skus)))
    await _whole_trace(home.folder("traces"), order_id)
    console.print("\nOne checkout: a customer registers, fills a cart and orders.\n", style="bold")
    show(order_id, home.folder("traces"), console)
    if stays:
        _suggest(console, url, replay.categories[0], order_id)
    shop.close()


async def _made_up(shop: Shop, home: Home, count: int, report: Report) -> Replay:
    items = catalogue()
    file = home.path / "demo" / "catalogue.jsonl"
    write_catalogue(file, items)
    replay = Replay(shop, home, report, everything=True)
    await replay.run(read_products(file), list(islice(_orders(items, count), count)))
    return replay


def _orders(items: list[Item], count: int) -> Iterator[Order]:
    """The same baskets every time, as new orders."""
    known, run = {item.product_id for item in items}, secrets.token_hex(4)
    # A few baskets have no line that can be ordered.
    lines = shopping(items, count + count // 10 + 10)
    for (basket_id, household), bought in groupby(lines, key=lambda line: (line.basket_id, line.household_id)):
        units = Counter[str]()
        for line in bought:
            if line.quantity and line.product_id in known:
                units[line.product_id] += line.quantity
        if units:
            yield Order(f"demo-{run}-{basket_id}", f"demo-{household}", dict(units))


async def _one_checkout(shop: Shop, sku: str) -> str:
    """What a customer's app would do, call by call; returns the order's id."""
    email, password = f"demo-{secrets.token_hex(6)}@customers.bazaar.local", secrets.token_urlsafe(PASSWORD_BYTES)
    person = {"email": email, "password": password, "firstName": "Asha", "lastName": "Rao"}
    user_id = (await patiently(lambda: shop.post("/v1/users/register", person)))["userId"]
    token = await Account(shop, email, password).token()
    place = {"line1": "14 Church Street", "city": "Columbus", "state": "OH", "pincode": "43215", "country": "US", "type": "HOME"}
    address = (await shop.post(f"/v1/users/{user_id}/addresses", place, token=token))["address"]
    cart = (await shop.post("/v1/carts", {}, token=token))["cart"]
    await shop.post(f"/v1/carts/{cart['cartId']}/items", {"sku": sku, "quantity": 2}, token=token)
    order = {"cartId": cart["cartId"], "addressId": address["addressId"], "paymentMethod": "COD"}
    return (await shop.post("/v1/orders", order, token=token, key=secrets.token_hex(8)))["order"]["orderId"]


async def _whole_trace(traces: Path, order_id: str) -> None:
    """Waits until no more spans of the order arrive."""
    loop = asyncio.get_running_loop()
    changed = began = loop.time()
    count, is_whole = 0, False
    while loop.time() - began < TRACE_PATIENCE and not (is_whole and loop.time() - changed > TRACE_STILL):
        await asyncio.sleep(0.2)
        spans = read_traces(traces, find_trace(traces, order_id))
        if len(spans) != count:
            count, changed = len(spans), loop.time()
        is_whole = any(span.service == "edge" for span in spans)


def _suggest(console: Console, url: str, category: str, order_id: str) -> None:
    lines = (
        f"curl '{url}/v1/queryTopProducts?category={category}&limit=10&metric=revenue&window=24h'",
        f"curl '{url}/v1/categories?all=true'",
        f"curl '{url}/v1/products?category={category}&pageSize=5'",
        f"curl -N '{url}/v1/queryTopProducts:watch?category={category}&limit=3'",
        f"./bazaar trace {order_id}",
        "./bazaar load checkout --seconds 10 --concurrency 8",
        "./bazaar status        ./bazaar logs worker-1        ./bazaar down",
    )
    console.print("\nTry:\n", style="bold")
    for line in lines:
        console.print("  " + line, highlight=False, markup=False, soft_wrap=True)

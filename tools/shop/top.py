"""Top 10s, read from the shop and shown."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlencode

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.kit.money import Money
from tools.shop.client import Shop

ROWS = 10
LONGEST_TITLE = 40
STILL, PATIENCE = 3.5, 20.0
"""What hasn't changed for the former many seconds, caches included, has counted everything; the latter is the longest wait for it."""


async def top(shop: Shop, category: str, **query: str | int) -> dict[str, Any]:
    """GET /v1/queryTopProducts."""
    return await shop.get("/v1/queryTopProducts?" + urlencode({"category": category, "limit": ROWS, **query}))


async def settled_top(shop: Shop, category: str) -> dict[str, Any]:
    """The Top 10 once it stands still."""
    loop = asyncio.get_running_loop()
    answer = await top(shop, category)
    changed = began = loop.time()
    while loop.time() - changed < STILL and loop.time() - began < PATIENCE:
        await asyncio.sleep(0.2)
        newer = await top(shop, category)
        if newer["products"] != answer["products"]:
            changed = loop.time()
        answer = newer
    return answer


def show_top(console: Console, category: str, answer: dict[str, Any]) -> None:
    """Prints a Top 10 as a table."""
    source = "" if answer["source"] == "LIVE" else f" ({answer['source'].lower()})"
    table = Table(title=f"Top {ROWS} of {category}, by orders{source}", title_justify="left", box=SIMPLE_HEAD)
    for name in ("#", "product", "title", "orders", "units", "revenue"):
        table.add_column(name, justify="left" if name in ("product", "title") else "right", no_wrap=True)
    for row in answer["products"]:
        title = str((row.get("product") or {}).get("title", ""))
        shown = title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"
        table.add_row(str(row["rank"]), row["productId"], escape(shown), row["orders"], row["units"], money(row["revenue"]))
    console.print(table)


def money(amount: dict[str, Any]) -> str:
    """An amount as people write it."""
    return Money(amount["currencyCode"], int(amount["minorUnits"])).display()

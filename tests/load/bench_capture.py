"""Changes of products that are captured a second, durable (fsync on), on databases of their own.

    python -m tests.load.bench_capture [--products 20000] [--profile]

Each time the products are written while no leader is at work; then one carries them into the outbox: as found, as created, as changed.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import psycopg
import uvloop
from pymongo.asynchronous.collection import AsyncCollection

from services import catalog
from services.catalog.documents import new_document
from services.catalog.model import Product, Variant, completed
from services.kit.database import Database
from services.kit.migrations import KIT_MIGRATIONS, migrate
from services.kit.mongo import Document, open_mongo
from tests.unit.catalog.capturing import Capture
from tests.unit.catalog.sample import NOW, Stores
from tools.servers import Running
from tools.servers.mongo import Mongo
from tools.servers.postgres import Postgres

_ATTRIBUTES = {"colour": "black", "sizes": ["S", "M", "L"], "weight": 1.5, "care": {"washable": True, "iron": False}, "made_in": "India"}


def listing(number: int) -> Product:
    """A product as shops list them: two variants, five attributes, a description of 600 characters; 1.4 kB stored, 1 kB as an event."""
    variants = (Variant(f"sku-{number}-s", "S", {"size": "S"}, 200), Variant(f"sku-{number}-m", "M", {"size": "M"}, 210))
    product = Product(
        title=f"Thing number {number}",
        brand="Oak & Sons",
        description="It does what it should. " * 25,
        category_path=("Clothing", "Men", f"Shelf {number % 50}"),
        attributes=_ATTRIBUTES,
        variants=variants,
        image_urls=(f"https://images.example.org/{number}.jpg",),
    )
    return completed(product, f"p{number:06}", NOW)


async def store(products: AsyncCollection[Document], numbers: range) -> None:
    for start in numbers[::1000]:
        await products.insert_many([new_document(listing(number)) for number in range(start, min(start + 1000, numbers.stop))])


async def measure(capture: Capture, count: int, what: str) -> None:
    """Has everything carried that waits, and says how fast."""
    began, worked = time.monotonic(), time.process_time()
    async with capture.running():
        while await capture.count() < count:
            await asyncio.sleep(0.1)
    seconds, worked = time.monotonic() - began, time.process_time() - worked
    async with capture.database.connection() as connection:
        await connection.execute("TRUNCATE outbox")
    print(f"{what}: {count / seconds:,.0f} a second, {worked / count * 1e6:.0f} µs of this process each")


async def bench(postgres_url: str, mongo_url: str, options: argparse.Namespace) -> None:
    folder = catalog.SERVICE.migrations
    assert isinstance(folder, Path)
    await migrate(postgres_url, [("kit", KIT_MIGRATIONS), ("catalog", folder)])
    database, client = Database(postgres_url), open_mongo(mongo_url)
    await database.open()
    capture = Capture(Stores(client, "bench"), database)
    products = client["bench"]["products"]
    await store(products, range(options.products))
    await measure(capture, options.products, "found")
    await store(products, range(options.products, 2 * options.products))
    await measure(capture, options.products, "created")
    await products.update_many({"_id": {"$lt": f"p{options.products:06}"}}, {"$set": {"brand": "Oak"}, "$inc": {"version": 1}})
    with cProfile.Profile() if options.profile else nullcontext() as profile:
        await measure(capture, options.products, "changed")
    if profile:
        profile.dump_stats("capture.prof")
    await client.close()
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    # As the processes of the shop have it.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    with tempfile.TemporaryDirectory(prefix="bzb-", dir="/tmp") as name:
        folder = Path(name)
        postgres = Postgres(folder / "postgres", folder / "pg")
        mongo = Mongo(folder / "mongo", "bench", os.urandom(16).hex())
        with Running(postgres, folder / "postgres.log"), Running(mongo, folder / "mongo.log"):
            with psycopg.connect(postgres.url(), autocommit=True) as connection:
                connection.execute("CREATE DATABASE bench")
            uvloop.run(bench(postgres.url("bench"), mongo.url, options))


if __name__ == "__main__":
    main()

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from pymongo import AsyncMongoClient
from pymongo.asynchronous import pool
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError, ServerSelectionTimeoutError
from pymongo.lock import _async_create_condition, _async_create_lock

from services.kit.mongo import open_mongo
from services.kit.telemetry import tracing
from tests.spans import recorded
from tools.servers import free_port

PERSONAL = {"_id": 1, "email": "asha@example.com"}


@pytest.fixture
async def products(mongo_url: str) -> AsyncIterator[AsyncCollection[dict[str, Any]]]:
    client: AsyncMongoClient[dict[str, Any]] = open_mongo(mongo_url)
    collection = client["kit_mongo"]["products"]
    await collection.drop()
    yield collection
    await client.close()


async def test_who_waits_for_a_connection_and_is_cancelled_twice_leaves_the_lock_free():
    assert "_async_cond_wait" in pool.Pool._get_conn.__code__.co_names
    lock = _async_create_lock()
    condition = _async_create_condition(lock)

    async def wait() -> None:
        async with condition:
            await pool._async_cond_wait(condition, 5)

    waiting = asyncio.create_task(wait())
    await settled()
    await lock.acquire()
    waiting.cancel()
    await settled()
    waiting.cancel()
    lock.release()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await settled()

    assert not lock.locked()


async def settled() -> None:
    """Lets tasks that can run do so until they wait for something."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_document_is_read_back(products: AsyncCollection[dict[str, Any]]):
    await products.insert_one({"_id": 1, "title": "tv"})

    assert await products.find_one({"_id": 1}) == {"_id": 1, "title": "tv"}


async def test_writes_wait_for_a_majority(products: AsyncCollection[dict[str, Any]]):
    assert products.write_concern.document == {"w": "majority"}


async def test_a_commands_span_names_operation_and_collection_and_no_value(products: AsyncCollection[dict[str, Any]]):
    with recorded() as spans, tracing.span("outer"):
        await products.insert_one(dict(PERSONAL))

    assert spans.named("insert products").attributes == {
        "db.system.name": "mongodb",
        "db.namespace": "kit_mongo",
        "db.operation.name": "insert",
        "db.query.summary": "insert products",
        "db.collection.name": "products",
    }


async def test_concurrent_commands_are_children_of_their_own_callers(products: AsyncCollection[dict[str, Any]]):
    async def caller(number: int) -> None:
        with tracing.span(f"caller {number}"):
            for _ in range(5):
                await products.find_one({"_id": number})

    with recorded() as spans, tracing.span("outer"):
        await asyncio.gather(*(caller(number) for number in range(20)))

    names = {span.context.span_id: span.name for span in spans.all}
    parents = [names[span.parent.span_id] for span in spans.all if span.name == "find products"]
    assert sorted(parents) == sorted(f"caller {number}" for number in range(20) for _ in range(5))


async def test_a_refused_write_is_told_by_its_code_alone(products: AsyncCollection[dict[str, Any]]):
    with recorded() as spans, tracing.span("outer"):
        await products.insert_one(dict(PERSONAL))
        with pytest.raises(DuplicateKeyError):
            await products.insert_one(dict(PERSONAL))

    assert [span.status.description for span in spans.all if span.name == "insert products"] == [None, "write error 11000"]


async def test_a_failed_command_is_told_by_its_codes_name(products: AsyncCollection[dict[str, Any]]):
    with recorded() as spans, tracing.span("outer"), pytest.raises(Exception, match="nonsense"):
        await products.database.command("nonsense")

    failed = spans.named("nonsense")
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "CommandNotFound")


async def test_a_cancelled_command_ends_its_span(products: AsyncCollection[dict[str, Any]]):
    with recorded() as spans:
        await products.insert_one({"_id": 1})
        with tracing.span("outer"):
            slow = asyncio.create_task(products.find_one({"$where": "sleep(10000) || true"}))
            while not await _is_at_work(products):
                await asyncio.sleep(0)
            slow.cancel()
            await asyncio.wait([slow])

        assert spans.named("find products").end_time is not None


async def _is_at_work(products: AsyncCollection[dict[str, Any]]) -> bool:
    running = await products.database.client.admin.command({"currentOp": 1, "command.find": products.name})
    return bool(running["inprog"])


async def test_no_server_fails_after_two_seconds():
    client = open_mongo(f"mongodb://127.0.0.1:{free_port()}/?replicaSet=rs0")
    started = time.monotonic()
    with pytest.raises(ServerSelectionTimeoutError):
        await client["shop"]["products"].find_one({})
    await client.close()

    assert 1.5 < time.monotonic() - started < 3

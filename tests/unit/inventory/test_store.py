import asyncio
import hashlib

import psycopg
import pytest

from services.inventory.levels import Level
from services.inventory.model import Allocation, Kind, Line, OutOfStock, StockAboveLimit, StockBelowZero
from services.kit.errors import Aborted, InvalidArgument
from services.kit.idempotency import Once, RequestKey
from tests.stock import Inventory, order, unkeyed


async def moved(shelf: Inventory, sku: str) -> list[tuple[str, str, int, str, str]]:
    """The ledger, oldest first."""
    entries = [movement.entry for movement in await shelf.stock.movements(sku, before=2**63 - 1, limit=100)]
    return [(of.warehouse_id, of.kind, of.units, of.reference, of.note) for of in reversed(entries)]


def keyed(key: str, content: str) -> Once:
    fingerprint = hashlib.sha256(content.encode()).digest()
    return Once(RequestKey("user:admin", "/receive", key, fingerprint), lambda balances: f"{balances[0].on_hand}".encode())


async def test_received_stock_is_on_hand_and_in_the_ledger(shelf: Inventory):
    await shelf.receive("tv", 5)

    assert await shelf.balance("tv") == (5, 0)
    assert await moved(shelf, "tv") == [("main", Kind.RECEIVED, 5, "delivery", "")]
    assert await shelf.broken() == []


async def test_one_receipt_of_a_batch_too_many_refuses_them_all(shelf: Inventory):
    with pytest.raises(StockAboveLimit):
        await shelf.stock.receive([Line("cup", 1), Line("tv", 10**15 + 1)], "main", "", once=unkeyed())

    assert await shelf.stock.balances("cup") == []
    assert await moved(shelf, "cup") == []


async def test_receipts_of_one_sku_are_answered_as_one_balance_in_the_order_first_named(shelf: Inventory):
    answer = await shelf.stock.receive([Line("tv", 5), Line("cup", 1), Line("tv", 2)], "main", "", once=unkeyed())

    assert answer == b"7/0 1/0"
    assert [units for _, _, units, _, _ in await moved(shelf, "tv")] == [5, 2]


async def test_an_adjustment_is_kept_with_its_reason(shelf: Inventory):
    await shelf.receive("tv", 5)

    assert await shelf.stock.adjust("tv", "main", -2, "broken glass", once=unkeyed()) == b"3/0"
    assert (await moved(shelf, "tv"))[1:] == [("main", Kind.ADJUSTED, -2, "", "broken glass")]


async def test_an_adjustment_cannot_take_what_is_held(shelf: Inventory):
    await shelf.receive("tv", 5)
    await shelf.reserve("tv", 4)

    with pytest.raises(StockBelowZero) as refused:
        await shelf.stock.adjust("tv", "main", -2, "theft", once=unkeyed())

    assert refused.value.metadata == {"sku": "tv", "available": "1"}
    assert await shelf.balance("tv") == (5, 4)
    assert len(await moved(shelf, "tv")) == 1


async def test_an_adjustment_can_take_what_was_held_until_its_time_was_up(shelf: Inventory):
    await shelf.receive("tv", 5)
    held = await shelf.reserve("tv", 4)
    await shelf.expire(held.order_id)

    assert await shelf.stock.adjust("tv", "main", -5, "flood", once=unkeyed()) == b"0/0"


async def test_nothing_can_be_taken_from_where_nothing_ever_was(shelf: Inventory):
    with pytest.raises(StockBelowZero):
        await shelf.stock.adjust("tv", "main", -1, "lost", once=unkeyed())

    assert await shelf.stock.balances("tv") == []


async def test_a_transfer_moves_units_under_one_reference(shelf: Inventory):
    await shelf.receive("tv", 5, "blr")

    assert await shelf.stock.transfer("tv", "blr", "del", 2, once=unkeyed()) == b"3/0 2/0"
    (_, out_of), (_, into) = [((entry[0], entry[1], entry[2]), entry[3]) for entry in (await moved(shelf, "tv"))[1:]]
    assert out_of == into
    assert [entry[:3] for entry in (await moved(shelf, "tv"))[1:]] == [("blr", Kind.TRANSFERRED, -2), ("del", Kind.TRANSFERRED, 2)]
    assert await shelf.broken() == []


async def test_a_transfer_of_more_than_is_available_changes_nothing(shelf: Inventory):
    await shelf.receive("tv", 1, "blr")

    with pytest.raises(StockBelowZero):
        await shelf.stock.transfer("tv", "blr", "del", 2, once=unkeyed())

    assert [(of.warehouse_id, of.on_hand) for of in await shelf.stock.balances("tv")] == [("blr", 1)]


async def test_a_repeated_request_gets_its_first_answer_and_books_nothing(shelf: Inventory):
    first = await shelf.stock.receive([Line("tv", 5)], "main", "", once=keyed("k", "5"))
    await shelf.receive("tv", 1)

    assert await shelf.stock.receive([Line("tv", 5)], "main", "", once=keyed("k", "5")) == first == b"5"
    assert await shelf.balance("tv") == (6, 0)


async def test_a_request_id_belongs_to_one_content(shelf: Inventory):
    await shelf.stock.receive([Line("tv", 5)], "main", "", once=keyed("k", "5"))

    with pytest.raises(InvalidArgument) as refused:
        await shelf.stock.receive([Line("tv", 6)], "main", "", once=keyed("k", "6"))

    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await shelf.balance("tv") == (5, 0)


async def test_two_requests_of_one_id_at_once_book_once(shelf: Inventory):
    same = [shelf.stock.receive([Line("tv", 5)], "main", "", once=keyed("k", "5")) for _ in range(2)]
    answers = await asyncio.gather(*same, return_exceptions=True)

    assert [answer for answer in answers if not isinstance(answer, Aborted)] in ([b"5"], [b"5", b"5"])
    assert await shelf.balance("tv") == (5, 0)


async def test_the_ledger_lists_the_newest_first_from_where_the_last_page_ended(shelf: Inventory):
    for units in (1, 2, 3):
        await shelf.receive("tv", units)

    first, second = await shelf.stock.movements("tv", before=2**63 - 1, limit=2)
    assert [first.entry.units, second.entry.units] == [3, 2]
    assert [of.entry.units for of in await shelf.stock.movements("tv", before=second.entry_id, limit=2)] == [1]


@pytest.mark.parametrize("change", ["UPDATE ledger SET units = 1", "DELETE FROM ledger", "TRUNCATE ledger"])
async def test_the_ledger_cannot_be_changed(shelf: Inventory, change: str):
    await shelf.receive("tv", 5)

    with pytest.raises(psycopg.errors.RaiseException):
        await shelf.execute(change)


async def test_an_expired_reservation_holds_nothing_before_anybody_folds_it(shelf: Inventory):
    await shelf.receive("tv", 5)
    held = await shelf.reserve("tv", 4)
    assert await shelf.balance("tv") == (5, 4)

    await shelf.expire(held.order_id)

    assert await shelf.balance("tv") == (5, 0)
    assert [level.available for level in await shelf.stock.levels(["tv"])] == [5]
    assert await shelf.rows("SELECT reserved FROM balances") == [{"reserved": 4}]


async def test_a_level_counts_all_warehouses_and_zero_for_an_unknown_sku(shelf: Inventory):
    await shelf.receive("tv", 5, "blr")
    await shelf.receive("tv", 2, "del")

    assert [(level.sku, level.available) for level in await shelf.stock.levels(["tv", "cup"])] == [("tv", 7), ("cup", 0)]
    assert (await shelf.stock.levels(["cup"]))[0] == Level("cup", 0, 0)


async def test_every_change_of_a_sku_raises_its_version(shelf: Inventory):
    versions = []
    await shelf.receive("tv", 5, "blr")
    for step in (
        lambda: shelf.receive("tv", 5, "del"),
        lambda: shelf.reserve("tv", 7, "00000000-0000-4000-8000-000000000001"),
        lambda: shelf.commit("00000000-0000-4000-8000-000000000001"),
        lambda: shelf.stock.transfer("tv", "del", "blr", 1, once=unkeyed()),
    ):
        versions.append((await shelf.stock.levels(["tv"]))[0].version)
        await step()
    versions.append((await shelf.stock.levels(["tv"]))[0].version)

    assert versions == sorted(set(versions))


async def test_a_reserve_spreads_over_warehouses_in_the_order_of_their_ids(shelf: Inventory):
    await shelf.receive("tv", 2, "del")
    await shelf.receive("tv", 2, "blr")

    held = await shelf.reserve("tv", 3)

    assert held.allocations == (Allocation("tv", "blr", 2), Allocation("tv", "del", 1))


async def test_a_refused_reserve_leaves_no_trace(shelf: Inventory):
    await shelf.receive("tv", 1)
    wanted = order()

    with pytest.raises(OutOfStock):
        await shelf.reserve("tv", 2, wanted)

    assert await shelf.rows("SELECT * FROM reservations") == []
    assert await shelf.balance("tv") == (1, 0)


async def test_the_order_of_a_refused_reserve_may_try_again(shelf: Inventory):
    await shelf.receive("tv", 1)
    wanted = order()
    with pytest.raises(OutOfStock):
        await shelf.reserve("tv", 2, wanted)
    await shelf.receive("tv", 1)

    assert (await shelf.reserve("tv", 2, wanted)).allocations == (Allocation("tv", "main", 2),)


async def test_a_sweep_folds_what_nobody_asks_for(shelf: Inventory):
    for sku in ("tv", "cup"):
        await shelf.receive(sku, 5)
    live = await shelf.reserve("tv", 1)
    for sku in ("tv", "cup"):
        await shelf.expire((await shelf.reserve(sku, 4)).order_id)

    assert await shelf.reservations.sweep() == 2
    assert await shelf.reservations.sweep() == 0
    assert await shelf.rows("SELECT sku, reserved FROM balances ORDER BY sku") == [
        {"sku": "cup", "reserved": 0},
        {"sku": "tv", "reserved": 1},
    ]
    assert await shelf.rows("SELECT order_id FROM holds") == [{"order_id": live.order_id}]
    assert await shelf.broken() == []


async def test_a_clock_set_back_brings_no_folded_reservation_to_life(shelf: Inventory):
    await shelf.receive("tv", 4)
    held = await shelf.reserve("tv", 4)
    await shelf.expire(held.order_id)
    await shelf.reservations.sweep()
    # As if the fold had happened by a clock that ran ahead: by the clock of now the reservation is still alive.
    await shelf.execute("UPDATE reservations SET expires_at = now() + interval '1 hour'")
    await shelf.execute("UPDATE balances SET folded_until = now() + interval '1 hour'")

    await shelf.commit(held.order_id)

    assert await shelf.balance("tv") == (0, 0)
    assert await shelf.broken() == []


async def test_a_change_is_told_after_its_commit(shelf: Inventory):
    await shelf.receive("tv", 5)
    await shelf.reserve("tv", 1)

    assert shelf.changed == ["tv", "tv"]

"""What holds after every step, and what besides once everything has had its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from services.inventory.model import State as Stock
from services.orders.model import Order, State
from services.payments.model import State as Paid
from tests.simulation.world import World

_EVENTS = {
    State.PAYMENT_PENDING: "OrderCreated",
    State.PAYMENT_FAILED: "OrderPaymentFailed",
    State.CONFIRMED: "OrderPlaced",
    State.CANCELLING: "OrderCancelling",
    State.CANCELLED: "OrderCancelled",
}
_GIVEN_BACK = {Paid.VOIDED, Paid.REFUNDING, Paid.REFUNDED}
_WAITS_FOR_ITS_GATEWAY = {Paid.PENDING, Paid.AUTHORIZED, Paid.REFUNDING}


def broken(world: World) -> list[str]:
    """What doesn't hold though it should at any time."""
    return [*_stock(world), *_orders(world), *_money(world), *_keys(world), *_events(world)]


def unsettled(world: World) -> list[str]:
    """What isn't over though everything has had its time."""
    return [*broken(world), *_ends(world)]


def _stock(world: World) -> Iterator[str]:
    """Nothing is oversold: what is on hand is what came less what orders took; what is reserved is what is held."""
    gone, held = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for reservation in world.stock.reservations.values():
        if reservation.state is Stock.COMMITTED:
            gone.update({(part.sku, part.warehouse_id): part.quantity for part in reservation.allocations})
    for hold in world.stock.holds:
        held[hold.allocation.sku, hold.allocation.warehouse_id] += hold.allocation.quantity
    for key, balance in world.stock.balances.items():
        if not 0 <= balance.reserved <= balance.on_hand:
            yield f"{key} is oversold: {balance}"
        if balance.on_hand != world.received[key] - gone[key] or balance.reserved != held[key]:
            yield f"{key} has {balance}, but {world.received[key]} came, {gone[key]} went and {held[key]} are held"


def _orders(world: World) -> Iterator[str]:
    """A confirmed order has its stock and its money, a cancelled one neither; any other has a deadline."""
    for order in world.orders.rows.values():
        stock, paid = world.stock.reservations.get(order.order_id), world.payments.rows.get(order.order_id)
        if order.state is State.CONFIRMED:
            assert order.content is not None
            if stock is None or stock.state is not Stock.COMMITTED:
                yield f"{order} is confirmed without stock: {stock}"
            elif {line.sku: line.quantity for line in stock.lines} != {line.sku: line.quantity for line in order.content.lines}:
                yield f"{order} has other stock: {stock}"
            if paid is None or paid.state not in (Paid.ACCEPTED, Paid.CAPTURED) or paid.amount is None:
                yield f"{order} is confirmed without payment: {paid}"
            elif paid.amount.minor_units != order.content.total:
                yield f"{order} has paid another amount: {paid}"
        elif order.state is State.CANCELLED:
            if stock and stock.state in (Stock.HELD, Stock.COMMITTED):
                yield f"{order} is cancelled and has stock: {stock}"
            if order.is_submitted and (paid is None or paid.state not in _GIVEN_BACK):
                yield f"{order} is cancelled and its payment is {paid}"
        elif order.due_at is None:
            yield f"{order} has no deadline"


def _money(world: World) -> Iterator[str]:
    """By the bank's own books: captured at most once, given back at most once, and confirmed orders have theirs captured."""
    for payment_id, moved in world.bank.moved.items():
        if moved["CAPTURED"] > 1 or moved["REFUNDED"] > moved["CAPTURED"]:
            yield f"{payment_id} moved money as {moved}"
    for payment in world.payments.rows.values():
        if payment.gateway and payment.state in _WAITS_FOR_ITS_GATEWAY and payment.due_at is None:
            yield f"{payment} has no deadline"
        if payment.state is Paid.CAPTURED and not world.bank.moved[payment.payment_id]["CAPTURED"]:
            yield f"{payment} was never captured"


def _keys(world: World) -> Iterator[str]:
    """However often a request is repeated, one order at most is placed for it."""
    for key, opened in world.orders.opened_for.items():
        if len(placed := [order_id for order_id in opened if world.orders.rows[order_id].was_placed]) > 1:
            yield f"{key} placed {placed}"


def _events(world: World) -> Iterator[str]:
    """Every change of an order that anybody could see is told once, in order."""
    for order in world.orders.rows.values():
        told = [event.type.rpartition(".")[2] for event in world.bus.events["orders", order.order_id]]
        if order.is_submitted and told != (wanted := [_EVENTS[entry.state] for entry in order.timeline if entry.state in _EVENTS]):
            yield f"{order} went through {wanted} but {told} was told"


def _ends(world: World) -> Iterator[str]:
    """Every order is confirmed or cancelled, and money is only where an order is."""
    for order in world.orders.rows.values():
        if order.state not in (State.CONFIRMED, State.CANCELLED):
            yield f"{order} has not ended"
        yield from _kept(world, order)
    if world.stock.holds:
        yield f"stock is held for nobody: {world.stock.holds}"


def _kept(world: World, order: Order) -> Iterator[str]:
    payment = world.payments.rows.get(order.order_id)
    if payment is None or not payment.gateway:
        return
    moved = world.bank.moved[payment.payment_id]
    if moved["CAPTURED"] - moved["REFUNDED"] != (order.state is State.CONFIRMED):
        yield f"{order} is over and the bank has moved {moved}"

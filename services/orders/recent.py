"""Orders as this process left them: who goes on with one need not read it first.

What is remembered is a guess. Whoever acts on it lets the database compare it with what is stored, in the transaction that it writes in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import field
from datetime import datetime, timedelta

from services.kit.values import value
from services.orders.model import Order, State

_MOST = 2000
"""Orders remembered; a checkout takes a second, so that the oldest of so many were left by one that died."""

DOUBT_SECONDS = 10.0
"""After a wrong guess, for so long nobody guesses: where several processes take an order's steps in turn, most guesses would be wrong."""

_ON_THE_WAY = (State.CREATED, State.PAYMENT_PENDING)
"""States that the next step of a checkout leads out of."""


@value
class Left:
    """An order as it was left."""

    order: Order
    at: datetime
    """By the database's clock, and the same by this process's own:"""
    monotonic: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """The database's time, as far as this process can tell: behind it by as long as the answer took."""
        return self.at + timedelta(seconds=time.monotonic() - self.monotonic)

    def followed_by(self, order: Order) -> Left:
        """The order as it is left next."""
        return Left(order, self.at, self.monotonic)


class Recent:
    """The orders that are on their way through a checkout."""

    def __init__(self) -> None:
        self._left: dict[str, Left] = {}
        self._doubted_at = -math.inf

    def note(self, left: Left) -> None:
        """Remembers an order, if there is a next step."""
        order = left.order
        self._left.pop(order.order_id, None)
        if order.state in _ON_THE_WAY:
            self._left[order.order_id] = left
        if len(self._left) > _MOST:
            del self._left[next(iter(self._left))]

    def take(self, order_ids: Collection[str]) -> dict[str, Left] | None:
        """These orders, which are forgotten here; None unless all of them were remembered, and no guess was wrong lately."""
        found = {order_id: left for order_id in order_ids if (left := self._left.pop(order_id, None))}
        is_doubted = time.monotonic() - self._doubted_at < DOUBT_SECONDS
        return None if is_doubted or len(found) < len(order_ids) else found

    def doubt(self) -> None:
        """What was taken was not so any more."""
        self._doubted_at = time.monotonic()

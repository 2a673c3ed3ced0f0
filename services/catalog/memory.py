"""Products as one process knows them: what it was told by MongoDB, until MongoDB's change stream tells of a change.

Nobody can say at no cost that there was no change. So what is kept may be told for `TRUSTED_SECONDS` after the stream was asked and had
nothing more to tell; and who changes a product answers `SETTLED_SECONDS` after the change is stored, when no process tells of what was
before. An answered change is seen by all, as if there were no memory. A product that is not known is asked for: a new one needs no waiting.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager

from services.catalog import wire
from services.catalog.model import BRIEF, Product

TRUSTED_SECONDS = 0.5
SETTLED_SECONDS = 0.55
"""Longer than what is kept is trusted: no two clocks run alike."""

MOST_PRODUCTS = 4096
MOST_BYTES = 4096
"""Of a product that is kept."""


class Memory:
    """Products as far as model.BRIEF goes, for which one change stream vouches from its beginning on.

    Args:
        monotonic: the clock of trust, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._trusted_until = 0.0
        self._products: OrderedDict[str, Product] = OrderedDict()
        """By id; the one asked for last comes last."""
        self._ids: dict[str, str] = {}
        """Product ids by SKU, of those above."""
        self._questions: list[set[str]] = []

    def find(self, product_ids: Iterable[str], skus: Iterable[str]) -> list[Product] | None:
        """The products that have these ids or one of these SKUs, by id, each once; None where one isn't known."""
        if self._monotonic() >= self._trusted_until:
            return None
        found: dict[str, Product] = {}
        for product_id in (*product_ids, *(self._ids.get(sku, "") for sku in skus)):
            if (product := self._products.get(product_id)) is None:
                return None
            self._products.move_to_end(product_id)
            found[product_id] = product
        return [found[product_id] for product_id in sorted(found)]

    @contextmanager
    def question(self) -> Generator[set[str], None, None]:
        """Around a question: what changed while it was under way, which its answer may have missed."""
        changed: set[str] = set()
        self._questions.append(changed)
        try:
            yield changed
        finally:
            # Not by ==: those during which nothing changed are equal.
            self._questions[:] = [each for each in self._questions if each is not changed]

    def keep(self, products: Iterable[Product], changed: Collection[str]) -> None:
        """Keeps what a question brought, but for what changed meanwhile and what is large."""
        for product in products:
            if product.product_id not in changed and wire.to_proto(product, BRIEF).ByteSize() <= MOST_BYTES:
                self._products[product.product_id] = product
                self._products.move_to_end(product.product_id)
                self._ids.update((variant.sku, product.product_id) for variant in product.variants)
        while len(self._products) > MOST_PRODUCTS:
            self._forget(next(iter(self._products)))

    def heard(self, changed: Sequence[str], *, all_since: float | None) -> None:
        """Takes in what the stream told.

        Args:
            changed: ids of products.
            all_since: when the stream was asked, if that is all there was to tell by then.
        """
        for question in self._questions:
            question.update(changed)
        for product_id in changed:
            self._forget(product_id)
        if all_since is not None:
            self._trusted_until = all_since + TRUSTED_SECONDS

    def _forget(self, product_id: str) -> None:
        if product := self._products.pop(product_id, None):
            for variant in product.variants:
                self._ids.pop(variant.sku, None)

"""What one process keeps of the products, and when it may tell of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.catalog import memory as memories
from services.catalog.memory import SETTLED_SECONDS, TRUSTED_SECONDS, Memory
from services.catalog.model import Product, State, Variant
from tests.clock import Clock

PEN = Product("pen", title="Pen", variants=(Variant("pen-red"), Variant("pen-blue")))
CUP = Product("cup", title="Cup", variants=(Variant("cup"),))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Memory:
    """Heard a moment ago that nothing has changed."""
    memory = Memory(clock)
    memory.heard([], all_since=clock.seconds)
    return memory


def keep(memory: Memory, *products: Product) -> None:
    with memory.question() as changed:
        memory.keep(products, changed)


def test_what_was_kept_is_found_by_id_and_by_sku_each_once(memory: Memory) -> None:
    keep(memory, PEN, CUP)

    assert memory.find(["pen"], ["pen-blue", "pen-red", "cup"]) == [CUP, PEN]


def test_where_one_is_not_known_nothing_is_found(memory: Memory) -> None:
    keep(memory, PEN)

    assert memory.find(["pen", "cup"], []) is None
    assert memory.find([], ["pen-red", "cup"]) is None


def test_what_has_changed_is_forgotten_with_its_skus(memory: Memory) -> None:
    keep(memory, PEN, CUP)

    memory.heard(["pen"], all_since=None)

    assert memory.find(["pen"], []) is None
    assert memory.find([], ["pen-blue"]) is None
    assert memory.find(["cup"], []) == [CUP]


def test_what_changed_while_it_was_asked_for_is_not_kept(memory: Memory) -> None:
    with memory.question() as early, memory.question() as late:
        memory.heard(["pen"], all_since=None)
        memory.keep([PEN], early)
        memory.keep([CUP], late)

    assert memory.find(["pen"], []) is None
    assert memory.find(["cup"], []) == [CUP]


def test_a_change_before_the_question_is_in_its_answer(memory: Memory) -> None:
    memory.heard(["pen"], all_since=None)

    keep(memory, PEN)

    assert memory.find(["pen"], []) == [PEN]


def test_nothing_is_told_by_one_who_has_heard_nothing_for_too_long(memory: Memory, clock: Clock) -> None:
    keep(memory, PEN)

    clock.seconds += TRUSTED_SECONDS - 0.001
    assert memory.find(["pen"], []) == [PEN]
    clock.seconds += 0.001
    assert memory.find(["pen"], []) is None


def test_an_answer_counts_from_when_it_was_asked_for(memory: Memory, clock: Clock) -> None:
    keep(memory, PEN)
    asked_at = clock.seconds
    clock.seconds += TRUSTED_SECONDS

    memory.heard([], all_since=asked_at)

    assert memory.find(["pen"], []) is None


def test_who_heard_only_a_part_has_heard_nothing(memory: Memory, clock: Clock) -> None:
    keep(memory, PEN)
    clock.seconds += TRUSTED_SECONDS

    memory.heard(["cup"], all_since=None)

    assert memory.find(["pen"], []) is None


def test_a_change_is_answered_after_all_trust_in_what_was_before() -> None:
    assert TRUSTED_SECONDS < SETTLED_SECONDS


def test_a_large_product_is_not_kept(memory: Memory) -> None:
    large = replace(CUP, image_urls=tuple(f"https://pictures/{place:04}" for place in range(200)))

    keep(memory, PEN, large)

    assert memory.find(["pen"], []) == [PEN]
    assert memory.find(["cup"], []) is None


def test_the_one_asked_for_longest_ago_makes_room(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "MOST_PRODUCTS", 2)
    keep(memory, PEN)
    keep(memory, CUP)
    memory.find(["pen"], [])

    keep(memory, Product("hat", state=State.ACTIVE, variants=(Variant("hat"),)))

    assert memory.find(["pen", "hat"], []) is not None
    assert memory.find([], ["cup"]) is None

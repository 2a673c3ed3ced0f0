import asyncio
import time
from collections.abc import Sequence

import pytest

from services.kit.batching import Coalescer
from services.kit.errors import DeadlineExceeded, Overloaded
from services.kit.telemetry import tracing
from tests.spans import recorded


class Work:
    """Notes its batches; answers each item with its position in the batch. A gate holds a batch in flight."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.started = asyncio.Semaphore(0)
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: Sequence[str]) -> list[str]:
        self.batches.append(list(items))
        self.started.release()
        await self.gate.wait()
        return [f"{item}:{position}" for position, item in enumerate(items)]

    async def hold(self, coalescer: Coalescer[str, str]) -> asyncio.Task[str]:
        """Puts a batch of the one item "first" in flight and keeps it there until the gate opens."""
        self.gate.clear()
        first = asyncio.create_task(coalescer.submit("first"))
        await self.started.acquire()
        return first


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def coalescer(work: Work) -> Coalescer[str, str]:
    return Coalescer("test", work)


def submit(coalescer: Coalescer[str, str], *items: str) -> list[asyncio.Task[str]]:
    return [asyncio.create_task(coalescer.submit(item)) for item in items]


async def settle() -> None:
    """Lets tasks that can run do so until they wait for something."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_item_that_finds_nothing_in_flight_leaves_at_once(coalescer: Coalescer[str, str], work: Work):
    assert await coalescer.submit("a") == "a:0"
    assert work.batches == [["a"]]


async def test_outcomes_go_to_their_callers_in_the_order_of_arrival(coalescer: Coalescer[str, str], work: Work):
    assert await asyncio.gather(*submit(coalescer, "c", "a", "b")) == ["c:0", "a:1", "b:2"]
    assert work.batches == [["c", "a", "b"]]


async def test_the_next_batch_collects_while_one_commits(coalescer: Coalescer[str, str], work: Work):
    first = await work.hold(coalescer)
    others = submit(coalescer, "a", "b")
    await settle()
    others += submit(coalescer, "c")
    await settle()
    assert work.batches == [["first"]]
    work.gate.set()

    assert await asyncio.gather(first, *others) == ["first:0", "a:0", "b:1", "c:2"]
    assert work.batches == [["first"], ["a", "b", "c"]]


async def test_a_batch_is_bounded(work: Work):
    coalescer = Coalescer("test", work, max_batch=2)
    await asyncio.gather(*submit(coalescer, "a", "b", "c"))

    assert work.batches == [["a", "b"], ["c"]]


async def test_a_full_queue_refuses_at_once(work: Work):
    coalescer = Coalescer("test", work, max_queue=2)
    first = await work.hold(coalescer)
    waiting = submit(coalescer, "a", "b")
    await settle()

    with pytest.raises(Overloaded) as caught:
        await coalescer.submit("c")
    work.gate.set()

    assert caught.value.metadata == {"queue": "test"}
    assert await asyncio.gather(first, *waiting) == ["first:0", "a:0", "b:1"]


async def test_the_batch_goes_on_when_all_its_callers_are_cancelled_while_it_runs(coalescer: Coalescer[str, str], work: Work):
    first = await work.hold(coalescer)
    first.cancel()
    await settle()
    later = submit(coalescer, "later")
    await settle()
    assert work.batches == [["first"]]
    work.gate.set()

    assert await later[0] == "later:0"
    assert first.cancelled()
    assert work.batches == [["first"], ["later"]]


async def test_one_callers_cancellation_leaves_the_others_outcomes(coalescer: Coalescer[str, str], work: Work):
    work.gate.clear()
    callers = submit(coalescer, "a", "b", "c")
    await work.started.acquire()
    callers[1].cancel()
    work.gate.set()

    assert await asyncio.gather(callers[0], callers[2]) == ["a:0", "c:2"]


async def test_an_item_whose_caller_left_before_the_batch_is_not_decided(coalescer: Coalescer[str, str], work: Work):
    first = await work.hold(coalescer)
    gone, stays = submit(coalescer, "gone", "stays")
    await settle()
    gone.cancel()
    work.gate.set()

    assert await asyncio.gather(first, stays) == ["first:0", "stays:0"]
    assert work.batches == [["first"], ["stays"]]


async def test_an_item_past_its_deadline_is_dropped_before_its_batch_starts(coalescer: Coalescer[str, str], work: Work):
    first = await work.hold(coalescer)
    late = asyncio.create_task(coalescer.submit("late", deadline=time.monotonic()))
    in_time = asyncio.create_task(coalescer.submit("in time", deadline=time.monotonic() + 60))
    await settle()
    work.gate.set()

    with pytest.raises(DeadlineExceeded):
        await late
    assert await asyncio.gather(first, in_time) == ["first:0", "in time:0"]
    assert work.batches == [["first"], ["in time"]]


async def test_items_of_one_key_do_not_share_a_batch(work: Work):
    coalescer = Coalescer("test", work, key=lambda item: item[0])
    await asyncio.gather(*submit(coalescer, "a1", "b1", "a2", "a3", "c1"))

    assert work.batches == [["a1", "b1", "c1"], ["a2"], ["a3"]]


async def test_a_batch_and_its_callers_link_each_other(coalescer: Coalescer[str, str]):
    async def call(item: str) -> None:
        with tracing.span(f"call {item}"):
            await coalescer.submit(item)

    with recorded() as spans:
        await asyncio.gather(call("a"), call("b"))

        batch, callers = spans.named("batch test"), [spans.named("call a"), spans.named("call b")]
    assert batch.parent is None
    assert [link.context for link in batch.links] == [caller.context for caller in callers]
    assert [[link.context for link in caller.links] for caller in callers] == [[batch.context]] * 2
    assert batch.attributes == {"bazaar.batch.size": 2}


async def test_a_batch_whose_callers_are_not_traced_is_not_traced(coalescer: Coalescer[str, str]):
    with recorded() as spans:
        await coalescer.submit("a")

        assert spans.all == []

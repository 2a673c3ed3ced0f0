"""Goes through the cases, in several lanes at once."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

from grpc.aio import AioRpcError

from tests.chaos.failpoints.cases import Case
from tests.chaos.failpoints.kinds import Kind
from tests.chaos.failpoints.lane import Lane
from tests.chaos.failpoints.stories import STORIES, UNITS, Errand, prepared, sees_another_title
from tests.chaos.steps import expire_claims, let_time_pass
from tests.shop import Shop, eventually

BIRTH = "is born"
"""The story of what a process passes before anybody comes to it."""

_FIRST = next(iter(STORIES))
_ATTEMPTS = 4
_CAPTURE = ("catalog/places.py", "kit/change_stream.py", "kit/changes.py")
_CATALOGUE = sees_another_title.__name__
_BIRTH_SECONDS = 3.0
_REACH_SECONDS = 6.0
_FOLLOW_SECONDS = 2.0
_END_SECONDS = 15.0
_HANG_UP_SECONDS = 3.0
_CASE_SECONDS = 60.0


class Campaign:
    """The outcomes of cases, each as soon as it is known.

    Args:
        lanes: where they happen; each does one at a time.
    """

    def __init__(self, lanes: Sequence[Lane], cases: Sequence[Case]) -> None:
        loop = asyncio.get_running_loop()
        self.passed: dict[str, list[str]] = {}
        self._outcomes: dict[Case, asyncio.Future[None]] = {case: loop.create_future() for case in cases}
        self._lanes = lanes
        self._left = iter(cases)
        self._work: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Finds out which stories pass each failpoint, and begins."""
        order = [BIRTH, *STORIES]
        stories = iter(order)
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(self._look(lane, stories))
        for name, found in self.passed.items():
            found.sort(key=order.index)
            # Every story begins with products, whose capture falls into it or doesn't, as it happens.
            if name.startswith(_CAPTURE) and _CATALOGUE in found:
                found[:] = [_CATALOGUE]
        self._work = [asyncio.create_task(self._go_through(lane)) for lane in self._lanes]

    async def end(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def outcome(self, case: Case) -> None:
        """Waits for a case; raises what was wrong."""
        await self._outcomes[case]

    async def _look(self, lane: Lane, stories: Iterator[str]) -> None:
        await lane.start()
        for story in stories:
            await _passed_by(lane, story)
            for name in lane.passed:
                self.passed.setdefault(name, []).append(story)

    async def _go_through(self, lane: Lane) -> None:
        for case in self._left:
            outcome = self._outcomes[case]
            try:
                async with asyncio.timeout(_CASE_SECONDS):
                    await run(lane, case, self.passed.get(case.failpoint, ()))
                outcome.set_result(None)
            except Exception as error:
                outcome.set_exception(error)
                await lane.restart()


async def _passed_by(lane: Lane, story: str) -> None:
    """Has the lane note what is passed in a story."""
    errand, other = await _errands(lane, story)
    if story == BIRTH:
        # A new process finds what has been done, and what is still to be done.
        await STORIES[_FIRST](lane, other)
        assert await lane.violations() == []
        await STORIES[_FIRST](lane, errand)
        await lane.restart(record=True)
        await asyncio.sleep(_BIRTH_SECONDS)
    else:
        await lane.tell(record=True)
        await lane.forget_scripts()
        await STORIES[story](lane, errand)
        assert await lane.violations() == [], story


async def run(lane: Lane, case: Case, stories: Sequence[str]) -> None:
    """Lets a case happen, and sees to it that nothing comes of it.

    Args:
        stories: those that pass the failpoint.
    """
    assert stories, f"no story passes {case.failpoint}"
    if BIRTH in stories and len(stories) <= len(STORIES) / 2:
        # Done now and then, and first of all.
        story = _FIRST
        errands = await _fail_at_birth(lane, case, story)
    else:
        story, errands = await _fail(lane, case, [story for story in stories if story != BIRTH])
    await _recover(lane, story, errands)
    violations = set(await lane.violations())
    new, lane.known = violations - lane.known, lane.known | violations
    assert new == set(), f"{case} while a customer {story}: {sorted(new)}"


async def _fail_at_birth(lane: Lane, case: Case, story: str) -> list[Errand]:
    """Leaves a new process something to do first; returns what two customers are about then."""
    before, errands = await _errands(lane, story), await _errands(lane, story)
    await STORIES[story](lane, before[0])
    await lane.restart(name=case.failpoint, kind=case.kind)
    if not await lane.reached(_REACH_SECONDS):
        # Its predecessor has left it nothing to do.
        assert await _happens(lane, case, story, errands), f"{case} was not reached"
    elif await lane.survives(case.kind):
        await lane.tell()
    else:
        await lane.start()
    return errands


async def _fail(lane: Lane, case: Case, stories: Sequence[str]) -> tuple[str, list[Errand]]:
    """Has two customers do the same until the case happens; returns their story, and what they were about."""
    for attempt in range(_ATTEMPTS):
        story = _one_of(stories, case, attempt)
        if attempt:
            # Some of what a process does it does only once, and some belonged to what went before.
            await lane.restart()
        errands = await _errands(lane, story)
        await lane.tell(name=case.failpoint, kind=case.kind)
        await lane.forget_scripts()
        if await _happens(lane, case, story, errands):
            return story, errands
    raise AssertionError(f"{case} was not reached, whatever a customer did")


async def _happens(lane: Lane, case: Case, story: str, errands: Sequence[Errand]) -> bool:
    """Has customers come to a process that fails; whether it does."""
    tasks = [asyncio.create_task(_cut_off(STORIES[story](lane, errand))) for errand in errands]
    try:
        if not await _comes_there(lane, tasks):
            return False
        if await lane.survives(case.kind):
            # A caller whose call is cancelled has hung up; these don't know it.
            await asyncio.wait(tasks, timeout=_HANG_UP_SECONDS if case.kind is Kind.CANCELLED else _END_SECONDS)
            await lane.tell()
        return True
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if not lane.is_up:
            await lane.start()


async def _comes_there(lane: Lane, tasks: Sequence[asyncio.Task[None]]) -> bool:
    reached = asyncio.create_task(lane.reached(_REACH_SECONDS))
    done = asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait([reached, done], return_when=asyncio.FIRST_COMPLETED)
    if not reached.done():
        # What follows from what they did follows soon.
        reached.cancel()
        return await lane.reached(_FOLLOW_SECONDS)
    return reached.result()


async def _cut_off(story) -> None:
    with suppress(AioRpcError, AssertionError):
        await story


async def _recover(lane: Lane, story: str, errands: Sequence[Errand]) -> None:
    """The first customer tries again, the other one never comes back; time passes."""
    again, gone = errands
    for errand in errands:
        await expire_claims(lane, errand.customer)
    await STORIES[story](lane, again)
    await let_time_pass(lane, gone.customer)
    await lane.execute("payments", "UPDATE payments SET due_at = now() WHERE due_at > now()")
    await eventually(lambda: _under_way(lane), [], _END_SECONDS)


async def _under_way(shop: Shop) -> list[tuple[str, ...]]:
    """What is overdue, or has been begun: nobody may be at work while it is judged."""
    found: list[tuple[str, ...]] = []
    for service, begun in (("orders", "'CANCELLING', 'PAYMENT_FAILED'"), ("payments", "'AUTHORIZED', 'REFUNDING'")):
        look = f"SELECT order_id::text, state FROM {service} WHERE due_at <= now() OR state IN ({begun})"
        found += await shop.execute(service, look)
    return found


async def _errands(lane: Lane, story: str) -> list[Errand]:
    """Of two customers, who want the same."""
    sku = await lane.stocked(UNITS.get(story, 10))
    return await asyncio.gather(*(prepared(lane, sku, units=UNITS.get(story, 2)) for _ in range(2)))


def _one_of(stories: Sequence[str], case: Case, attempt: int) -> str:
    return stories[(zlib.crc32(str(case).encode()) + attempt) % len(stories)]

"""Orders, stock and payments under everything that can go wrong at once, step after step.

The rules are the services' own: saga, settlement, clearing, stockroom, states. What is in memory are stores, bus and gateway. A process
may die or freeze at any effect and wake much later; events come again, webhooks twice, late or never; the clock jumps past deadlines.
BAZAAR_SIMULATION_STEPS says how many steps to take (20,000 unless set); with it, every run takes other ones.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import grpc
import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from services.kit.errors import DomainError
from tests.simulation.bank import Mood
from tests.simulation.clockwork import Crash, Process, Stop
from tests.simulation.laws import broken, unsettled
from tests.simulation.world import SKUS, WAREHOUSES, World

STEPS = int(os.environ.get("BAZAAR_SIMULATION_STEPS", "20000"))
STEPS_A_RUN = 100
_LEAST_A_RUN = 65
"""On an average: some end sooner."""

BODIES = [
    ({"cup": 1}, "COD"),
    ({"cup": 2, "pen": 1}, "UPI"),
    ({"pen": 3}, "CARD"),
    ({"cup": 4}, "UPI"),
    ({"pen": 2, "cup": 1}, "COD"),
    ({"pen": 1}, "CARD"),
    ({"pen": 7}, "UPI"),
]
"""What each key orders; more, all together, than there is."""

_SETTLING = 100
"""Rounds that everything has at the end, each until something is due: the longest wait is a customer's quarter of an hour."""

stops = st.integers(-30, 59).map(lambda number: Stop(number // 2, is_for_ever=number % 2 == 0) if number >= 0 else None)
"""Where the process of a step stops, if it does: an order takes some 40 effects."""
any_of = st.integers(0, 15)
keys = st.integers(0, len(BODIES) - 1)


class Simulation(RuleBasedStateMachine):
    """Steps of customers, their bank, the timers, the bus, and what befalls them."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(numbers=st.lists(keys, min_size=2, max_size=4))
    def open_with_customers(self, numbers: list[int]) -> None:
        for number in numbers:
            self.place(number, None)

    @rule(number=keys, stop=stops)
    def place(self, number: int, stop: Stop | None) -> None:
        self._run(self.world.place(f"key-{number}", *BODIES[number]), stop)

    @precondition(lambda self: self.world.orders.rows)
    @rule(which=any_of, stop=stops)
    def cancel(self, which: int, stop: Stop | None) -> None:
        self._run(self.world.cancel(_pick(list(self.world.orders.rows), which)), stop)

    @precondition(lambda self: self.world.bank.payments)
    @rule(which=any_of, declines=st.sampled_from([False, False, True]), is_late=st.booleans())
    def pay(self, which: int, declines: bool, is_late: bool) -> None:
        self.world.bank.pay(_pick(list(self.world.bank.payments), which), declines=declines, is_late=is_late)

    @precondition(lambda self: self.world.bank.webhooks)
    @rule(which=any_of, stop=stops)
    def hear_webhook(self, which: int, stop: Stop | None) -> None:
        # It may come again: the gateway never heard that it arrived.
        self._run(self.world.hear_webhook(_pick(self.world.bank.webhooks, which)), stop)

    @precondition(lambda self: self.world.payments.rows)
    @rule(which=any_of, again=st.integers(0, 3), stop=stops)
    def deliver(self, which: int, again: int, stop: Stop | None) -> None:
        order_id = _pick(self.world.bus.unread("payments") or list(self.world.payments.rows), which)
        self._run(self.world.deliver(order_id, again), stop)

    @rule(stop=stops)
    def reap(self, stop: Stop | None) -> None:
        self._run(self.world.settlement.reap(), stop)

    @rule(stop=stops)
    def clear(self, stop: Stop | None) -> None:
        self._run(self.world.clearing.clear(), stop)

    @rule()
    def sweep(self) -> None:
        self.world.stock.fold(SKUS)

    @rule(seconds=st.sampled_from([1, 3, 6, 12, 70, 1000]))
    def pass_time(self, seconds: int) -> None:
        self.world.clockwork.pass_time(seconds)

    @precondition(lambda self: self.world.clockwork.frozen)
    @rule(which=any_of, dies=st.booleans())
    def wake(self, which: int, dies: bool) -> None:
        clockwork = self.world.clockwork
        process = _pick(clockwork.frozen, which)
        (clockwork.kill if dies else clockwork.go_on)(process)
        _check(process)

    @rule(mood=st.sampled_from(["well", "well", "down", "unknown"]))
    def change_the_banks_mood(self, mood: Mood) -> None:
        self.world.bank.mood = mood

    @rule(sku=st.sampled_from(SKUS), place=st.sampled_from(WAREHOUSES))
    def receive(self, sku: str, place: str) -> None:
        self.world.receive((sku, place), 1)

    @invariant()
    def the_laws_hold(self) -> None:
        Simulation.steps += 1
        assert broken(self.world) == []

    def teardown(self) -> None:
        try:
            self._settle()
            assert unsettled(self.world) == []
        finally:
            self.world.clockwork.close()

    def _settle(self) -> None:
        """The gateway is well, frozen processes wake, and time passes until nothing is left to do."""
        world = self.world
        world.bank.mood = "well"
        for process in list(world.clockwork.frozen):
            world.clockwork.go_on(process)
            _check(process)
        # What is captured after the gateway itself has confirmed the void is learnt from its webhook alone.
        for body in [body for body in world.bank.webhooks if world.bank.was_voided(body)]:
            self._run(world.hear_webhook(body), None)
        for _ in range(_SETTLING):
            for order_id in world.bus.unread("payments"):
                self._run(world.deliver(order_id, 0), None)
            self._run(world.settlement.reap(), None)
            self._run(world.clearing.clear(), None)
            world.stock.fold(SKUS)
            if not (wait := world.until_something_is_due()) and not world.bus.unread("payments"):
                return
            world.clockwork.pass_time(wait or 0)

    def _run(self, work: Any, stop: Stop | None) -> None:
        _check(self.world.clockwork.run(work, stop))


def _pick(among: Any, which: int) -> Any:
    return among[which % len(among)]


def _check(process: Process) -> None:
    """What ends an attempt is what the rules foresee, or its death."""
    task = process.task
    assert task is not None
    if task.done() and not task.cancelled() and (error := task.exception()):
        if isinstance(error, Crash | DomainError):
            return
        if not isinstance(error, grpc.aio.AioRpcError) or error.code() is grpc.StatusCode.INTERNAL:
            raise error


@pytest.fixture
def quiet() -> Any:
    """What a failing attempt logs would fill books."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("services.orders.settlement", "services.payments.clearing", "services.checkout.saga", "services.kit.rpc.calls"):
            silent = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
            patch.setattr(f"{module}._log", silent)
        yield


@pytest.mark.timeout(0 if STEPS > 20_000 else 240)
def test_whatever_happens_in_whatever_order_the_laws_hold(quiet: None):
    run_state_machine_as_test(
        Simulation,
        settings=settings(
            max_examples=STEPS // _LEAST_A_RUN + 1,
            stateful_step_count=STEPS_A_RUN,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            derandomize="BAZAAR_SIMULATION_STEPS" not in os.environ,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Simulation.steps >= STEPS

"""Which awaits are failpoints, on small texts."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from tests.chaos.failpoints.discovery import Instrument, find


def found(source: str) -> list[str]:
    """What is called at each failpoint of a module, in the order of their names."""
    tree = ast.parse(dedent(source))
    names = Instrument("room.py", tree).names
    calls = {node.args[0].value: node.args[1].value for node in ast.walk(tree) if _is_failpoint(node)}
    assert calls.keys() == set(names)
    return [calls[name] for name in names]


def _is_failpoint(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith("__failpoints__.")


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ("await tx.execute(statement)", ["tx.execute"]),
        ("await self._orders.GetOrder(ask)", ["self._orders.GetOrder"]),
        ("await _SCRIPT(self._redis)", ["_SCRIPT"]),
        ("await work(tx)", []),
        ("await asyncio.sleep(1)", []),
        ("await self._own()", []),
        ("await (await tx.execute(statement)).fetchone()", ["tx.execute"]),
        ("async with self._database.transaction() as tx: pass", ["self._database.transaction"]),
        ("async with self._database.connection() as connection: pass", []),
    ],
)
def test_an_await_that_leaves_is_one(body, calls):
    assert found(in_class(body)) == calls


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ("await asyncio.gather(self._own(), self._users.Get(1), self._carts.Get(1))", ["self._users.Get", "self._carts.Get"]),
        ("await asyncio.gather(*(self._users.Get(user) for user in users))", ["self._users.Get"]),
        ("await asyncio.gather(*[self._users.Get(user) for user in users])", ["self._users.Get"]),
        ("task = asyncio.create_task(self._users.Get(1), name=self._names.of(1))", ["self._users.Get"]),
        ("group.create_task(stub.Get(1))", ["stub.Get"]),
        ("await group.create_task(stub.Get(1))", ["stub.Get"]),
        ("await within(budget.total_seconds(), self._users.Get(1))", ["self._users.Get"]),
        ("await outlive_caller(self._settlement.cancel(1), budget.left())", ["self._settlement.cancel"]),
        ("beside(outlive_caller(self._settlement.cancel(1)))", ["self._settlement.cancel"]),
        ("await _or_none(self._users.Get(1))", ["self._users.Get"]),
        ("await self._stubs._or_none(self._names.of(1))", ["self._stubs._or_none"]),
        ("cancelling = self._settlement.cancel(1); await outlive_caller(cancelling)", ["self._settlement.cancel"]),
        ("asked = self._users.Get(1); await asked", ["self._users.Get"]),
        ("await (self._users.Get(1) if user else self._guests.Get(1))", ["self._users.Get", "self._guests.Get"]),
        ("limit = self._limits.of(1); await tx.execute(statement, limit)", ["tx.execute"]),
    ],
)
def test_so_is_what_is_handed_on_to_be_awaited(body, calls):
    assert found(in_class(body)) == calls


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ("async for line in self._orders.StreamLines(ask): pass", ["self._orders.StreamLines"]),
        ("keys = [key async for key in self._redis.scan_iter()]", ["self._redis.scan_iter"]),
        ("async for page in self._own(): pass", []),
        ("for line in self._lines.of(1): pass", []),
    ],
)
def test_so_is_what_is_iterated_over(body, calls):
    assert found(in_class(body)) == calls


def test_each_has_a_name_of_its_own():
    assert len(set(find())) == len(find())


def in_class(body: str) -> str:
    return f"""\
    import asyncio
    from calls import beside, outlive_caller, within

    async def _or_none(call):
        return await call

    class Room:
        async def act(self, tx, users):
            {body}

        async def _own(self):
            pass
    """

"""Failpoints, found in the code: every await on the way of an order that leaves the function it stands in for a store, a stub, the bus,
a gateway, Redis or a database. A new await is a new failpoint.

One is named for its file, its function and its place among the function's failpoints: `orders/settlement.py:confirm:1`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"

ORDER_PATH = (
    *("checkout/*.py", "orders/*.py", "payments/*.py", "payments/gateways/*.py", "inventory/*.py", "cart/*.py", "ranking/*.py"),
    *("kit/database.py", "kit/batching.py", "kit/relay.py", "kit/inbox.py", "kit/timers.py", "kit/leader.py"),
    *("kit/events/consumer.py", "kit/events/attempt.py", "kit/events/progress.py", "kit/events/log.py", "kit/events/postgres_bus.py"),
)
"""Where an order passes."""

_WAITING = {"wait", "turn", "acquire", "fetchone", "fetchall"}
"""What waits for something of this process's own, or reads what is in memory already: nothing outside can have happened."""


class Instrument(ast.NodeTransformer):
    """Has `__failpoints__` asked at each failpoint of a module; notes their names.

    Args:
        place: the module's path below services/.
    """

    def __init__(self, place: str, tree: ast.Module) -> None:
        self.names: list[str] = []
        self._place = place
        self._known = set(_defined_in(tree))
        self._methods: set[str] = set()
        self._function = ""
        self._count = 0
        self.visit(tree)
        ast.fix_missing_locations(tree)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before, self._methods = self._methods, {of.name for of in node.body if isinstance(of, ast.FunctionDef | ast.AsyncFunctionDef)}
        self.generic_visit(node)
        self._methods = before
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        before, self._function, self._count = (self._function, self._count), node.name, 0
        self.generic_visit(node)
        self._function, self._count = before
        return node

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Call) and self._leaves(node.value.func):
            node.value = self._passing("awaited", node.value)
        return node

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        for item in node.items:
            call = item.context_expr
            # A connection by itself changes nothing; a transaction's end is its COMMIT.
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "transaction":
                item.context_expr = self._passing("entered", call)
        self.generic_visit(node)
        return node

    def _leaves(self, function: ast.expr) -> bool:
        """Whether a call leaves for something that isn't this code's own, or is another room's."""
        match function:
            case ast.Name(id=name):
                # A function of ours has failpoints of its own; so has whoever gave one as an argument. Scripts of Redis are constants.
                return name.isupper()
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return name not in self._methods
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                return name not in self._known and attribute not in _WAITING
            case ast.Attribute(attr=attribute):
                return attribute not in _WAITING
            case _:
                return False

    def _passing(self, what: str, call: ast.Call) -> ast.Call:
        self._count += 1
        name = f"{self._place}:{self._function}:{self._count}"
        self.names.append(name)
        where = ast.Attribute(ast.Name("__failpoints__", ast.Load()), what, ast.Load())
        return ast.Call(where, [ast.Constant(name), ast.Constant(ast.unparse(call.func)), call.func, *call.args], call.keywords)


def _defined_in(tree: ast.Module) -> Iterator[str]:
    """The names of modules that are imported: a function of theirs is either scanned itself or keeps to the process."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def files() -> Iterator[Path]:
    for pattern in ORDER_PATH:
        yield from sorted(SERVICES.glob(pattern))


def find() -> list[str]:
    """The names of all failpoints."""
    return [name for file in files() for name in Instrument(str(file.relative_to(SERVICES)), ast.parse(file.read_text())).names]

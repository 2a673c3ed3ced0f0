"""Failpoints, found in the code: every await on the way of an order, or of a change of the catalogue, that leaves the function it stands
in for a store, a stub, the bus, a gateway, Redis or a database; so does what is handed on for somebody else to await, and what is iterated
over with `async for`. A new await is a new failpoint.

One is named for its file, its function and its place among the failpoints of all functions so called: `orders/settlement.py:confirm:1`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

SERVICES = Path(__file__).parents[3] / "services"

ORDER_PATH = (
    *("checkout/*.py", "orders/*.py", "payments/*.py", "payments/gateways/*.py", "inventory/*.py", "cart/*.py", "ranking/*.py"),
    *("kit/database.py", "kit/batching.py", "kit/relay.py", "kit/inbox.py", "kit/idempotency.py", "kit/timers.py", "kit/leader.py"),
    *("kit/events/consumer.py", "kit/events/attempt.py", "kit/events/progress.py", "kit/events/log.py", "kit/events/postgres_bus.py"),
    *("kit/change_stream.py", "kit/changes.py", "catalog/places.py"),
    *("kit/events/membership.py", "kit/events/leases.py", "kit/events/broadcast.py", "kit/events/retention.py"),
)
"""Where an order passes, and the catalogue's changes."""

_WAITING = {"wait", "turn", "acquire", "fetchone", "fetchall"}
"""What waits for something of this process's own, or reads what is in memory already: nothing outside can have happened."""

_ALL, _FIRST = slice(None), slice(1)
_AWAITS_FOR_ITS_CALLER = {
    "gather": _ALL,
    "within": slice(1, 2),
    **dict.fromkeys(("create_task", "ensure_future", "shield", "wait_for", "outlive_caller", "beside"), _FIRST),
}
"""What awaits calls that are passed to it: which of its arguments."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Instrument(ast.NodeTransformer):
    """Has `__failpoints__` asked at each failpoint of a module; notes their names.

    Args:
        place: the module's path below services/.
    """

    def __init__(self, place: str, tree: ast.Module) -> None:
        self.names: list[str] = []
        self._place = place
        self._known = set(_defined_in(tree))
        self._awaiting = dict(_awaiting_in(tree))
        self._methods: set[str] = set()
        self._awaited_later: set[str] = set()
        self._function = ""
        self._counts = Counter[str]()
        self.visit(tree)
        ast.fix_missing_locations(tree)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        before, self._methods = self._methods, {of.name for of in node.body if isinstance(of, _Function)}
        self.generic_visit(node)
        self._methods = before
        return node

    def visit_FunctionDef(self, node: _Function) -> ast.AST:
        before = self._function, self._awaited_later
        self._function, self._awaited_later = node.name, set(self._awaited_names_in(node))
        self.generic_visit(node)
        self._function, self._awaited_later = before
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        node.value = self._awaited(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        which = self._handed_on(node)
        node.args[which] = map(self._awaited, node.args[which])
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        if _names(node.targets) & self._awaited_later:
            node.value = self._awaited(node.value)
        return node

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        self.generic_visit(node)
        node.iter = self._if_it_leaves("iterated", node.iter)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self.generic_visit(node)
        if node.is_async:
            node.iter = self._if_it_leaves("iterated", node.iter)
        return node

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        for item in node.items:
            call = item.context_expr
            # A connection by itself changes nothing; a transaction's end is its COMMIT.
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "transaction":
                item.context_expr = self._passing("entered", call)
        self.generic_visit(node)
        return node

    def _awaited(self, of: ast.expr) -> ast.expr:
        """What is awaited, each call of a generator or a conditional too."""
        match of:
            case ast.Starred():
                of.value = self._awaited(of.value)
            case ast.GeneratorExp() | ast.ListComp():
                of.elt = self._awaited(of.elt)
            case ast.IfExp():
                of.body, of.orelse = self._awaited(of.body), self._awaited(of.orelse)
        return self._if_it_leaves("awaited", of)

    def _if_it_leaves(self, what: str, of: ast.expr) -> ast.expr:
        return self._passing(what, of) if isinstance(of, ast.Call) and self._leaves(of.func) else of

    def _handed_on(self, call: ast.Call) -> slice:
        """Which arguments of a call are awaited by what is called."""
        match call.func:
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self"), attr=name) if name in self._awaiting:
                return self._awaiting[name]
            case _:
                return _AWAITS_FOR_ITS_CALLER.get(_called(call.func), slice(0))

    def _awaited_names_in(self, function: _Function) -> Iterator[str]:
        """The variables of a function that are awaited, or handed on to be."""
        for node in ast.walk(function):
            if isinstance(node, ast.Await):
                yield from _names([node.value])
            elif isinstance(node, ast.Call):
                yield from _names(node.args[self._handed_on(node)])

    def _leaves(self, function: ast.expr) -> bool:
        """Whether a call leaves for something that isn't this code's own, or is another room's."""
        if _called(function) in _AWAITS_FOR_ITS_CALLER:
            return False
        match function:
            case ast.Name(id=name):
                # A function of ours has failpoints of its own; so has whoever gave one as an argument. Scripts of Redis are constants.
                return name.isupper()
            case ast.Attribute(value=ast.Name(id="self"), attr=name):
                return name not in self._methods
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                return (name not in self._known or attribute == "connect") and attribute not in _WAITING
            case ast.Attribute(attr=attribute):
                return attribute not in _WAITING
            case _:
                return False

    def _passing(self, what: str, call: ast.Call) -> ast.Call:
        self._counts[self._function] += 1
        name = f"{self._place}:{self._function}:{self._counts[self._function]}"
        self.names.append(name)
        where = ast.Attribute(ast.Name("__failpoints__", ast.Load()), what, ast.Load())
        return ast.Call(where, [ast.Constant(name), ast.Constant(ast.unparse(call.func)), call.func, *call.args], call.keywords)


def _defined_in(tree: ast.Module) -> Iterator[str]:
    """The names of modules that are imported: a function of theirs is either scanned itself or keeps to the process."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def _awaiting_in(tree: ast.Module) -> Iterator[tuple[str, slice]]:
    """The functions of a module that await an argument: which."""
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef):
            awaited = _names([node.value for node in ast.walk(function) if isinstance(node, ast.Await)])
            names = [argument.arg for argument in function.args.args if argument.arg != "self"]
            yield from ((function.name, slice(place, place + 1)) for place, name in enumerate(names) if name in awaited)


def _called(function: ast.expr) -> str:
    """The last word of what is called."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _names(of: Sequence[ast.expr]) -> set[str]:
    return {node.id for node in of if isinstance(node, ast.Name)}


def files() -> Iterator[Path]:
    for pattern in ORDER_PATH:
        yield from sorted(SERVICES.glob(pattern))


def find() -> list[str]:
    """The names of all failpoints."""
    return [name for file in files() for name in Instrument(str(file.relative_to(SERVICES)), ast.parse(file.read_text())).names]

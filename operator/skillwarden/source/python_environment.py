"""Where Python code takes the whole environment, and what becomes of it: giving it to a child is no theft."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence

from skillwarden.domain.finding import Severity

from .collect import Collector
from .python_names import Names

#: Prefixes of names that start a process.
PROCESS = ("subprocess.", "os.spawn", "os.exec", "os.posix_spawn", "pty.spawn", "asyncio.create_subprocess")
_ENVIRONMENT = frozenset({"os.environ", "os.environb"})
#: What of a mapping is about one variable, or about names alone.
_OF_ONE = frozenset(
    {"clear", "get", "keys", "pop", "popitem", "setdefault", "update", "__contains__", "__getitem__"}
)
#: What makes another thing of the same content.
_MAKES_COPY = frozenset(
    {
        "bytes",
        "copy.copy",
        "copy.deepcopy",
        "dict",
        "json.dumps",
        "list",
        "repr",
        "set",
        "sorted",
        "str",
        "tuple",
    }
)
#: What shows all of it, or takes what a text names.
_SHOWS = ("print", "pprint.pprint", "format", ".format", ".format_map", ".substitute", ".safe_substitute")
_CARRIERS = (
    *(ast.Await, ast.BinOp, ast.BoolOp, ast.Dict, ast.FormattedValue, ast.IfExp, ast.JoinedStr, ast.List),
    *(ast.NamedExpr, ast.Set, ast.Starred, ast.Tuple),
)
_COMPREHENSIONS = ast.DictComp | ast.GeneratorExp | ast.ListComp | ast.SetComp
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def whole_environment(
    tree: ast.Module, names: Names, *, sends: Sequence[ast.Call], into: Collector
) -> Severity | None:
    """Return how grave it is that code which sends takes the environment as a whole; ``None``: it does not.

    Parameters
    ----------
    tree, names
        The module.
    sends
        Its calls that send something.
    into
        Takes each place where the whole of it is taken.
    """
    uses = _Uses(tree, names, sends)
    gravest: Severity | None = None
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load)):
            continue
        if names.dotted(node) in _ENVIRONMENT and (severity := uses.of(node)) is not None:
            into.add("environment", Severity.MEDIUM, node.lineno, "takes the whole environment")
            gravest = _graver(gravest, severity)
    return gravest


class _Uses:
    """Follows the environment from where it is taken: through copies, names and functions of the module."""

    def __init__(self, tree: ast.Module, names: Names, sends: Iterable[ast.Call]) -> None:
        self._tree = tree
        self._names = names
        self._sends = {id(node) for node in sends}
        self._parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._followed: set[tuple[int, str]] = set()

    def of(self, node: ast.expr) -> Severity | None:
        """Return how grave what becomes of an expression is, which holds all of the environment."""
        parent = self._parents[id(node)]
        match parent:
            case ast.Attribute(attr=attribute):
                call = self._parents[id(parent)]
                called = isinstance(call, ast.Call) and call.func is parent
                return None if attribute in _OF_ONE else self.of(call) if called else Severity.CRITICAL  # type: ignore[arg-type]  # a call, as tested
            case ast.Subscript() | ast.Compare() | ast.Expr() | ast.If() | ast.UnaryOp():
                return None
            case ast.keyword(arg=name):
                call = self._parents[id(parent)]
                assert isinstance(call, ast.Call)  # noqa: S101 - narrows
                return self._argument(call, name or "")
            case ast.Call():
                return self._argument(parent, "")
            case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
                return self._assigned(target)
            case ast.Return() | ast.Yield():
                return self._returned(parent)
            case ast.For() | ast.AsyncFor():
                return Severity.HIGH  # whether all of it is kept, nobody can tell
            case ast.comprehension(ifs=conditions):
                made = self._parents[id(parent)]
                assert isinstance(made, _COMPREHENSIONS)  # noqa: S101 - narrows
                severity = self.of(made)
                return Severity.HIGH if severity is not None and conditions else severity
        return self.of(parent) if isinstance(parent, _CARRIERS) else Severity.CRITICAL

    def _argument(self, call: ast.Call, keyword: str) -> Severity | None:
        called = self._names.dotted(call.func) or ""
        if id(call) in self._sends:
            return Severity.CRITICAL
        if called.startswith(PROCESS) or called in {"bool", "len"}:
            return None
        if called in _MAKES_COPY:
            return self.of(call)
        method = f".{call.func.attr}" if isinstance(call.func, ast.Attribute) else called
        # A function of somebody else's that takes ``env`` most likely starts a process with it.
        return Severity.HIGH if keyword == "env" or method in _SHOWS else Severity.CRITICAL

    def _assigned(self, target: ast.expr) -> Severity | None:
        if not isinstance(target, ast.Name):
            return Severity.HIGH
        if self._names.dotted(target) in _ENVIRONMENT:
            return None  # another name of the environment itself: each use of it is met by itself
        scope = self._scope(target)
        return self._gravest(
            scope,
            target.id,
            (
                node
                for node in ast.walk(scope)
                if isinstance(node, ast.Name) and node.id == target.id and isinstance(node.ctx, ast.Load)
            ),
        )

    def _returned(self, node: ast.AST) -> Severity | None:
        function = self._scope(node)
        if not isinstance(function, _FUNCTIONS):
            return Severity.CRITICAL
        return self._gravest(
            function,
            "",
            (
                node
                for node in ast.walk(self._tree)
                if isinstance(node, ast.Call)
                and function.name in {getattr(node.func, "id", ""), getattr(node.func, "attr", "")}
            ),
        )

    def _gravest(self, scope: ast.AST, name: str, nodes: Iterable[ast.expr]) -> Severity | None:
        if (id(scope), name) in self._followed:
            return None  # what becomes of it is being asked already
        self._followed.add((id(scope), name))
        gravest: Severity | None = None
        for node in nodes:
            gravest = _graver(gravest, self.of(node))
        return gravest

    def _scope(self, node: ast.AST) -> ast.AST:
        while id(node) in self._parents and not isinstance(node, _FUNCTIONS):
            node = self._parents[id(node)]
        return node


def _graver(one: Severity | None, other: Severity | None) -> Severity | None:
    return Severity.CRITICAL if Severity.CRITICAL in {one, other} else one or other

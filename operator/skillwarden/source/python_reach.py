"""Whether a constant of Python code may come to what reads or asks for it, or is only compared and told."""

from __future__ import annotations

import ast
from collections import defaultdict

from .python_environment import PROCESS
from .python_names import Names

#: Of a call's name what comes last, where it may read a file of any name, or hand out what does.
_READS = frozenset(
    {
        *("FileIO", "ZipFile", "compile", "copy2", "copyfile", "copyfileobj", "copytree", "eval", "exec"),
        *("fromfile", "genfromtxt", "getline", "getlines", "globals", "import_module", "link", "loadtxt"),
        *("locals", "make_archive", "mmap", "move", "netrc", "open", "open_code", "popen", "read_bytes"),
        *("read_text", "rename", "run_module", "run_path", "sendfile", "symlink", "system", "vars"),
        "__import__",
    }
)
_OF_OBJECT = frozenset({"open", "read_bytes", "read_text"})
#: What tells somebody a text.
_TELLS = ("print", "exit", "quit", "sys.exit", "warnings.warn", "logging.")
_TELLING = frozenset({"critical", "debug", "error", "exception", "info", "warning"})
_MATCHES = frozenset({"compile", "findall", "finditer", "fullmatch", "match", "search", "split", "sub"})
_MAKES = frozenset({"dict", "frozenset", "list", "set", "sorted", "tuple"})
_CARRIERS = (
    *(ast.BinOp, ast.Dict, ast.FormattedValue, ast.IfExp, ast.JoinedStr, ast.List, ast.Set, ast.Tuple),
    ast.Starred,
)


class Reach:
    """Follows constants of one module: through containers, sums, and names."""

    def __init__(self, tree: ast.Module, names: Names) -> None:
        self._names = names
        self._parents: dict[int, ast.AST] = {}
        self._loads: dict[str, list[ast.Name]] = defaultdict(list)
        self._followed: set[str] = set()
        self._reads = False
        for node in ast.walk(tree):
            self._parents.update((id(child), node) for child in ast.iter_child_nodes(node))
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self._loads[node.id].append(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript):
                self._reads = self._reads or self._may_read(node)

    def _may_read(self, node: ast.expr) -> bool:
        """Whether something may read a file whose name is no constant."""
        parent = self._parents.get(id(node))
        if isinstance(node, ast.Call):
            return (
                not isinstance(node.func, ast.Name | ast.Attribute) and self._names.dotted(node.func) is None
            )
        name = self._names.dotted(node) or (f"?.{node.attr}" if isinstance(node, ast.Attribute) else "")
        last = name.rpartition(".")[2]
        if (
            not (last in _READS or last.startswith("read_") or name.startswith(PROCESS))
            or name == "re.compile"
        ):
            return False
        if not (isinstance(parent, ast.Call) and parent.func is node):
            return not isinstance(parent, ast.Attribute)
        given: list[ast.expr] = [*parent.args, *(item.value for item in parent.keywords)]
        if last in _OF_OBJECT and isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
            given = [*node.value.args, *(item.value for item in node.value.keywords)]
        elif last in _OF_OBJECT and isinstance(node, ast.Attribute):
            given = given or [node.value]
        return not given or not all(self._is_constant(item) for item in given)

    def _is_constant(self, node: ast.expr) -> bool:
        if isinstance(node, ast.List | ast.Tuple):
            return all(self._is_constant(item) for item in node.elts)
        return isinstance(node, ast.Constant)

    def of(self, node: ast.expr, *, text: str) -> bool:
        """Return whether a constant may come to what reads it; in doubt it may."""
        parent = self._parents.get(id(node))
        while isinstance(parent, _CARRIERS):
            node, parent = parent, self._parents.get(id(parent))
        match parent:
            case ast.Compare() | ast.Expr() | ast.MatchValue():
                return self._reads
            case ast.keyword(arg=name):
                call = self._parents[id(parent)]
                told = name in {"help", "description", "epilog"}
                return not self._only_told(text) if told else self._argument(call, text)
            case ast.Call() if node is not parent.func:
                return self._argument(parent, text)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                return self._named(name, text)
            case (
                ast.For(iter=source, target=ast.Name(id=name))
                | ast.comprehension(iter=source, target=ast.Name(id=name))
            ) if source is node:
                return self._named(name, text)
        return True

    def _only_told(self, text: str) -> bool:
        """A sentence is no path; where nothing reads by a name that is made, no text is."""
        return not self._reads or " " in text.strip()

    def _argument(self, call: ast.AST, text: str) -> bool:
        if not isinstance(call, ast.Call):
            return True
        name = self._names.dotted(call.func) or ""
        last = call.func.attr if isinstance(call.func, ast.Attribute) else name
        raised = isinstance(self._parents.get(id(call)), ast.Raise)
        if raised or name.startswith("logging.") or name in _TELLS or last in _TELLING:
            return not self._only_told(text)
        if name.startswith("re.") and last in _MATCHES:
            return self._reads
        return self.of(call, text=text) if name in _MAKES else True

    def _named(self, name: str, text: str) -> bool:
        if name in self._followed:
            return self._reads  # what becomes of it is asked already
        self._followed.add(name)
        return self._reads or any(self.of(use, text=text) for use in self._loads[name])

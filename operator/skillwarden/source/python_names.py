"""What names in Python code stand for: imports under any name, ``getattr``, folded constants."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_MAX_TEXT = 256 * 1024
_IMPORTERS = frozenset(
    {"__import__", "importlib.import_module", "importlib.__import__", "builtins.__import__"}
)
_GETTERS = frozenset({"getattr", "builtins.getattr"})
_PATHS = frozenset({f"pathlib.{kind}" for kind in ("Path", "PosixPath", "PurePath", "PurePosixPath")})
_JOINS = frozenset({"os.path.join", "posixpath.join"}) | _PATHS
_KEEPS = frozenset({"os.path.expanduser", "os.path.expandvars", "os.path.abspath", "os.fspath", "str"})
_KEEPING = frozenset({"absolute", "decode", "encode", "expanduser", "lower", "resolve", "strip"})
#: What stands for a piece that nobody can tell; no encoding and no shell knows it as anything else.
_GAP = "?"


class Names:
    """Resolves expressions to dotted names, over the whole of one module.

    A name that is bound twice stands for whatever it was bound to first and to something known: a static look
    takes the suspicious reading.
    """

    def __init__(self, tree: ast.AST) -> None:
        self._bound: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._gapped: dict[str, str] = {}
        self._lists: dict[str, ast.List | ast.Tuple] = {}
        self._made_by: dict[str, set[str]] = {}
        # Twice: a name may be used in a binding above the one that it gets its meaning from.
        for _ in range(2):
            for node in ast.walk(tree):
                self._bind(node)

    def _bind(self, node: ast.AST) -> None:
        match node:
            case ast.Import():
                for alias in node.names:
                    name = alias.asname or alias.name.partition(".")[0]
                    self._bound.setdefault(name, alias.name if alias.asname else name)
            case ast.ImportFrom(module=str(module)):
                for alias in node.names:
                    self._bound.setdefault(alias.asname or alias.name, f"{module}.{alias.name}")
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                if (dotted := self.dotted(value)) is not None:
                    self._bound.setdefault(name, dotted)
                if (text := self.text(value)) is not None:
                    self._texts.setdefault(name, text)
                if (text := self.text(value, gaps=True)) is not None:
                    self._gapped.setdefault(name, text)
                if isinstance(value, ast.List | ast.Tuple):
                    self._lists.setdefault(name, value)
                self._made(name, value)
            case ast.withitem(context_expr=value, optional_vars=ast.Name(id=name)):
                self._made(name, value)
            case ast.arg(arg=name):
                self._made_by.setdefault(name, set()).add(_GAP)

    def _made(self, name: str, value: ast.expr) -> None:
        value = value.value if isinstance(value, ast.Await) else value
        maker = self.dotted(value.func) if isinstance(value, ast.Call) else None
        self._made_by.setdefault(name, set()).add(maker or _GAP)

    def makers(self, node: ast.expr) -> frozenset[str]:
        """Return what made the object that an expression names, such as ``queue.Queue``; empty: unseen."""
        if isinstance(node, ast.Call):
            return frozenset({self.dotted(node.func) or _GAP})
        return frozenset(self._made_by.get(node.id, ())) if isinstance(node, ast.Name) else frozenset()

    def words(self, node: ast.expr) -> list[str]:
        """Return the words of a command, each with gaps, as a list or a text holds them."""
        match node:
            case ast.Name(id=name) if name in self._lists:
                return [word for item in self._lists[name].elts for word in self._word(item)]
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [word for item in items for word in self._word(item)]
        return self._word(node)

    def _word(self, node: ast.expr) -> list[str]:
        if self.dotted(node) == "sys.executable":
            return ["python"]
        return [self.text(node, gaps=True) or _GAP]

    def dotted(self, node: ast.expr) -> str | None:
        """Return what an expression names, such as ``os.system``; ``None`` where nobody can tell."""
        match node:
            case ast.Name(id=name):
                return self._bound.get(name, name)
            case ast.Attribute(value=value, attr=attribute):
                base = self.dotted(value)
                return f"{base}.{attribute}" if base else None
            case ast.Call(func=func, args=[first, *others]):
                # Asked for once: a chain of calls would be gone through anew at each of its links.
                called = self.dotted(func)
                if called in _GETTERS and others:
                    owner, member = self.dotted(first), self.text(others[0])
                    return f"{owner}.{member}" if owner and member else None
                return self.text(first) if called in _IMPORTERS else None
            case ast.Subscript(value=value, slice=key):
                # vars(os)["system"], os.__dict__["system"], globals()["eval"]
                space, member = self._namespace(value), self.text(key)
                return f"{space}.{member}".removeprefix(".") if space is not None and member else None
        return None

    def _namespace(self, node: ast.expr) -> str | None:
        match node:
            case ast.Attribute(value=value, attr="__dict__"):
                return self.dotted(value)
            case ast.Call(func=ast.Name(id="vars"), args=[target]):
                return self.dotted(target)
            case ast.Call(func=ast.Name(id="globals" | "locals"), args=[]):
                return ""
            case ast.Name(id="__builtins__"):
                return ""
        return None

    def text(self, node: ast.expr, *, gaps: bool = False) -> str | None:
        """Return the constant text of an expression, put together where it is cut into pieces.

        Parameters
        ----------
        node
            The expression.
        gaps
            Whether some of its pieces may be what nobody can tell: each is a question mark then. Where all of
            them are, there is no text.
        """
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Constant(value=bytes(data)):
                return data.decode("latin-1")
            case ast.Name(id=name):
                return self._gapped.get(name) if gaps else self._texts.get(name)
            case ast.BinOp(op=ast.Add() | ast.Div()):
                return self._joined(operands(node)[0], "" if isinstance(node.op, ast.Add) else "/", gaps=gaps)
            case ast.BinOp(left=left, op=ast.Mod()) if gaps:
                return self.text(left, gaps=True)
            case ast.JoinedStr(values=values):
                return self._joined(values, "", gaps=gaps)
            case ast.FormattedValue(value=value):
                return self.text(value, gaps=gaps)
            case ast.Call():
                return self._called(node, gaps=gaps)
            case ast.Subscript(
                value=value,
                slice=ast.Slice(lower=None, upper=None, step=ast.UnaryOp(operand=ast.Constant(value=1))),
            ):
                whole = self.text(value, gaps=gaps)
                return whole[::-1] if whole else None
        return None

    def _called(self, node: ast.Call, *, gaps: bool) -> str | None:
        match node:
            case ast.Call(
                func=ast.Attribute(value=value, attr="join"), args=[ast.List() | ast.Tuple() as parts]
            ):
                glue = self.text(value)
                return None if glue is None else self._joined(parts.elts, glue, gaps=gaps)
            case ast.Call(func=ast.Attribute(value=value, attr="replace"), args=[old, new]):
                subject, before, after = self.text(value, gaps=gaps), self.text(old), self.text(new)
                return subject.replace(before, after) if subject and before and after is not None else None
            case ast.Call(func=ast.Name(id="chr"), args=[ast.Constant(value=int(code))]):
                return chr(code) if 0 <= code < 0x110000 else None
            case ast.Call(func=ast.Attribute(value=value, attr="joinpath"), args=parts):
                return self._joined([value, *parts], "/", gaps=gaps)
            case ast.Call(func=ast.Attribute(value=value, attr="format")) if gaps:
                return self.text(value, gaps=True)
            case ast.Call(func=ast.Attribute(value=value, attr=attribute)) if attribute in _KEEPING:
                return self.text(value, gaps=gaps)
            case ast.Call(func=func, args=[first, *_]):
                called = self.dotted(func)
                if called in _JOINS:
                    return self._joined(node.args, "/", gaps=gaps)
                return self.text(first, gaps=gaps) if called in _KEEPS else None
        return None

    def _joined(self, parts: list[ast.expr], glue: str, *, gaps: bool) -> str | None:
        texts: list[str] = []
        known = not parts
        for part in parts:
            text = self.text(part, gaps=gaps)
            if text is None and not gaps:
                return None
            known = known or text is not None
            texts.append(_GAP if text is None else text)
        joined = glue.join(texts)
        return joined if known and len(joined) <= _MAX_TEXT else None

    def constants(self, tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
        """Yield each text constant but docstrings, with its node, and each that is made of pieces."""
        described = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        pieces: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant):
                if id(node) not in described and isinstance(node.value, str | bytes):
                    yield self.text(node) or "", node
            elif (
                isinstance(node, ast.BinOp | ast.JoinedStr | ast.Call | ast.Subscript)
                and id(node) not in pieces
            ):
                # The outermost one says it all; ``walk`` comes to it first.
                text = self.text(node)
                if text:
                    pieces.update(id(inner) for inner in ast.walk(node))
                elif isinstance(node, ast.BinOp):
                    pieces.update(id(inner) for inner in operands(node)[1])
                text = text or self.text(node, gaps=True)
                if text:
                    yield text, node


def operands(node: ast.BinOp) -> tuple[list[ast.expr], list[ast.BinOp]]:
    """Return what a chain of one operator joins, from the left, and its links; without a call for each."""
    found: list[ast.expr] = []
    links: list[ast.BinOp] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp) and isinstance(left.op, type(node.op)):
        links.append(left)
        found.append(left.right)
        left = left.left
    return [left, *reversed(found)], links

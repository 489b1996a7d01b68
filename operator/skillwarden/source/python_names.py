"""What names in Python code stand for: imports under any name, ``getattr``, folded constants."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_MAX_TEXT = 256 * 1024
_IMPORTERS = frozenset(
    {"__import__", "importlib.import_module", "importlib.__import__", "builtins.__import__"}
)


class Names:
    """Resolves expressions to dotted names, over the whole of one module.

    A name that is bound twice stands for whatever it was bound to first and to something known: a static look
    takes the suspicious reading.
    """

    def __init__(self, tree: ast.AST) -> None:
        self._bound: dict[str, str] = {}
        self._texts: dict[str, str] = {}
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

    def dotted(self, node: ast.expr) -> str | None:
        """Return what an expression names, such as ``os.system``; ``None`` where nobody can tell."""
        match node:
            case ast.Name(id=name):
                return self._bound.get(name, name)
            case ast.Attribute(value=value, attr=attribute):
                base = self.dotted(value)
                return f"{base}.{attribute}" if base else None
            case ast.Call(func=func, args=[target, name, *_]) if self.dotted(func) in {
                "getattr",
                "builtins.getattr",
            }:
                owner, member = self.dotted(target), self.text(name)
                return f"{owner}.{member}" if owner and member else None
            case ast.Call(func=func, args=[name, *_]) if self.dotted(func) in _IMPORTERS:
                return self.text(name)
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

    def text(self, node: ast.expr) -> str | None:
        """Return the constant text of an expression, put together where it is cut into pieces."""
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Constant(value=bytes(data)):
                return data.decode("latin-1")
            case ast.Name(id=name):
                return self._texts.get(name)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined([left, right], "")
            case ast.JoinedStr(values=values):
                return self._joined(values, "")
            case ast.FormattedValue(value=value):
                return self.text(value)
            case ast.Call(
                func=ast.Attribute(value=value, attr="join"), args=[ast.List() | ast.Tuple() as parts]
            ):
                glue = self.text(value)
                return None if glue is None else self._joined(parts.elts, glue)
            case ast.Call(func=ast.Attribute(value=value, attr="replace"), args=[old, new]):
                subject, before, after = self.text(value), self.text(old), self.text(new)
                return subject.replace(before, after) if subject and before and after is not None else None
            case ast.Call(func=ast.Name(id="chr"), args=[ast.Constant(value=int(code))]):
                return chr(code) if 0 <= code < 0x110000 else None
            case ast.Call(func=ast.Attribute(value=value, attr="encode" | "decode" | "lower" | "strip")):
                return self.text(value)
            case ast.Subscript(
                value=value,
                slice=ast.Slice(lower=None, upper=None, step=ast.UnaryOp(operand=ast.Constant(value=1))),
            ):
                whole = self.text(value)
                return whole[::-1] if whole else None
        return None

    def _joined(self, parts: list[ast.expr], glue: str) -> str | None:
        texts = [self.text(part) for part in parts]
        if any(text is None for text in texts):
            return None
        joined = glue.join(text for text in texts if text is not None)
        return joined if len(joined) <= _MAX_TEXT else None

    def constants(self, tree: ast.AST) -> Iterator[tuple[str, int]]:
        """Yield each text constant but docstrings, with its line, and each that is made of pieces."""
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
                    yield self.text(node) or "", node.lineno
            elif (
                isinstance(node, ast.BinOp | ast.JoinedStr | ast.Call | ast.Subscript)
                and id(node) not in pieces
            ):
                # The outermost one says it all; ``walk`` comes to it first.
                text = self.text(node)
                if text:
                    pieces.update(id(inner) for inner in ast.walk(node))
                    yield text, node.lineno

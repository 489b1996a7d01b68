"""What a file is by what it says: a loader may be told to run one of any name."""

from __future__ import annotations

import ast
import json
import re

from . import python_code
from .collect import Collector
from .comments import JavaScript
from .encoding import code_text

#: Statements and expressions that do something; data and prose that happen to parse have none.
_ACTS = (
    *(ast.AsyncFunctionDef, ast.Call, ast.ClassDef, ast.FunctionDef, ast.Import, ast.ImportFrom),
    *(ast.AsyncFor, ast.AsyncWith, ast.With),
)
#: Without any of these, no Python code does anything.
_MAY_ACT = ("(", "import", "class", "with")
#: What JavaScript reaches anything outside of itself by.
_REACHES = re.compile(
    r"\b(?:Bun|Buffer|Deno|Function|atob|constructor|eval|fetch|global|globalThis|import|module|process|require)\b"
    r"|\]\s*+(?:\?\.\s*+)?\("
)
_CALLS = re.compile(r"[\w$)\]`'\"]\s*+(?:\?\.\s*+)?[(`]|\bimport\s*+['\"{*]|\bimport\s++[\w$]++\s++from\b")
_KEYWORDS = (
    "abstract|accessor|as|asserts|async|await|break|case|catch|class|const|continue|debugger|"
    "declare|default|delete|do|else|enum|export|extends|finally|for|from|function|get|if|implements|"
    "import|in|infer|instanceof|interface|is|keyof|let|module|namespace|new|of|out|override|private|"
    "protected|public|readonly|return|satisfies|set|static|switch|throw|try|type|typeof|unique|"
    "using|var|void|while|with|yield"
)
#: No JavaScript outside of comments and quotes: two names side by side, or the mark of another's comment.
_NO_JAVASCRIPT = re.compile(
    rf"(?<![\w$.#@])(?!(?:{_KEYWORDS})\b)[\w$]++[ \t]++(?!(?:{_KEYWORDS})\b)[\w$]|#(?![\w$!])|\A\s*+<"
)
#: Begins a comment of one line in a script, as in a page of old.
_OLD_COMMENT = re.compile(r"<!--|(?m:^)(?P<space>[ \t]*+)-->")


def language_by_content(content: bytes) -> str:
    """Return which language a file reads as, ``javascript`` or ``python``; empty: it is data or prose."""
    if _is_python(content):
        return "python"
    return "javascript" if _is_javascript(content.decode("utf-8", "replace")) else ""


def _is_python(content: bytes) -> bool:
    about = Collector("")
    text = code_text(content, about)
    if text is None:
        return about.has("unusual-encoding")  # nobody reads it, and Python may
    if not any(word in text for word in _MAY_ACT) or _is_json(text):
        return False
    tree = python_code.parse(text)
    return tree is not None and any(isinstance(node, _ACTS) for node in ast.walk(tree))


def _is_json(text: str) -> bool:
    """Whether a text is JSON, which takes Python's parser much longer to read."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_javascript(text: str) -> bool:
    if not (_REACHES.search(text) and _CALLS.search(text)):
        return False
    code = _OLD_COMMENT.sub(lambda match: (match["space"] or "") + "//", text)
    bare = JavaScript(code).bare()
    return bool(_REACHES.search(bare) and _CALLS.search(bare)) and not _NO_JAVASCRIPT.search(bare)

"""A skill's files, each looked at for what it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from skillwarden.domain.finding import Severity
from skillwarden.domain.skill import SourceFile
from skillwarden.domain.source_finding import SourceFinding, gravest_first

from . import other_code, python_code
from .collect import MAX_FINDINGS, Collector
from .signs import HIDDEN, TEXTS

#: What was found in files that were seen before, by their digest: a relist brings each of them again.
_KNOWN: dict[str, tuple[SourceFinding, ...]] = {}
_MAX_KNOWN = 8192
_PYTHON = (".py", ".pyw", ".pyi")
_JAVASCRIPT = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx")
_SHELL = (".sh", ".bash", ".zsh", ".ksh")
_TEXT = (".md", ".markdown", ".txt", ".rst", ".html", ".xml", ".yaml", ".yml", ".json", ".toml", ".csv", "")
_FENCE = re.compile(r"(?ms)^[ \t]*```[ \t]*(?P<language>[A-Za-z0-9+-]*)[^\n]*\n(?P<code>.*?)^[ \t]*```")
_SHEBANG = re.compile(r"#![^\n]*?\b(python|node|deno|bun|bash|zsh|dash|ksh|sh)[0-9.]*\b")
_LOOKS: Mapping[str, Callable[[str, Collector], None]] = {
    "javascript": other_code.look_javascript,
    "python": python_code.look,
    "shell": other_code.look_shell,
}
_FENCED_SHELL = frozenset({"sh", "bash", "shell", "zsh", "console", "terminal"})
_FENCED_PYTHON = frozenset({"python", "py", "python3"})
_FENCED_JAVASCRIPT = frozenset({"javascript", "js", "typescript", "ts", "node"})


def source_findings(files: Iterable[SourceFile]) -> tuple[SourceFinding, ...]:
    """Return what a person should see of a skill's files, gravest first; nothing of them is run.

    Parameters
    ----------
    files
        All of them; what is not text is told by its kind where that matters, and else passed over.
    """
    found: list[SourceFinding] = []
    for file in files:
        found += _file(file)
    return tuple(sorted(found, key=gravest_first)[:MAX_FINDINGS])


def code_findings(file: SourceFile, *, language: str = "") -> tuple[SourceFinding, ...]:
    """Return what a person should see of one file that something runs, gravest first.

    Parameters
    ----------
    file
        The file.
    language
        Of which interpreter it is run by: ``javascript``, ``python`` or ``shell``; empty: by its name and its
        first line.
    """
    return tuple(sorted(_file(file, language), key=gravest_first)[:MAX_FINDINGS])


def remembered_source_findings(files: Sequence[SourceFile]) -> tuple[SourceFinding, ...]:
    """Return ``source_findings``, looked for once for the same files."""
    fingerprint = hashlib.sha256()
    for file in sorted(files, key=lambda item: item.path):
        for part in (file.path.encode(), file.content):
            fingerprint.update(len(part).to_bytes(8, "big"))
            fingerprint.update(part)
    digest = fingerprint.hexdigest()
    known = _KNOWN.get(digest)
    if known is None:
        known = _KNOWN[digest] = source_findings(files)
        while len(_KNOWN) > _MAX_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)))
    return known


def _file(file: SourceFile, language: str = "") -> Iterable[SourceFinding]:
    into = Collector(file.path)
    if file.content.startswith((b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")):
        into.add("binary", Severity.HIGH, 1, "is a program in machine code, which nobody can look into")
        return into.found.values()
    try:
        text = file.content.decode("utf-8")
    except UnicodeDecodeError:
        if language or file.path.endswith((*_PYTHON, *_JAVASCRIPT, *_SHELL)):
            into.add(
                "unreadable-code",
                Severity.MEDIUM,
                1,
                "is code that is no UTF-8 text, so nobody looked into it",
            )
        elif file.path.endswith((".pyc", ".pyo", ".so", ".node", ".wasm")):
            into.add("binary", Severity.HIGH, 1, "is compiled code, which nobody can look into")
        return into.found.values()
    into.signs(text, HIDDEN)
    _by_language(file.path, text, into, language)
    return into.found.values()


def _by_language(path: str, text: str, into: Collector, run_by: str) -> None:
    if run_by:
        _LOOKS[run_by](text, into)
        return
    shebang = _SHEBANG.match(text)
    language = shebang[1] if shebang else ""
    ending = "." + path.rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else ""
    if ending in _PYTHON or language == "python":
        python_code.look(text, into)
    elif ending in _JAVASCRIPT or language in {"node", "deno", "bun"}:
        other_code.look_javascript(text, into)
    elif ending in _SHELL or language:
        other_code.look_shell(text, into)
    elif ending in _TEXT:
        into.signs(text, TEXTS)
        if ending in {".md", ".markdown"}:
            _fences(text, into)


def _fences(text: str, into: Collector) -> None:
    """Look at the examples in a text, a degree milder: an agent may run them, the sandbox does not."""
    for match in _FENCE.finditer(text):
        example = Collector(
            into.path, offset=text.count("\n", 0, match.start("code")), milder=True, note="example: "
        )
        language = match["language"].lower()
        if language in _FENCED_SHELL:
            other_code.look_shell(match["code"], example)
        elif language in _FENCED_PYTHON and python_code.parse(match["code"]) is not None:
            python_code.look(match["code"], example)
        elif language in _FENCED_JAVASCRIPT:
            other_code.look_javascript(match["code"], example)
        for place, finding in example.found.items():
            into.found.setdefault(place, finding)

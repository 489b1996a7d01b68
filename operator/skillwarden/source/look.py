"""A skill's files, each looked at for what it is."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from skillwarden.domain.content import invocation_digest
from skillwarden.domain.finding import Severity
from skillwarden.domain.skill import Invocation, SourceFile
from skillwarden.domain.source_finding import SourceFinding, gravest_first

from . import entrypoint, other_code, python_code
from .collect import Collector
from .content import language_by_content
from .encoding import code_text
from .signs import HIDDEN, TEXTS

NOTHING = Invocation()
#: Rules on code that does what it is told while it runs.
_BY_VARIABLES = frozenset({"dynamic-code", "encoded-code", "import-by-name", "shell", "subprocess"})
#: More than a person reads.
MAX_FINDINGS = 200
#: What was found in files that were seen before, by their digest: a relist brings each of them again.
_KNOWN: dict[str, tuple[SourceFinding, ...]] = {}
_MAX_KNOWN = 8192
_PYTHON = (".py", ".pyw", ".pyi")
_JAVASCRIPT = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".jsx", ".tsx")
_SHELL = (".sh", ".bash", ".zsh", ".ksh")
_TEXT = (".md", ".markdown", ".txt", ".rst", ".html", ".xml", ".yaml", ".yml", ".json", ".toml", ".csv", "")
#: What its reader finds the code of in fences, if it has any; what it says beside them is said to somebody.
_PROSE = (".md", ".markdown", ".rst", ".adoc", ".html", ".htm")
_COMPILED = (".pyc", ".pyo", ".so", ".node", ".wasm")
_IN_ARCHIVES = (*_PYTHON, *_JAVASCRIPT, *_SHELL, *_COMPILED)
_FENCE = re.compile(r"(?ms)^[ \t]*```[ \t]*(?P<language>[A-Za-z0-9+-]*)[^\n]*\n(?P<code>.*?)^[ \t]*```")
_SHEBANG = re.compile(r"#![^\n]*?\b(python|node|deno|bun|bash|zsh|dash|ksh|sh)[0-9.]*\b")
_LOOKS: Mapping[str, Callable[[str, Collector], None]] = {
    "javascript": other_code.look_javascript,
    "python": python_code.look,
    "shell": other_code.look_shell,
}
#: What a browser, or a viewer of images, runs the scripts of.
_MARKUP = (".html", ".htm", ".xhtml", ".svg")
_SCRIPT = re.compile(r"(?i)<script\b[^>]{0,400}>(?P<code>(?>(?:[^<]|<(?!/script))*))")
_ACTIVE = re.compile(r"(?i)<script\b|\bjavascript:|\bon(?:load|click|error|begin|focus|mouse\w{1,8})\s{0,8}=")
_FENCED_SHELL = frozenset({"sh", "bash", "shell", "zsh", "console", "terminal"})
_FENCED_PYTHON = frozenset({"python", "py", "python3"})
_FENCED_JAVASCRIPT = frozenset({"javascript", "js", "typescript", "ts", "node"})


def source_findings(
    files: Iterable[SourceFile], invocation: Invocation = NOTHING
) -> tuple[SourceFinding, ...]:
    """Return what a person should see of a skill's files and of what is run of them, gravest first.

    Parameters
    ----------
    files
        All of them; what is not text is told by its kind where that matters, and else passed over.
    invocation
        What the container is started with; what that says itself is found at ``entrypoint.command`` and
        ``sandbox.env``.
    """
    files = tuple(files)
    said = invocation_digest(invocation)
    found = [finding for file in files for finding in _file(file)]
    if invocation.env:
        # What such code does may stand in a variable: whoever accepts it accepts these.
        found = [replace(item, command=said) if item.rule in _BY_VARIABLES else item for item in found]
    found += [replace(finding, command=said) for finding in _run(files, invocation)]
    return _gravest(found)


def _run(files: Sequence[SourceFile], invocation: Invocation) -> list[SourceFinding]:
    """Return what is found because the command runs it: in itself, and in files that do not look it."""
    pieces, unseen = entrypoint.started(files, invocation)
    invented = {file.path for file, _ in pieces} - {file.path for file in files}
    about = Collector(entrypoint.PLACE)
    for position, text in enumerate(dict.fromkeys(unseen)):
        about.add("unreadable-code", Severity.HIGH, position + 1, text)
    found = list(about.found.values())
    for file, language in pieces:
        if file.path in invented or language != (language_of(file) or language_by_content(file.content)):
            found += _file(file, language)
    return found


def _gravest(found: Iterable[SourceFinding]) -> tuple[SourceFinding, ...]:
    first: dict[tuple[str, int, str], SourceFinding] = {}
    for finding in sorted(found, key=gravest_first):
        first.setdefault((finding.path, finding.line, finding.rule), finding)
    return tuple(first.values())[:MAX_FINDINGS]


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
    return _gravest(_file(file, language))


def remembered_source_findings(
    files: Sequence[SourceFile], invocation: Invocation = NOTHING
) -> tuple[SourceFinding, ...]:
    """Return ``source_findings``, looked for once for the same files and invocation."""
    fingerprint = hashlib.sha256()
    parts = [
        part
        for file in sorted(files, key=lambda item: item.path)
        for part in (file.path.encode(), file.content)
    ]
    for part in (str(len(files)).encode(), *parts, invocation_digest(invocation).encode()):
        fingerprint.update(len(part).to_bytes(8, "big"))
        fingerprint.update(part)
    digest = fingerprint.hexdigest()
    known = _KNOWN.get(digest)
    if known is None:
        known = _KNOWN[digest] = source_findings(files, invocation)
        while len(_KNOWN) > _MAX_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)))
    return known


def _file(file: SourceFile, run_by: str = "") -> Iterable[SourceFinding]:
    into = Collector(file.path)
    if file.content.startswith((b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")):
        into.add("binary", Severity.HIGH, 1, "is a program in machine code, which nobody can look into")
        return into.found.values()
    if _holds_code(file.content):
        into.add("binary", Severity.HIGH, 1, "is an archive that holds code, which nobody looked into")
    named = run_by or language_of(file)
    language = named or language_by_content(file.content)
    if language == "python":
        text = code_text(file.content, into)
    else:
        # No shell minds a byte that is no UTF-8, and bash passes over one that is zero.
        text = _decoded(file.content.replace(b"\0", b"") if language == "shell" else file.content)
    if text is None and (language or _ending(file.path) in _TEXT[:-1]):
        text = file.content.decode("utf-8", "replace")
    if _is_compiled(file.content) or (text is None and file.path.endswith(_COMPILED)):
        into.add("binary", Severity.HIGH, 1, "is compiled code, which nobody can look into")
    if text is not None:
        into.signs(text, HIDDEN)
        if language:
            _LOOKS[language](text, into)
        if not named and _ending(file.path) in _TEXT:
            into.signs(text, TEXTS)
    if not named:
        _as_data(file, into)
    return into.found.values()


def _as_data(file: SourceFile, into: Collector) -> None:
    """Look for what no data says, a degree milder: nothing tells that a shell is given it."""
    text = file.content.replace(b"\0", b"").decode("utf-8", "replace")
    if _ending(file.path) in _MARKUP:
        _scripts(text, into)
    if _ending(file.path) in {".md", ".markdown"}:
        _fences(text, into)
    elif _ending(file.path) not in _PROSE:
        data = Collector(file.path, milder=True, note="as a shell reads it: ")
        other_code.look_for_grave_shell(text, data)
        for finding in data.found.values():
            into.keep(finding)


def _is_compiled(content: bytes) -> bool:
    """Whether a file of any name is what Python compiled: a magic number, and a code object behind it."""
    return content[2:4] == b"\r\n" and content[16:17] in {b"\x63", b"\xe3"}


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _holds_code(content: bytes) -> bool:
    """Whether an archive can be run or imported as it is: Python takes one with anything before it."""
    if not (content.startswith(b"PK\x03\x04") or zipfile.is_zipfile(io.BytesIO(content))):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(_ending(name) in _IN_ARCHIVES for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return True


def _ending(path: str) -> str:
    return "." + path.rpartition(".")[2].lower() if "." in path.rpartition("/")[2] else ""


def language_of(file: SourceFile) -> str:
    """Return what a file is by its name or first line: ``javascript``, ``python``, ``shell`` or nothing."""
    shebang = _SHEBANG.match(file.content[:512].decode("latin-1"))
    language, ending = shebang[1] if shebang else "", _ending(file.path)
    if ending in _PYTHON or language == "python":
        return "python"
    if ending in _JAVASCRIPT or language in {"node", "deno", "bun"}:
        return "javascript"
    return "shell" if ending in _SHELL or language else ""


def _fragment(match: re.Match[str], into: Collector, *, note: str) -> Collector:
    """Return a collector for code that a text holds, a degree milder: no sandbox runs it."""
    offset = match.string.count("\n", 0, match.start("code"))
    return Collector(into.path, offset=offset, milder=True, note=note)


def _scripts(text: str, into: Collector) -> None:
    """Look at the scripts of a page or an image, a degree milder: who shows it runs them, no sandbox does."""
    for match in _SCRIPT.finditer(text):
        script = _fragment(match, into, note="script: ")
        other_code.look_javascript(match["code"], script)
        for finding in script.found.values():
            # That a page opens connections, in its reader's browser, is what pages do.
            if finding.severity is not Severity.LOW:
                into.keep(finding)
    active = _ACTIVE.search(text) if _ending(into.path) == ".svg" else None
    if active:
        line = text.count("\n", 0, active.start()) + 1
        into.add("scripted-image", Severity.HIGH, line, "is an image that runs code where it is shown")


def _fences(text: str, into: Collector) -> None:
    """Look at the examples in a text, a degree milder: an agent may run them, the sandbox does not."""
    for match in _FENCE.finditer(text):
        example = _fragment(match, into, note="example: ")
        language = match["language"].lower()
        if language in _FENCED_SHELL:
            other_code.look_shell(match["code"], example)
        elif language in _FENCED_PYTHON and python_code.parse(match["code"]) is not None:
            python_code.look(match["code"], example)
        elif language in _FENCED_JAVASCRIPT:
            other_code.look_javascript(match["code"], example)
        for finding in example.found.values():
            into.keep(finding)

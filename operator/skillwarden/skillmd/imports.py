"""What scripts import and nobody declared: proposals, each with its evidence, never added by themselves."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..domain.package import DeclaredPackage, Ecosystem
from ..scan.toplist import top_names
from ..source.python_code import parse
from .files import Folder

#: Import names whose distribution is called otherwise (facts of PyPI), of what scripts commonly import.
_DISTRIBUTIONS = {
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cairosvg": "cairosvg",
    "Crypto": "pycryptodome",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "discord": "discord-py",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "github": "pygithub",
    "gitlab": "python-gitlab",
    "googleapiclient": "google-api-python-client",
    "grpc": "grpcio",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "Levenshtein": "levenshtein",
    "magic": "python-magic",
    "markdown": "markdown",
    "MySQLdb": "mysqlclient",
    "nacl": "pynacl",
    "OpenSSL": "pyopenssl",
    "pdf2image": "pdf2image",
    "PIL": "pillow",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pypdf2": "pypdf2",
    "PyPDF2": "pypdf2",
    "pytesseract": "pytesseract",
    "rest_framework": "djangorestframework",
    "serial": "pyserial",
    "sentence_transformers": "sentence-transformers",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "socks": "pysocks",
    "speech_recognition": "speechrecognition",
    "telegram": "python-telegram-bot",
    "usb": "pyusb",
    "websocket": "websocket-client",
    "win32com": "pywin32",
    "yaml": "pyyaml",
    "youtube_transcript_api": "youtube-transcript-api",
    "zmq": "pyzmq",
}
_FENCE = re.compile(r"(?ms)^[ \t]*```[ \t]*(?:python|py)[^\n]*\n(.*?)^[ \t]*```")
_PIP = re.compile(
    r"(?:\bpip3?|\buv(?:\s+pip)?)\s+(?:install|add)\s+(?P<rest>[^\n`|;&]+)|--with[ =](?P<one>[^\s`]+)"
)
_JS_IMPORT = re.compile(
    r"""(?mx)
    (?:^\s*(?:import|export)\s[^'"\n;]*?\bfrom\s*|^\s*import\s*|\brequire\s*\(\s*|\bimport\s*\(\s*)
    (?P<quote>['"])(?P<name>[^'"\n]{1,214})(?P=quote)"""
)
_JS_NAME = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*")
#: Modules that Node itself has (nodejs.org, API index).
_NODE_MODULES = frozenset(
    """
    assert async_hooks buffer child_process cluster console constants crypto dgram
    diagnostics_channel dns domain events fs http http2 https inspector module net os path
    perf_hooks process punycode querystring readline repl sea sqlite stream string_decoder sys test
    timers tls trace_events tty url util v8 vm wasi worker_threads zlib
    """.split()  # noqa: SIM905 - a list of eighty strings is no easier to read
)
_JS_FILES = (".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")


@functools.cache
def _top() -> frozenset[str]:
    return frozenset(top_names())


@dataclass(frozen=True, slots=True, order=True)
class Proposal:
    """A package that a script seems to need.

    Attributes
    ----------
    ecosystem
        Where it would come from.
    package
        Its name; ``""`` where nothing says which distribution brings the import.
    imported
        What the script imports.
    file, line
        Where.
    evidence
        Why this package.
    """

    ecosystem: Ecosystem
    package: str
    imported: str
    file: str
    line: int
    evidence: str


def propose(folder: Folder, skill_file: str, declared: Iterable[DeclaredPackage]) -> tuple[Proposal, ...]:
    """Return what scripts, and Python code in SKILL.md, import but nothing declares; one proposal a package.

    Parameters
    ----------
    folder, skill_file
        The skill's, and the name of its SKILL.md.
    declared
        What intake took.
    """
    known = {(item.ecosystem, item.name) for item in declared}
    found: dict[tuple[Ecosystem, str], Proposal] = {}
    for proposal in (*_python(folder, skill_file), *_node(folder)):
        name = proposal.package or proposal.imported
        key = (proposal.ecosystem, name)
        if key not in known and key not in found:
            found[key] = proposal
    return tuple(sorted(found.values()))


def _python(folder: Folder, skill_file: str) -> Iterator[Proposal]:
    # A module may lie beside any script, and scripts put folders on sys.path: each name here is local.
    local = {PurePosixPath(path).stem for path in folder.named(".py")}
    local |= {part for path in folder.named(".py") for part in PurePosixPath(path).parts[:-1]}
    mentioned = dict(_mentioned(folder, skill_file))
    for name, file, line in (*_imports_of_files(folder), *_imports_of_text(folder, skill_file)):
        if name in sys.stdlib_module_names or name in local or name.startswith("_"):
            continue
        yield _identified(name, file, line, mentioned)


def _identified(name: str, file: str, line: int, mentioned: dict[str, str]) -> Proposal:
    plain = canonicalize_name(name)
    known = _DISTRIBUTIONS.get(name)
    for candidate in (known, plain):
        if candidate and candidate in mentioned:
            return Proposal(Ecosystem.PYPI, candidate, name, file, line, mentioned[candidate])
    if known:
        evidence = f"the import name {name} is known to be of {known}"
        return Proposal(Ecosystem.PYPI, known, name, file, line, evidence)
    if plain in _top():
        evidence = "it is one of PyPI's most downloaded packages, and has the import's name"
        return Proposal(Ecosystem.PYPI, plain, name, file, line, evidence)
    return Proposal(Ecosystem.PYPI, "", name, file, line, "no evidence says which package brings it")


def _imports_of_files(folder: Folder) -> Iterator[tuple[str, str, int]]:
    for path in folder.named(".py"):
        for name, line in _imports(folder.text(path) or ""):
            yield name, path, line


def _imports_of_text(folder: Folder, skill_file: str) -> Iterator[tuple[str, str, int]]:
    text = folder.text(skill_file) or ""
    for match in _FENCE.finditer(text):
        first = text.count("\n", 0, match.start(1))
        for name, line in _imports(match[1]):
            yield name, skill_file, first + line


def _imports(text: str) -> Iterator[tuple[str, int]]:
    """Yield the top-level names that Python code imports, with lines; nothing where it is no Python 3."""
    tree = parse(text)
    if tree is None:
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield alias.name.partition(".")[0], node.lineno
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0], node.lineno


def _mentioned(folder: Folder, skill_file: str) -> Iterator[tuple[str, str]]:
    """Yield what SKILL.md tells its reader to install, with where it says so."""
    for number, line in enumerate((folder.text(skill_file) or "").splitlines(), start=1):
        for match in _PIP.finditer(line):
            for word in (match["rest"] or match["one"] or "").split():
                try:
                    name = canonicalize_name(Requirement(word.strip("'\"`,.)")).name)
                except InvalidRequirement:
                    continue
                yield name, f"{skill_file}:{number} says to install it"


def _node(folder: Folder) -> Iterator[Proposal]:
    for path in folder.named(*_JS_FILES):
        text = folder.text(path) or ""
        for match in _JS_IMPORT.finditer(text):
            name = _package_of(match["name"])
            if name:
                line = text.count("\n", 0, match.start("name")) + 1
                yield Proposal(Ecosystem.NPM, name, match["name"], path, line, "the import names the package")


def _package_of(module: str) -> str:
    if module.startswith((".", "/", "node:", "bun:", "deno:")) or "://" in module:
        return ""
    parts = module.split("/")
    name = "/".join(parts[:2]) if module.startswith("@") else parts[0]
    if name in _NODE_MODULES or not _JS_NAME.fullmatch(name):
        return ""
    return name

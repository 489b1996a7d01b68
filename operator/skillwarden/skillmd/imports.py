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
    "antlr4": "antlr4-python3-runtime",
    "apiclient": "google-api-python-client",
    "attr": "attrs",
    "barcode": "python-barcode",
    "binance": "python-binance",
    "Bio": "biopython",
    "bluetooth": "pybluez",
    "bs4": "beautifulsoup4",
    "bson": "pymongo",
    "cairo": "pycairo",
    "cairosvg": "cairosvg",
    "camelot": "camelot-py",
    "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "decouple": "python-decouple",
    "discord": "discord-py",
    "dns": "dnspython",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "ee": "earthengine-api",
    "environ": "django-environ",
    "faiss": "faiss-cpu",
    "ffmpeg": "ffmpeg-python",
    "fitz": "pymupdf",
    "gi": "pygobject",
    "git": "gitpython",
    "github": "pygithub",
    "gitlab": "python-gitlab",
    "gnupg": "python-gnupg",
    "googleapiclient": "google-api-python-client",
    "gridfs": "pymongo",
    "grpc": "grpcio",
    "HTSeq": "htseq",
    "IPython": "ipython",
    "jenkins": "python-jenkins",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "ldap": "python-ldap",
    "Levenshtein": "levenshtein",
    "magic": "python-magic",
    "markdown": "markdown",
    "MDAnalysis": "mdanalysis",
    "memcache": "python-memcached",
    "mpl_toolkits": "matplotlib",
    "mysql": "mysql-connector-python",
    "MySQLdb": "mysqlclient",
    "nacl": "pynacl",
    "netCDF4": "netcdf4",
    "newspaper": "newspaper3k",
    "nmap": "python-nmap",
    "OpenGL": "pyopengl",
    "OpenSSL": "pyopenssl",
    "osgeo": "gdal",
    "paho": "paho-mqtt",
    "pdf2image": "pdf2image",
    "pdfminer": "pdfminer-six",
    "PIL": "pillow",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "pwn": "pwntools",
    "pyBigWig": "pybigwig",
    "PyPDF2": "pypdf2",
    "pypdf2": "pypdf2",
    "PyQt5": "pyqt5",
    "PyQt6": "pyqt6",
    "PySide6": "pyside6",
    "pytesseract": "pytesseract",
    "pythoncom": "pywin32",
    "readability": "readability-lxml",
    "rest_framework": "djangorestframework",
    "scvi": "scvi-tools",
    "sentence_transformers": "sentence-transformers",
    "serial": "pyserial",
    "SimpleITK": "simpleitk",
    "skbio": "scikit-bio",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "skopt": "scikit-optimize",
    "sksurv": "scikit-survival",
    "slack": "slackclient",
    "slugify": "python-slugify",
    "socketio": "python-socketio",
    "socks": "pysocks",
    "speech_recognition": "speechrecognition",
    "tabula": "tabula-py",
    "talib": "ta-lib",
    "tavily": "tavily-python",
    "telegram": "python-telegram-bot",
    "umap": "umap-learn",
    "usb": "pyusb",
    "vlc": "python-vlc",
    "weaviate": "weaviate-client",
    "websocket": "websocket-client",
    "whisper": "openai-whisper",
    "whois": "python-whois",
    "win32api": "pywin32",
    "win32com": "pywin32",
    "win32con": "pywin32",
    "win32gui": "pywin32",
    "wx": "wxpython",
    "Xlib": "python-xlib",
    "yaml": "pyyaml",
    "youtube_transcript_api": "youtube-transcript-api",
    "z3": "z3-solver",
    "zmq": "pyzmq",
    # Modules of namespace packages, each looked up in the distribution.
    "azure.core": "azure-core",
    "azure.identity": "azure-identity",
    "azure.keyvault.secrets": "azure-keyvault-secrets",
    "azure.storage.blob": "azure-storage-blob",
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.storage": "google-cloud-storage",
    "google.genai": "google-genai",
    "google.generativeai": "google-generativeai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "opentelemetry.context": "opentelemetry-api",
    "opentelemetry.metrics": "opentelemetry-api",
    "opentelemetry.propagate": "opentelemetry-api",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.trace": "opentelemetry-api",
    "ruamel.yaml": "ruamel-yaml",
    "snowflake.connector": "snowflake-connector-python",
    "snowflake.snowpark": "snowflake-snowpark-python",
    "zope.interface": "zope-interface",
}
#: Other distributions of a module: two of them write over each other.
_ALTERNATIVES = {
    "cv2": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
}
#: Many distributions have modules below these, and the one of the name, if any, is none that scripts mean.
_NAMESPACES = frozenset({"azure", "google", "opentelemetry", "ruamel", "snowflake", "zope"})
#: What projects call modules of their own: the distribution of the name, if any, is none that scripts mean.
_PROJECTS_OWN = frozenset(
    {
        "common",
        "config",
        "constants",
        "core",
        "helpers",
        "lib",
        "logger",
        "models",
        "schema",
        "tools",
        "utils",
    }
)
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
    python = {name for ecosystem, name in known if ecosystem is Ecosystem.PYPI}
    found: dict[tuple[Ecosystem, str], Proposal] = {}
    for proposal in (*_python(folder, skill_file, python), *_node(folder)):
        name = proposal.package or proposal.imported
        key = (proposal.ecosystem, name)
        if key not in known and key not in found:
            found[key] = proposal
    return tuple(sorted(found.values()))


def _python(folder: Folder, skill_file: str, declared: set[str]) -> Iterator[Proposal]:
    # A module may lie beside any script, and scripts put folders on sys.path: each name here is local.
    local = {PurePosixPath(path).stem for path in folder.named(".py")}
    local |= {part for path in folder.named(".py") for part in PurePosixPath(path).parts[:-1]}
    mentioned = dict(_mentioned(folder, skill_file))
    for dotted, file, line in (*_imports_of_files(folder), *_imports_of_text(folder, skill_file)):
        name = dotted.partition(".")[0]
        if name in sys.stdlib_module_names or name in local or name.startswith("_"):
            continue
        modules = _modules(dotted)
        if declared.isdisjoint(each for module in modules for each in _distributions(module)):
            yield _identified(modules, file, line, mentioned)


def _modules(dotted: str) -> list[str]:
    """Return what may name a distribution: the first name; of a namespace's modules, the longest first."""
    parts = dotted.split(".")
    if parts[0] not in _NAMESPACES:
        return parts[:1]
    # Below the third name there are classes and functions, of which each would be proposed by itself.
    return [".".join(parts[:length]) for length in range(min(len(parts), 3), 1, -1)] or parts[:1]


def _distributions(module: str) -> list[str]:
    """Return the distributions that may bring a module, the likeliest first."""
    known = [_DISTRIBUTIONS[module]] if module in _DISTRIBUTIONS else []
    return [*known, *_ALTERNATIVES.get(module, ()), canonicalize_name(module)]


def _identified(modules: list[str], file: str, line: int, mentioned: dict[str, str]) -> Proposal:
    for module in modules:
        for candidate in _distributions(module):
            if candidate in mentioned and module not in _NAMESPACES:
                return Proposal(Ecosystem.PYPI, candidate, module, file, line, mentioned[candidate])
        if known := _DISTRIBUTIONS.get(module):
            evidence = f"the import name {module} is known to be of {known}"
            return Proposal(Ecosystem.PYPI, known, module, file, line, evidence)
    # Below a namespace a name says nothing: google.api is not of google-api.
    name = modules[0]
    if name.partition(".")[0] not in _NAMESPACES and _names_its_distribution(name):
        evidence = "it is one of PyPI's most downloaded packages, and has the import's name"
        return Proposal(Ecosystem.PYPI, canonicalize_name(name), name, file, line, evidence)
    return Proposal(Ecosystem.PYPI, "", name, file, line, "no evidence says which package brings it")


def _names_its_distribution(name: str) -> bool:
    """Whether a much downloaded distribution of an import's name is likely to bring it: not bio for Bio."""
    return name == name.lower() and name not in _PROJECTS_OWN and canonicalize_name(name) in _top()


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
    """Yield the dotted names that Python code imports, with lines; nothing where it is no Python 3."""
    tree = parse(text)
    if tree is None:
        return
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield alias.name, node.lineno
            case ast.ImportFrom(module=str(module), level=0):
                for alias in node.names:
                    yield module if alias.name == "*" else f"{module}.{alias.name}", node.lineno


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

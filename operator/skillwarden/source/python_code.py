"""Python code by its syntax tree: what it calls, under whatever name, and what it hides."""

from __future__ import annotations

import ast
import functools
import posixpath
import warnings

from skillwarden.domain.finding import Severity

from . import other_code
from .collect import Collector
from .commands import Place, runs_of, runs_of_words
from .decode import decoded
from .python_environment import PROCESS, whole_environment
from .python_names import Names
from .python_reach import Reach
from .signs import CONSTANTS, names_secret

#: How deep a blob inside of a blob is looked into.
_DEPTH = 3
_TRIES = 3
_BUILTINS = ("builtins.", "__builtins__.")
_RUNS_TEXT = frozenset(f"{space}{name}" for space in ("", *_BUILTINS) for name in ("eval", "exec"))
_RUNS_CODE = _RUNS_TEXT | {f"{space}compile" for space in ("", *_BUILTINS)}
_RUNS_CODE |= {"code.interact", "types.FunctionType", "types.CodeType"}
#: What runs a file, whatever its name is: which argument names it, and how.
_RUNS_FILE = {
    "imp.load_source": (1, "pathname"),
    "importlib.machinery.SourceFileLoader": (1, "path"),
    "importlib.machinery.SourcelessFileLoader": (1, "path"),
    "importlib.util.spec_from_file_location": (1, "location"),
    "runpy.run_path": (0, "path_name"),
}
_FOLDER = "/skill/src/"
_DECODES = (
    "base64.",
    "binascii.",
    "codecs.decode",
    "zlib.decompress",
    "lzma.decompress",
    "bz2.decompress",
    "gzip.decompress",
    "bytes.fromhex",
    "marshal.loads",
)
_DESERIALISES = frozenset(
    {"pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.loads", "dill.load", "dill.loads"}
)
_DESERIALISES |= {
    "marshal.load",
    "marshal.loads",
    "shelve.open",
    "jsonpickle.decode",
    "joblib.load",
    "torch.load",
}
_SHELL = frozenset(
    {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"}
)
_NETWORK = (
    "socket.",
    "requests.",
    "urllib.request.",
    "http.client.",
    "httpx.",
    "aiohttp.",
    "urllib3.",
    "ftplib.",
    "smtplib.",
    "paramiko.",
    "websocket.",
    "websockets.",
)
_SENDS = (".post", ".put", ".sendall", ".send", ".sendto", ".storbinary", ".sendmail", "urlopen", ".upload")
#: Names that send only where what they are called on is of the network: a queue has them, too.
_SENDS_PERHAPS = (".put", ".send", ".upload")
_LOCAL = ("asyncio.", "collections.", "concurrent.", "multiprocessing.", "queue.", "threading.")
#: Of ``socket``: what asks, and opens no connection.
_ASKS = frozenset(
    f"socket.{name}"
    for name in (
        *("getfqdn", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "gethostname", "getservbyname"),
        *("getaddrinfo", "getdefaulttimeout", "if_nameindex", "inet_aton", "inet_ntoa", "setdefaulttimeout"),
    )
)
_MAKES_SOCKET = frozenset({"create_connection", "socket"})
#: Programs that hand what they are told to a connection, without a shell.
_CONNECTS = frozenset({"nc", "ncat", "netcat", "socat"})
_NOWHERE = Place(folder="", names=(), scripts={})


def look(text: str, into: Collector, *, depth: int = 0) -> None:
    """Look at Python code.

    Parameters
    ----------
    text
        The code; what is not Python 3 is itself remarked, for nobody can look into it.
    into
        Takes what is found.
    depth
        Of blobs: how many were decoded on the way here.
    """
    try:
        tree = parse(text)
        if tree is not None:
            _Module(tree, into, depth).look()
    except RecursionError:  # code that nests deeper than anybody writes
        tree = None
    if tree is None:
        into.add(
            "unreadable-code",
            Severity.HIGH,
            1,
            "is not Python 3 that can be read, so nobody looked into it",
        )


def parse(text: str) -> ast.Module | None:
    """Return the syntax tree of Python 3 code, or ``None`` where it is none."""
    for _ in range(_TRIES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the skill's code, not of ours
                return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        except SystemError:
            # CPython before 3.11.8 (gh-106905) where garbage collected meanwhile has a traceback formatted.
            continue
    return None


class _Module:
    """One module under the eye."""

    def __init__(self, tree: ast.Module, into: Collector, depth: int) -> None:
        self._tree = tree
        self._into = into
        self._depth = depth
        self._names = Names(tree)
        self._calls: list[tuple[str, ast.Call]] = []
        self._imports: set[str] = set()
        self._secrets: list[tuple[str, ast.expr]] = []
        self._hides_secret = False

    def look(self) -> None:
        for text, constant in self._names.constants(self._tree):
            self._into.signs(text, CONSTANTS, line=constant.lineno)
            self._blob(text, constant.lineno)
            if names_secret(text):
                self._secrets.append((text, constant))
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                name = self._names.dotted(node.func)
                if name is None and isinstance(node.func, ast.Attribute):
                    name = f"?.{node.func.attr}"
                if name is not None:
                    self._calls.append((name, node))
                    self._call(name, node)
            elif isinstance(node, ast.ImportFrom | ast.Import):
                self._import(node)
        self._handed_on()
        self._together()

    # -- single signs ----------------------------------------------------------------------------------

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        names = (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
        self._imports.update(names)
        if any(name.partition(".")[0] in {"ctypes", "cffi"} for name in names):
            self._into.add(
                "native-code", Severity.MEDIUM, node.lineno, "calls native code, past what Python shows"
            )

    def _call(self, name: str, node: ast.Call) -> None:
        line, add = node.lineno, self._into.add
        if name in _RUNS_CODE:
            self._runs_code(name, node)
        elif name in _RUNS_FILE:
            self._runs_file(name, node)
        elif name in _DESERIALISES:
            add("deserialisation", Severity.MEDIUM, line, f"{name} runs whatever the data says")
        elif name == "yaml.load" and not self._safe_yaml(node):
            add("deserialisation", Severity.MEDIUM, line, "yaml.load without a safe loader makes any object")
        elif self._is_shell(name, node):
            add("shell", Severity.MEDIUM, line, f"{name} starts a shell")
            self._command(name, node, by_shell=True)
        elif name.startswith(PROCESS):
            add("subprocess", Severity.MEDIUM, line, f"{name} starts a program")
            self._command(name, node, by_shell=False)
        elif name.startswith(_NETWORK):
            add(
                "network",
                Severity.LOW,
                line,
                f"{name} opens a connection; a sandbox has none unless it is allowed",
            )
        elif name in {"os.setuid", "os.setgid", "os.chroot", "os.mknod"}:
            add("privilege", Severity.MEDIUM, line, f"{name} changes who the program is")
        elif name in {"__import__", "importlib.import_module"} and self._names.text(
            node.args[0] if node.args else node
        ):
            module = self._names.text(node.args[0]) or ""
            if module.partition(".")[0] in {
                "os",
                "subprocess",
                "socket",
                "pty",
                "ctypes",
                "builtins",
                "marshal",
            }:
                add(
                    "import-by-name",
                    Severity.MEDIUM,
                    line,
                    f"imports {module} by its name, as code does that hides",
                )

    def _runs_code(self, name: str, node: ast.Call) -> None:
        plain = name.rpartition(".")[2] if name.startswith(_BUILTINS) else name
        argument = node.args[0] if node.args else None
        constant = self._names.text(argument) if argument is not None else None
        if argument is not None and self._decodes(argument):
            self._into.add(
                "encoded-code",
                Severity.CRITICAL,
                node.lineno,
                f"{plain} runs code that was hidden by encoding",
            )
        elif constant is not None:
            # What it runs stands there to be read: it counts for what it does.
            text = constant.lstrip(" \t") if plain == "eval" else constant
            look(text, self._into.inside(line=node.lineno, note=f"in {plain}:"), depth=self._depth + 1)
        elif plain != "compile":
            self._into.add(
                "dynamic-code", Severity.HIGH, node.lineno, f"{plain} runs code that is made while it runs"
            )

    def _runs_file(self, name: str, node: ast.Call) -> None:
        """Remark a file that is run, unless it is known to be one of the skill's: those are looked at."""
        position, keyword = _RUNS_FILE[name]
        given = [*node.args[position : position + 1], *(i.value for i in node.keywords if i.arg == keyword)]
        path = posixpath.normpath(self._names.text(given[0]) or "/") if given else ""
        if not path.startswith(("/", "..")) or path.startswith(_FOLDER):
            return
        by_name = name != "runpy.run_path"
        self._into.add(
            "import-by-name" if by_name else "dynamic-code",
            Severity.MEDIUM if by_name else Severity.HIGH,
            node.lineno,
            f"{name} runs a file that is named while it runs, or is not the skill's",
        )

    def _handed_on(self) -> None:
        """Remark where exec or eval is handed on, to a decorator or to map: it is called out of sight."""
        called = {id(node.func) for _, node in self._calls}
        for node in ast.walk(self._tree):
            if (
                isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
                and id(node) not in called
                and isinstance(getattr(node, "ctx", None), ast.Load | None)
                and (name := self._names.dotted(node)) in _RUNS_TEXT
            ):
                self._into.add(
                    "dynamic-code",
                    Severity.HIGH,
                    node.lineno,
                    f"hands on {name}, which runs whatever it is given",
                )

    def _command(self, name: str, node: ast.Call, *, by_shell: bool) -> None:
        """Look at the code that stands in a command: what a shell, or another interpreter, is told to run."""
        given = [
            *node.args,
            *(item.value for item in node.keywords if item.arg in {"args", "command", "cmd"}),
        ]
        words = [word for item in given for word in self._names.words(item)]
        if by_shell:
            runs = runs_of(" ".join(words), _NOWHERE)
        else:
            # Whatever it is that takes -c, it may be a shell.
            known = [
                "sh" if word == "?" and following == "-c" else word
                for word, following in zip(words, [*words[1:], ""], strict=True)
            ]
            runs = runs_of_words(known, _NOWHERE)
            if not any(posixpath.basename(word) in _CONNECTS for word in known):
                runs = runs[1:]  # what no shell reads is no shell's text
        inside = self._into.inside(line=node.lineno, note=f"in {name}:")
        for run in runs:
            if run.code and run.language == "shell":
                other_code.look_shell(run.code, inside)
            elif run.code and run.language == "javascript":
                other_code.look_javascript(run.code, inside)
            elif run.code:
                look(run.code, inside, depth=self._depth + 1)

    def _decodes(self, node: ast.expr) -> bool:
        return any(
            isinstance(inner, ast.Call)
            and (
                (name := self._names.dotted(inner.func) or "").startswith(_DECODES)
                or name.endswith(".fromhex")
            )
            for inner in ast.walk(node)
        ) or (isinstance(node, ast.Name) and node.id in self._from_decoding)

    @functools.cached_property
    def _from_decoding(self) -> frozenset[str]:
        """The names that are assigned from decoding; found once, and not anew for each call."""
        return frozenset(
            target.id
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Assign)
            and not isinstance(node.value, ast.Name)
            and self._decodes(node.value)
            for target in node.targets
            if isinstance(target, ast.Name)
        )

    def _blob(self, text: str, line: int) -> None:
        if self._depth >= _DEPTH or len(text) < 24:
            return
        for inner in decoded(text):
            hidden = self._into.inside(line=line, note="decoded:")
            hidden.signs(inner, CONSTANTS)
            self._hides_secret = self._hides_secret or names_secret(inner)
            if parse(inner) is not None and any(
                word in inner for word in ("import ", "exec", "eval", "open(", "(")
            ):
                look(inner, hidden, depth=self._depth + 1)

    def _is_shell(self, name: str, node: ast.Call) -> bool:
        return (
            name in _SHELL
            or name == "asyncio.create_subprocess_shell"
            or (name.startswith("subprocess.") and self._with_shell(node))
        )

    @staticmethod
    def _with_shell(node: ast.Call) -> bool:
        return any(
            item.arg == "shell" and not (isinstance(item.value, ast.Constant) and not item.value.value)
            for item in node.keywords
        )

    def _safe_yaml(self, node: ast.Call) -> bool:
        loaders = [item.value for item in node.keywords if item.arg == "Loader"] + node.args[1:2]
        return any("Safe" in (self._names.dotted(loader) or "") for loader in loaders)

    # -- signs that tell together ----------------------------------------------------------------------

    def _together(self) -> None:
        """Remark what is harmful only together: a shell fed by a socket, a secret and a send."""
        names = {name for name, _ in self._calls}
        connects = self._opens_socket(names)
        takes_over = any(name in {"os.dup2", "pty.spawn"} for name in names) or any(
            self._fed_by_socket(node) for name, node in self._calls if name.startswith("subprocess.")
        )
        if connects and takes_over:
            line = next(
                node.lineno
                for name, node in self._calls
                if name in {"os.dup2", "pty.spawn"} or "subprocess" in name
            )
            self._into.add(
                "reverse-shell",
                Severity.CRITICAL,
                line,
                "hands a program's input to a connection: a reverse shell",
            )
        sends = [node for name, node in self._calls if self._sends(name, node)]
        severity = whole_environment(self._tree, self._names, sends=sends, into=self._into)
        if self._into.has("credential-path", "metadata-service"):
            severity = Severity.CRITICAL if self._reaches_secret() else severity or Severity.HIGH
        if severity and sends and (connects or any(name.startswith(_NETWORK) for name in names)):
            self._into.add(
                "exfiltration",
                severity,
                sends[0].lineno,
                "reads credentials or the whole environment, and sends",
            )

    def _reaches_secret(self) -> bool:
        """Whether what names a secret may be read; what is only compared or told to somebody is not."""
        if self._hides_secret or not self._secrets:
            return True
        reach = Reach(self._tree, self._names)
        try:
            return any(reach.of(node, text=text) for text, node in self._secrets)
        except RecursionError:  # handed on more often than anybody writes
            return True

    def _opens_socket(self, names: set[str]) -> bool:
        if any(name.startswith(("socket.", "_socket.")) and name not in _ASKS for name in names):
            return True
        # By a star: then its names stand for themselves.
        by_star = "socket" in self._imports and not _MAKES_SOCKET.isdisjoint(names)
        return by_star or "asyncio.open_connection" in names

    def _sends(self, name: str, node: ast.Call) -> bool:
        if not name.endswith(_SENDS):
            return False
        if not (name.endswith(_SENDS_PERHAPS) and isinstance(node.func, ast.Attribute)):
            return True
        makers = self._names.makers(node.func.value)
        return not makers or any(self._may_connect(maker) for maker in makers)

    @staticmethod
    def _may_connect(maker: str) -> bool:
        """Whether an object may be of the network, by its maker; the module's own classes are seen anyway."""
        return maker in {"?", *_MAKES_SOCKET} or ("." in maker and not maker.startswith(_LOCAL))

    def _fed_by_socket(self, node: ast.Call) -> bool:
        return any(
            self._of_socket(inner)
            for item in node.keywords
            if item.arg in {"stdin", "stdout"}
            for inner in ast.walk(item.value)
        )

    def _of_socket(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute) and node.attr in {"fileno", "makefile"}:
            makers = self._names.makers(node.value)
            return not makers or any(maker == "?" or "socket" in maker for maker in makers)
        return isinstance(node, ast.Name) and any("socket." in maker for maker in self._names.makers(node))

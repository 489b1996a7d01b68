"""What a resolver may use and how much of it; and how an index is named without its credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..bounded import TOOL_MEMORY
from ..domain.errors import InvalidInputError

#: The one name under which uv knows the index, for its credential variables.
INDEX_NAME = "skillwarden"
#: What a child inherits: trust anchors and proxies, without which no index answers; never a PATH.
PASSED_ON = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)


@dataclass(frozen=True, slots=True)
class ResolverSettings:
    """How Python closures are resolved.

    Attributes
    ----------
    index_url
        The one index (PEP 503 or 691), without credentials; ``None`` for uv's default.
    index_username, index_password
        Credentials, handed to uv in its environment and never on a command line.
    netrc
        A netrc file with the credentials, instead.
    uv_path
        The resolver; ``None`` for the one of the ``uv`` wheel.
    deadline_seconds
        For one resolution, both passes together.
    probe_seconds
        For asking the index whether it is well.
    memory_limit_bytes
        What the resolver may have for itself.
    cache_dir
        Metadata kept from one resolution to the next; ``None`` for none. Holds nothing that is trusted:
        artefacts are verified by hash.
    allowed_hosts
        Where not empty: the only hosts, beside the index's own, that artefacts may come from. Where
        empty: whatever the index declares.
    """

    index_url: str | None = None
    index_username: str = ""
    index_password: str = field(default="", repr=False)
    netrc: Path | None = None
    uv_path: Path | None = None
    deadline_seconds: float = 60
    probe_seconds: float = 10
    memory_limit_bytes: int = TOOL_MEMORY
    cache_dir: Path | None = None
    allowed_hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse an index that is no web address, or that carries credentials into logs."""
        if self.index_url is None:
            return
        parts = urlsplit(self.index_url)
        if parts.username is not None or parts.password is not None:
            raise InvalidInputError(
                f"the index URL for {parts.hostname} contains credentials.",
                fix="Give them as a username and a password, or in a netrc file.",
            )
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidInputError(
                f"the index URL {self.index_url!r} is not an http or https address.",
                fix="Give the address of a PEP 503 index, ending in /simple/ for most.",
            )

    @property
    def index_identity(self) -> str:
        """The index as part of a lock's key: its URL in one spelling, or ``default``."""
        if self.index_url is None:
            return "default"
        parts = urlsplit(self.index_url)
        port = f":{parts.port}" if parts.port else ""
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"

    def environment(self, *, home: Path) -> dict[str, str]:
        """Return the whole environment of the resolver.

        There is no PATH, so that a dependency that asks for ``git`` finds none; it is not empty, since
        some C libraries take an empty one for the working directory.
        """
        kept = {name: value for name in PASSED_ON if (value := os.environ.get(name))}
        timeout = str(max(1, min(30, int(self.deadline_seconds / 3))))
        return {
            **kept,
            **self._credentials(),
            "HOME": str(home),
            "TMPDIR": str(home),
            "PATH": "/nonexistent",
            "LC_ALL": "C.UTF-8",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_HTTP_TIMEOUT": timeout,
            "UV_HTTP_RETRIES": "1",
            # Each has buffers of its own: with fifty, a closure of two hundred packages took twice the memory
            # and no less time.
            "UV_CONCURRENT_DOWNLOADS": "8",
            "UV_KEYRING_PROVIDER": "disabled",
            "UV_NO_PROGRESS": "1",
        }

    def _credentials(self) -> Mapping[str, str]:
        found: dict[str, str] = {}
        if self.index_url is not None:
            found["UV_DEFAULT_INDEX"] = f"{INDEX_NAME}={self.index_url}"
            if self.index_username or self.index_password:
                found[f"UV_INDEX_{INDEX_NAME.upper()}_USERNAME"] = self.index_username
                found[f"UV_INDEX_{INDEX_NAME.upper()}_PASSWORD"] = self.index_password
        if self.netrc is not None:
            found["NETRC"] = str(self.netrc)
        return found

"""What the npm resolver may use, and how a registry is named without its credentials."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..bounded import TOOL_MEMORY
from ..domain.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class NpmSettings:
    """How npm closures are resolved.

    Attributes
    ----------
    registry_url
        The one registry, without credentials; ``None`` for npm's default.
    username, password, token
        Credentials (basic, or a bearer token), handed to npm in a file of the job's own.
    deadline_seconds
        For one resolution.
    probe_seconds
        For asking the registry whether it is well, and for each packument.
    memory_limit_bytes
        Address space of npm.
    cache_dir
        Metadata kept from one resolution to the next; ``None`` for none. Holds nothing that is trusted.
    allowed_hosts
        Hosts beside the registry's own that artefacts may come from.
    """

    registry_url: str | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    deadline_seconds: float = 60
    probe_seconds: float = 10
    memory_limit_bytes: int = TOOL_MEMORY
    cache_dir: Path | None = None
    allowed_hosts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a registry that is no web address, or that carries credentials into logs."""
        if self.registry_url is None:
            return
        parts = urlsplit(self.registry_url)
        if parts.username is not None or parts.password is not None:
            raise InvalidInputError(
                f"the npm registry's URL for {parts.hostname} contains credentials.",
                fix="Give them as a username and a password, or as a token.",
            )
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidInputError(
                f"the npm registry's URL {self.registry_url!r} is not an http or https address."
            )

    @property
    def registry_identity(self) -> str:
        """The registry as part of a lock's key: its URL in one spelling, or ``default``."""
        if self.registry_url is None:
            return "default"
        parts = urlsplit(self.registry_url)
        return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"

    @property
    def authorization(self) -> str | None:
        """The header that the registry wants, or ``None``."""
        if self.token:
            return f"Bearer {self.token}"
        if self.username or self.password:
            return f"Basic {self._basic}"
        return None

    @property
    def _basic(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")

    def write_npmrc(self, path: Path) -> None:
        """Write the user's settings that npm reads, for its owner alone."""
        lines = []
        if self.registry_url is not None:
            parts = urlsplit(self.registry_url)
            lines.append(f"registry={self.registry_url.rstrip('/')}/")
            place = f"//{parts.netloc}{parts.path.rstrip('/')}/"
            if self.token:
                lines.append(f"{place}:_authToken={self.token}")
            elif self.username or self.password:
                lines.append(f"{place}:_auth={self._basic}")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, ""]))

"""What the Pod's spec tells the init container; the builder writes these names, ``prepare`` reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..domain.errors import InvalidInputError

ENV_DEPOT_URL = "SKILLWARDEN_DEPOT_URL"
ENV_TOKEN = "SKILLWARDEN_TOKEN"  # noqa: S105 - a variable's name
ENV_LOCK = "SKILLWARDEN_LOCK_DIGEST"
ENV_CONTENT = "SKILLWARDEN_CONTENT_DIGEST"
ENV_INPUT = "SKILLWARDEN_INPUT_DIGEST"
ENV_ISOLATED = "SKILLWARDEN_ISOLATED"

#: The volume as the init container sees it, and the names below it that the skill's container mounts.
VOLUME = "/skill"
SOURCE = "src"
ENVIRONMENT = "env"
MODULES = "node_modules"
INPUT = "input.json"
OUTPUT = "output.json"
SCRATCH = ".prepare"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSettings:
    """One preparation.

    Attributes
    ----------
    depot_url
        Without a slash at the end.
    token
        Opens the digests below.
    lock_digest, content_digest, input_digest
        What every byte is verified against.
    isolated
        Whether this Pod's NetworkPolicy is enforced and denies all but the depot: it is waited for.
    volume
        Where to write.
    termination_log
        Where the kubelet reads a last word from.
    patience_seconds
        How long to go on asking a depot that does not answer: a network policy may take effect only some
        seconds after the Pod starts.
    """

    depot_url: str
    token: str = field(repr=False)
    lock_digest: str
    content_digest: str
    input_digest: str | None = None
    isolated: bool = False
    volume: Path = Path(VOLUME)
    termination_log: Path = Path("/dev/termination-log")
    patience_seconds: float = 45.0

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, volume: Path | None = None) -> PrepareSettings:
        """Read the environment that the Pod's builder wrote.

        Raises
        ------
        InvalidInputError
            Naming the variable that is absent or malformed.
        """
        url = _wanted(env, ENV_DEPOT_URL).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise InvalidInputError(f"{ENV_DEPOT_URL} must be an http or https URL, not {url!r}.")
        return cls(
            depot_url=url,
            token=_wanted(env, ENV_TOKEN),
            lock_digest=_digest(env, ENV_LOCK),
            content_digest=_digest(env, ENV_CONTENT),
            input_digest=_digest(env, ENV_INPUT) if env.get(ENV_INPUT) else None,
            isolated=env.get(ENV_ISOLATED) == "true",
            volume=volume or Path(VOLUME),
        )


def _wanted(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "")
    if not value:
        raise InvalidInputError(
            f"the environment variable {name} is not set.",
            fix="The operator sets it in the init container; it is not to be run by hand without.",
        )
    return value


def _digest(env: Mapping[str, str], name: str) -> str:
    value = _wanted(env, name)
    if not _DIGEST.fullmatch(value):
        raise InvalidInputError(f"{name} must be sha256:<64 hexadecimal digits>, not {value[:100]!r}.")
    return value

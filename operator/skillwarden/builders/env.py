"""The skill container's environment: ours first, and names that a skill may not set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..sandbox import settings as sandbox

#: What the container always has. The root is read-only, so a home and a scratch folder are /tmp.
SANDBOX_ENV: Mapping[str, str] = {
    "HOME": "/tmp",  # noqa: S108 - the Pod's own emptyDir
    "TMPDIR": "/tmp",  # noqa: S108 - as above
    "PYTHONPATH": f"{sandbox.VOLUME}/{sandbox.ENVIRONMENT}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",
}

#: Names a skill may not set: ours, and those that make a loader, shell or interpreter run other code than
#: was judged.
RESERVED_ENV = frozenset(
    {
        *SANDBOX_ENV,
        *("PATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONPLATLIBDIR", "BASH_ENV", "ENV"),
        *("NODE_OPTIONS", "NODE_PATH", "NODE_REPL_EXTERNAL_MODULE", "NODE_EXTRA_CA_CERTS"),
    }
)
RESERVED_PREFIXES = ("SKILLWARDEN_", "LD_")


def reserved_names(env: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the names that a skill may not set, in the order written; empty where all may be."""
    return tuple(name for name, _ in env if name in RESERVED_ENV or name.startswith(RESERVED_PREFIXES))

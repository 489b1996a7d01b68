"""uv's explanations, made short, stable and free of this machine."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

_MAX_LINES = 6
_MAX_CHARACTERS = 900
_CONCLUSION = re.compile(r",? we can conclude that your requirements are unsatisfiable\.?$")
_PATH = re.compile(r"(?<![\w:/.])/(?:[\w.+-]+/)+[\w.+-]+")
_USERINFO = re.compile(r"//[^/@\s]*@")
_WHEELS_REQUIRED = re.compile(r"Wheels are required for `([^`]+)`")
_NO_MATCHING_WHEEL = re.compile(
    r"\b([A-Za-z0-9][A-Za-z0-9._-]*)((?:==[^ ]+)?) has no (?:usable )?wheels(?: with a matching)?\b"
)
_NOT_FOUND = re.compile(r"\b([A-Za-z0-9][A-Za-z0-9._-]*) was not found in the package registry")
_FETCHING = re.compile(
    r"Request failed|Failed to fetch|error sending request|timed? ?out|HTTP status|Network connectivity"
    r"|Could not connect|dns error|certificate",
    re.IGNORECASE,
)


def condense(stderr: str) -> str:
    """Return uv's reason in a few lines, without paths, credentials or the words that say nothing.

    Parameters
    ----------
    stderr
        What uv wrote; untrusted, since names and ranges in it come from the index.
    """
    body = stderr.split("\nhint:", maxsplit=1)[0]
    _, found, cause = body.partition("cause:")
    lines = (cause if found else body.removeprefix("error:")).splitlines()
    kept = [_tidy(line) for line in lines if line.strip()]
    if len(kept) > _MAX_LINES:
        kept = [*kept[: _MAX_LINES - 1], f"(and {len(kept) - _MAX_LINES + 1} more steps)"]
    text = "\n".join(line for line in kept if line).rstrip(".")
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 3] + "..."


def _tidy(line: str) -> str:
    line = _PATH.sub("(path)", _USERINFO.sub("//", line.strip()))
    line = _CONCLUSION.sub("", line).replace(", we can conclude that", ",")
    line = line.removeprefix("cause: ").removeprefix("And because ").removeprefix("Because ")
    return "".join(char if char.isprintable() else " " for char in line)


def source_only_names(stderr: str) -> tuple[str, ...]:
    """Return the packages of which no wheel fits, normalised and sorted.

    A package counts where uv would have to build it, or where all its versions, or the one that is
    required, lack a wheel for the platform; not where uv only passes an unfitting version over.
    """
    text = " ".join(stderr.split())
    found = set(_WHEELS_REQUIRED.findall(text))
    for name, version in _NO_MATCHING_WHEEL.findall(text):
        whole = f"all versions of {name} cannot be used" in text
        if whole or (version and re.search(rf"you require {re.escape(name + version)}(?![\w.])", text)):
            found.add(name)
    return tuple(sorted({canonicalize_name(name) for name in found}))


def missing_names(stderr: str) -> tuple[str, ...]:
    """Return the packages that uv did not find, normalised and sorted."""
    return tuple(sorted({canonicalize_name(name) for name in _NOT_FOUND.findall(stderr)}))


def speaks_of_network(stderr: str) -> bool:
    """Say whether uv could not fetch something."""
    return _FETCHING.search(stderr) is not None

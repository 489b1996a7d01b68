"""Reading what uv writes: artefacts from its pylock.toml, parents from its annotated requirements."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.utils import canonicalize_name

from ..domain.lock import Artefact, Platform
from ..domain.package import Ecosystem, PackageId
from .errors import ResolverFailedError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==(\S+)")
_VIA = re.compile(r"\s+#\s+(?:via\s+)?(\S.*)")
#: Sources of PEP 751 that are no artefacts of an index. uv refuses them beneath a name; we do, too.
_FOREIGN = ("vcs", "directory", "archive")


@dataclass(frozen=True, slots=True)
class Resolved:
    """One package of uv's answer with every wheel that it lists."""

    id: PackageId
    wheels: tuple[Artefact, ...]


def read_pylock(text: str, platform: Platform) -> tuple[Resolved, ...]:
    """Read uv's ``pylock.toml`` (PEP 751).

    uv writes the marker under which a package is needed even where only one platform was asked for; what
    does not apply to the platform is left out.

    Raises
    ------
    ResolverFailedError
        Where it is not what we asked for: no TOML, sources outside of the index, no SHA-256, a marker that
        cannot be evaluated.
    """
    environment = marker_environment(platform)
    try:
        rows = [row for row in tomllib.loads(text).get("packages", ()) if _applies(row, environment)]
        return tuple(_package(row) for row in rows)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _unreadable(f"{type(error).__name__}: {error}") from error


def marker_environment(platform: Platform) -> dict[str, str]:
    """Return PEP 508's environment of a sandbox; the patch version is 0, as uv takes it."""
    arch = "x86_64" if platform.arch == "amd64" else "aarch64"
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{platform.python}.0",
        "os_name": "posix",
        "platform_machine": arch,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{platform.python}.0",
        "python_version": platform.python,
        "sys_platform": "linux",
        "extra": "",
    }


def _applies(row: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    text = row.get("marker")
    if text is None:
        return True
    try:
        return Marker(text).evaluate(dict(environment))
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName) as error:
        raise _unreadable(f"the marker of {row['name']} cannot be evaluated: {error}") from error


def _package(row: Mapping[str, Any]) -> Resolved:
    name = canonicalize_name(row["name"])
    foreign = [key for key in _FOREIGN if key in row]
    if foreign:
        raise _unreadable(f"{name} comes from outside of the index ({foreign[0]})")
    id_ = PackageId.of(Ecosystem.PYPI, name, row["version"])
    return Resolved(id_, tuple(_wheel(id_, wheel) for wheel in row.get("wheels", ())))


def _wheel(package: PackageId, row: Mapping[str, Any]) -> Artefact:
    url = row["url"]
    digest = row.get("hashes", {}).get("sha256", "").lower()
    if not _SHA256.fullmatch(digest):
        raise _unreadable(
            f"the index gives no SHA-256 for a wheel of {package}",
            fix="Use an index that publishes SHA-256 hashes.",
        )
    uploaded = row.get("upload-time")
    size = row.get("size")
    return Artefact(
        filename=row.get("name") or unquote(urlsplit(url).path.rsplit("/", 1)[-1]),
        digest=f"sha256:{digest}",
        url=url,
        size=size if isinstance(size, int) else None,
        uploaded_at=uploaded.astimezone(UTC) if isinstance(uploaded, datetime) else None,
    )


def read_parents(text: str) -> dict[PackageId, tuple[PackageId, ...]]:
    """Read who requires whom from ``uv pip compile --annotation-style split``.

    Returns
    -------
    dict
        For each pinned package those that require it, sorted. The requirements file itself (``-r ...``)
        is nobody's name.

    Raises
    ------
    ResolverFailedError
        Where a parent is not pinned itself.
    """
    parents: dict[PackageId, set[str]] = {}
    current: set[str] = set()
    for line in text.splitlines():
        if pin := _PIN.match(line):
            current = parents.setdefault(PackageId.of(Ecosystem.PYPI, pin[1], pin[2]), set())
        elif (via := _VIA.fullmatch(line)) and via[1] != "via" and not via[1].startswith("-"):
            current.add(canonicalize_name(via[1].split("[")[0].strip()))
    pinned = {package.name: package for package in parents}
    try:
        return {package: tuple(sorted(pinned[name] for name in names)) for package, names in parents.items()}
    except KeyError as error:
        raise _unreadable(f"{error} requires a package and is not pinned itself") from error


def _unreadable(reason: str, *, fix: str = "") -> ResolverFailedError:
    return ResolverFailedError(
        f"the Python resolver's answer cannot be used: {reason}.",
        fix=fix or "If this stays, report it with the versions of skillwarden and uv.",
    )

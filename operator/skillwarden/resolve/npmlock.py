"""Reading npm's ``package-lock.json`` (version 3): which artefacts a closure has, where they lie, who asked.

npm locks for every platform at once, and takes sources that nobody may be given here. So nothing is believed
but what is checked: each entry comes from the registry under its own name, with a SHA-512; what does not
fit the sandbox's platform is left out together with what only it needs; who requires whom follows from
where packages lie, as Node looks for them.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from ..domain.lock import Artefact, LockedPackage, Platform
from ..domain.package import Ecosystem, PackageId
from ..domain.semver import parse_semver
from .errors import ForbiddenHostError, ResolverFailedError, UnresolvableError

ROOT = ""
_MODULES = "node_modules/"
#: npm's names of what Kubernetes calls amd64 and arm64.
CPUS = {"amd64": "x64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True)
class Registry:
    """From where artefacts may come.

    Attributes
    ----------
    scheme, host
        Of the registry itself; ``host`` with its port, as in a URL.
    hosts
        Further hosts that the settings allow.
    """

    scheme: str
    host: str
    hosts: frozenset[str] = frozenset()

    def check(self, url: str, *, what: str) -> None:
        """Refuse an artefact's address that is not the registry's.

        Raises
        ------
        ForbiddenHostError
            For another host, or another scheme than the registry's or https.
        """
        parts = urlsplit(url)
        allowed = parts.netloc == self.host or (parts.hostname or "") in self.hosts
        if parts.scheme not in {"https", self.scheme} or not allowed or parts.username is not None:
            raise ForbiddenHostError(
                f"{what} would come from {parts.scheme}://{parts.hostname or ''}, which is not the configured"
                " registry.",
                fix=(
                    "If that host is the registry's, the operator's administrator adds it to the"
                    " allowed hosts."
                ),
            )


@dataclass(frozen=True, slots=True)
class _Entry:
    """One location of the lock."""

    location: str
    row: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name under which the location is found."""
        return self.location.rpartition(_MODULES)[2]

    @property
    def bundled(self) -> bool:
        return bool(self.row.get("inBundle"))

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.row.get(key) or {}
        if not isinstance(value, Mapping):
            raise _unreadable(f"{key} of {self.location or 'the project'} is not an object")
        return value


def read_npm_lock(
    text: str, *, platform: Platform, registry: Registry, declared: Mapping[str, str]
) -> tuple[LockedPackage, ...]:
    """Return the packages that a sandbox of the platform needs.

    Parameters
    ----------
    text
        The file.
    platform
        Whose packages are kept.
    registry
        Where artefacts may come from.
    declared
        What was asked for, by name.

    Raises
    ------
    ResolverFailedError
        Where it is no lock of version 3, or contradicts itself or what was asked for.
    UnresolvableError
        Where a package comes from elsewhere than the registry, has no SHA-512, or cannot run on the platform.
    ForbiddenHostError
        Where an artefact's address is another host's.
    """
    entries = _entries(text)
    root = entries.pop(ROOT, None)
    if root is None or dict(root.table("dependencies")) != dict(declared):
        raise _unreadable("it is not the lock of what was asked for")
    reached = _reachable(root, entries, platform)
    found: dict[PackageId, LockedPackage] = {}
    for location in sorted(reached):
        package = _locked(entries[location], entries, registry, parents=reached[location])
        known = found.get(package.id)
        found[package.id] = package if known is None else _merged(known, package)
    direct = {f"{_MODULES}{name}" for name in declared}
    return tuple(
        _with_parents(package, direct=bool(direct & set(package.locations))) for package in found.values()
    )


def _entries(text: str) -> dict[str, _Entry]:
    try:
        lock = json.loads(text)
        if lock["lockfileVersion"] != 3:
            raise _unreadable(f"its version is {lock['lockfileVersion']!r:.20}, not 3")
        rows = lock["packages"].items()
        entries = {location: _Entry(location, row) for location, row in rows}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(f"{type(error).__name__}: {error}"[:200]) from error
    for location, entry in entries.items():
        if not isinstance(entry.row, Mapping):
            raise _unreadable(f"{location[:100]!r} is not an object")
        if location != ROOT and not _is_location(location):
            raise _foreign(location, "lies outside of node_modules, so it is a folder of some project")
    return entries


def _is_location(location: str) -> bool:
    parts = location.split("/")
    return (
        parts[0] == "node_modules"
        and all(part not in {"", ".", ".."} for part in parts)
        and "\\" not in location
    )


def _reachable(root: _Entry, entries: Mapping[str, _Entry], platform: Platform) -> dict[str, set[str]]:
    """Return the locations that the project needs on the platform, each with the locations that need it."""
    reached: dict[str, set[str]] = {}
    queue: deque[_Entry] = deque([root])
    seen = {ROOT}
    while queue:
        entry = queue.popleft()
        for name, optional in _edges(entry):
            target = _find(entry.location, name, entries)
            if target is None:
                if optional:
                    continue
                raise _unreadable(
                    f"{entry.location or 'the project'} needs {name:.80}, which it does not hold"
                )
            if not _fits(target, platform):
                if optional:
                    continue
                raise UnresolvableError(
                    f"{target.name} {target.row.get('version', '')} does not run on Linux, {platform.arch},"
                    f" {platform.libc.partition('-')[0]}.",
                    fix="Name a version or a package that does.",
                )
            reached.setdefault(target.location, set()).add(entry.location)
            if target.location not in seen:
                seen.add(target.location)
                queue.append(target)
    return reached


def _edges(entry: _Entry) -> Iterator[tuple[str, bool]]:
    """Yield what an entry needs, and whether it can do without."""
    optional = entry.table("optionalDependencies")
    for name in entry.table("dependencies"):
        if name not in optional:
            yield name, False
    for name in optional:
        yield name, True
    # npm installs peers, but a lock may lack one: with overlapping ranges, or of a bundled package.
    for name in entry.table("peerDependencies"):
        yield name, True


def _find(location: str, name: str, entries: Mapping[str, _Entry]) -> _Entry | None:
    """Return what ``require(name)`` finds from a location: the closest ``node_modules`` around it."""
    while True:
        found = entries.get(f"{location}/{_MODULES}{name}" if location else f"{_MODULES}{name}")
        if found is not None or not location:
            return found
        location = location.rpartition(f"/{_MODULES}")[0] if f"/{_MODULES}" in location else ""


def _fits(entry: _Entry, platform: Platform) -> bool:
    wanted = {
        "os": "linux",
        "cpu": CPUS.get(platform.arch, platform.arch),
        "libc": platform.libc.partition("-")[0],
    }
    return all(_allows(entry.row.get(key), value) for key, value in wanted.items())


def _allows(rule: Any, value: str) -> bool:
    """Whether a list such as ``[linux, darwin]`` or ``[!win32]`` allows a value, as npm reads it."""
    words = [rule] if isinstance(rule, str) else rule
    if not words:
        return True
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _unreadable(f"{rule!r:.80} is not a list of platforms")
    denied = {word[1:] for word in words if word.startswith("!")}
    allowed = {word for word in words if not word.startswith("!")}
    return value not in denied and (not allowed or bool(allowed & {value, "any"}))


def _locked(
    entry: _Entry, entries: Mapping[str, _Entry], registry: Registry, *, parents: set[str]
) -> LockedPackage:
    _check_source(entry)
    id_ = _identity(entry)
    holder = _holder(entry, entries) if entry.bundled else entry
    if entry.bundled:
        _check_source(holder)
    return LockedPackage(
        id_,
        _artefact(holder, registry),
        parents=tuple(_identity(entries[location]) for location in sorted(parents - {ROOT})),
        locations=(entry.location,),
        bundled=entry.bundled,
    )


def _check_source(entry: _Entry) -> None:
    """Refuse an entry that is not a package of a registry under its own name."""
    row, name = entry.row, entry.name
    if row.get("link"):
        raise _foreign(name, "is a link to a folder")
    if row.get("name") not in (None, name):  # may be anything, so no set
        raise _foreign(name, f"is an alias of {row.get('name')!r:.100}")
    resolved = row.get("resolved")
    if not entry.bundled and not isinstance(resolved, str):
        raise _foreign(name, "has no address in the registry")
    if isinstance(resolved, str) and urlsplit(resolved).scheme not in {"http", "https"}:
        raise _foreign(name, f"comes from {resolved.split(':', 1)[0]:.20}, not from the registry")


def _identity(entry: _Entry) -> PackageId:
    version = entry.row.get("version")
    if not isinstance(version, str) or parse_semver(version) is None:
        raise _unreadable(f"{entry.location:.200} has no version")
    return PackageId.of(Ecosystem.NPM, entry.name, version)


def _holder(entry: _Entry, entries: Mapping[str, _Entry]) -> _Entry:
    """Return the package in whose artefact a bundled one lies."""
    location = entry.location
    while f"/{_MODULES}" in location:
        location = location.rpartition(f"/{_MODULES}")[0]
        around = entries.get(location)
        if around is not None and not around.bundled:
            return around
    raise _unreadable(f"{entry.location:.200} is bundled in nothing")


def _artefact(entry: _Entry, registry: Registry) -> Artefact:
    url = entry.row["resolved"]
    what = f"{entry.name} {entry.row.get('version', '')}"
    registry.check(url, what=what)
    path = urlsplit(url).path
    return Artefact(filename=unquote(path.rpartition("/")[2]), digest=_digest(entry, what), url=url)


def sha512_of(integrity: str) -> str:
    """Return the SHA-512 of a Subresource Integrity text (W3C SRI), which may hold several hashes.

    Returns
    -------
    ``sha512:`` and hexadecimal digits, as a lock writes it; empty where it has none.
    """
    for word in integrity.split():
        algorithm, _, text = word.partition("-")
        if algorithm != "sha512":
            continue
        try:
            raw = base64.b64decode(text.partition("?")[0], validate=True)
        except ValueError:
            continue
        if len(raw) == 64:
            return f"sha512:{raw.hex()}"
    return ""


def _digest(entry: _Entry, what: str) -> str:
    digest = sha512_of(str(entry.row.get("integrity") or ""))
    if digest:
        return digest
    raise UnresolvableError(
        f"the registry gives no SHA-512 for {what}, so what is installed could not be told from what"
        f" was judged.",
        fix="Name a newer version; packages published before 2017 may have a SHA-1 only.",
    )


def _merged(one: LockedPackage, other: LockedPackage) -> LockedPackage:
    """Return one package of two locations; a bundled copy counts as the fetched one."""
    if one.bundled != other.bundled:
        fetched, copy = (other, one) if one.bundled else (one, other)
        return _combine(fetched, copy, locations=fetched.locations)
    if one.artefact != other.artefact:
        raise _unreadable(f"{one.id} has two artefacts")
    return _combine(one, other, locations=tuple(sorted({*one.locations, *other.locations})))


def _combine(one: LockedPackage, other: LockedPackage, *, locations: tuple[str, ...]) -> LockedPackage:
    parents = tuple(sorted({*one.parents, *other.parents}))
    return LockedPackage(one.id, one.artefact, parents, locations=locations, bundled=one.bundled)


def _with_parents(package: LockedPackage, *, direct: bool) -> LockedPackage:
    parents = tuple(sorted({parent for parent in package.parents if parent != package.id}))
    return LockedPackage(
        package.id, package.artefact, parents, direct, locations=package.locations, bundled=package.bundled
    )


def _foreign(name: str, why: str) -> UnresolvableError:
    return UnresolvableError(
        f"{name:.200} {why}; only packages of the configured registry can be judged.",
        fix="Name another version, or another package, whose closure comes from the registry alone.",
    )


def _unreadable(reason: str) -> ResolverFailedError:
    return ResolverFailedError(
        f"npm's lock cannot be used: {reason}.",
        fix="If this stays, report it with the versions of skillwarden and npm.",
    )

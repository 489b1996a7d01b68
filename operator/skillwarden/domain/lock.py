"""A lock: the exact artefacts of a closure, and the digest that a verdict binds to."""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from .package import DeclaredPackage, Ecosystem, PackageId
from .pins import Pins

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_PLATFORM = re.compile(
    r"(?:python(?P<python>[0-9.]+)-)?(?:node(?P<node>[0-9.]+)-)?linux-(?P<arch>[a-z0-9]+)-(?P<libc>[a-z0-9.-]+)"
)


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """What artefacts are chosen for: the interpreters, C library and architecture of the sandbox.

    Attributes
    ----------
    python
        Minor version of Python, e.g. ``3.12``; empty where no package needs one.
    node
        Major version of Node, e.g. ``24``; empty where no package needs one.
    libc
        C library with version, e.g. ``glibc-2.28`` (the manylinux policy that wheels may ask for).
    arch
        Architecture as Kubernetes spells it in ``kubernetes.io/arch``: ``amd64`` or ``arm64``.
    """

    python: str = ""
    libc: str = "glibc-2.28"
    arch: str = "amd64"
    node: str = ""

    def __post_init__(self) -> None:
        """A platform without an interpreter is no platform."""
        if not self.python and not self.node:
            raise ValueError("a platform has Python or Node")

    def __str__(self) -> str:
        languages = [f"python{self.python}"] if self.python else []
        languages += [f"node{self.node}"] if self.node else []
        return f"{'-'.join(languages)}-linux-{self.arch}-{self.libc}"

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read what ``str`` wrote.

        Raises
        ------
        ValueError
            Where the text is not one of ours.
        """
        found = _PLATFORM.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is not a platform such as python3.12-linux-amd64-glibc-2.28")
        return cls(
            python=found["python"] or "", node=found["node"] or "", arch=found["arch"], libc=found["libc"]
        )


@dataclass(frozen=True, slots=True, order=True)
class Artefact:
    """One file of a package, known by its hash.

    Attributes
    ----------
    filename
        As the index names it; for PyPI a wheel, for npm a gzipped tar.
    digest
        ``sha256:`` or ``sha512:`` (what npm's integrity gives) and the lower-case hexadecimal digest of
        the file's bytes.
    url
        Where the index said it lies; not part of the lock's identity.
    size
        Bytes, where the index told.
    uploaded_at
        When the index received it (UTC), where it told.
    """

    filename: str
    digest: str
    url: str = ""
    size: int | None = None
    uploaded_at: datetime | None = None

    @property
    def algorithm(self) -> str:
        """The digest's algorithm: ``sha256`` or ``sha512``."""
        return self.digest.partition(":")[0]

    @property
    def hex(self) -> str:
        """The digest without its algorithm."""
        return self.digest.partition(":")[2]


@dataclass(frozen=True, slots=True, order=True)
class LockedPackage:
    """One package of a closure with the one artefact chosen for the platform.

    Attributes
    ----------
    id
        Ecosystem, name and version.
    artefact
        The chosen file; of a bundled package the file of the package that it lies in.
    parents
        The packages that require it, sorted; empty where only the Skill does.
    direct
        Whether the Skill declares it itself.
    locations
        npm: where it lies below the project, e.g. ``node_modules/a/node_modules/b``, sorted: which of
        several versions an import meets hangs on it. PyPI: empty.
    bundled
        npm: whether it lies inside of its parent's artefact.
    """

    id: PackageId
    artefact: Artefact
    parents: tuple[PackageId, ...] = ()
    direct: bool = False
    locations: tuple[str, ...] = ()
    bundled: bool = False


@dataclass(frozen=True)
class Lock:
    """A resolved closure: one artefact per package version, sorted by identity.

    Of PyPI a closure holds each name once; of npm it may hold several versions of a name.

    Not slotted: the derived look-ups below are computed once.
    """

    platform: Platform
    packages: tuple[LockedPackage, ...]

    def __post_init__(self) -> None:
        """Hold one order and one artefact a package, so that equal closures are equal values."""
        ordered = tuple(sorted(self.packages, key=lambda package: package.id))
        names = [
            package.id if package.id.ecosystem is Ecosystem.NPM else package.id.name for package in ordered
        ]
        if len(names) != len(set(names)):
            raise ValueError("a lock holds each package once")
        locations = [place for package in ordered for place in package.locations]
        if len(locations) != len(set(locations)):
            raise ValueError("a lock puts one package at each location")
        object.__setattr__(self, "packages", ordered)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` over the sorted tuples of DESIGN 1.3, as canonical JSON (hence injective)."""
        rows = sorted(
            [
                package.id.ecosystem.value,
                package.id.name,
                package.id.version,
                package.artefact.filename,
                package.artefact.digest,
                str(self.platform),
                list(package.locations),
                package.bundled,
            ]
            for package in self.packages
        )
        # The platform stands by itself, too: the empty locks of two platforms differ.
        text = json.dumps([str(self.platform), rows], separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def ecosystems(self) -> frozenset[Ecosystem]:
        """Where its packages come from."""
        return frozenset(package.id.ecosystem for package in self.packages)

    @cached_property
    def names(self) -> frozenset[tuple[Ecosystem, str]]:
        """What its packages are called, by ecosystem."""
        return frozenset((package.id.ecosystem, package.id.name) for package in self.packages)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """For each package the positions (in ``packages``) of what it requires, in order."""
        places = {package.id: place for place, package in enumerate(self.packages)}
        found: tuple[list[int], ...] = tuple([] for _ in self.packages)
        for place, package in enumerate(self.packages):
            for parent in package.parents:
                if (above := places.get(parent)) is not None:
                    found[above].append(place)
        return tuple(map(tuple, found))

    @cached_property
    def paths(self) -> Mapping[PackageId, tuple[str, ...]]:
        """For each package the shortest chain of names from a declared package to it, itself included."""
        names = [package.id.name for package in self.packages]
        found: dict[int, tuple[str, ...]] = {
            place: (names[place],) for place, package in enumerate(self.packages) if package.direct
        }
        queue = deque(found)
        while queue:
            place = queue.popleft()
            for child in self.children[place]:
                if child not in found:
                    found[child] = (*found[place], names[child])
                    queue.append(child)
        return {package.id: found.get(place, (names[place],)) for place, package in enumerate(self.packages)}

    def to_json(self) -> dict[str, Any]:
        """Return the record that the depot keeps and the sandbox verifies; ``from_json`` reads it."""
        return {
            "platform": str(self.platform),
            "packages": [
                {
                    "ecosystem": package.id.ecosystem.value,
                    "name": package.id.name,
                    "version": package.id.version,
                    "filename": package.artefact.filename,
                    "digest": package.artefact.digest,
                    "url": package.artefact.url,
                    "size": package.artefact.size,
                    "uploadedAt": package.artefact.uploaded_at.isoformat()
                    if package.artefact.uploaded_at
                    else None,
                    "parents": [[parent.name, parent.version] for parent in package.parents],
                    "direct": package.direct,
                    "locations": list(package.locations),
                    "bundled": package.bundled,
                }
                for package in self.packages
            ],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Lock:
        """Read a record.

        Raises
        ------
        KeyError, TypeError, ValueError
            Where the record is not one of ours; the caller says which file it came from.
        """
        return cls(
            platform=Platform.parse(record["platform"]),
            packages=tuple(_package_from_json(row) for row in record["packages"]),
        )


def _package_from_json(row: Mapping[str, Any]) -> LockedPackage:
    uploaded = row.get("uploadedAt")
    ecosystem = Ecosystem(row["ecosystem"])
    return LockedPackage(
        id=PackageId.of(ecosystem, row["name"], row["version"]),
        artefact=Artefact(
            filename=row["filename"],
            digest=_checked(row["digest"]),
            url=row.get("url") or "",
            size=row.get("size"),
            uploaded_at=datetime.fromisoformat(uploaded) if uploaded else None,
        ),
        parents=tuple(PackageId.of(ecosystem, name, version) for name, version in row.get("parents", ())),
        direct=bool(row.get("direct")),
        locations=tuple(row.get("locations", ())),
        bundled=bool(row.get("bundled")),
    )


def _checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{digest[:100]!r} is neither sha256: nor sha512: and that many hexadecimal digits")
    return digest


def resolution_key(
    declared: tuple[DeclaredPackage, ...],
    *,
    platform: Platform,
    index: str,
    refresh: str = "",
    pins: Pins | None = None,
) -> str:
    """Return the key under which a lock is kept: it is made anew only when one of these changes.

    Parameters
    ----------
    declared
        What the Skill names, in any order.
    platform
        What artefacts are chosen for.
    index
        Identity of the configured index, without credentials.
    refresh
        What somebody wrote who wants it made anew; empty: nobody.
    pins
        What the author's own lockfile pins.
    """
    rows = sorted([item.ecosystem.value, item.requirement] for item in declared)
    text = json.dumps(
        [
            rows,
            str(platform),
            index,
            *([refresh] if refresh else []),
            *([{"pins": pins.digest}] if pins else []),
        ],
        separators=(",", ":"),
        ensure_ascii=True,
    )
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

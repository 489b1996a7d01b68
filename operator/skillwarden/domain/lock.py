"""A lock: the exact artefacts of a closure, and the digest that a verdict binds to."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from .package import DeclaredPackage, Ecosystem, PackageId


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """What artefacts are chosen for: the interpreter, C library and architecture of the sandbox.

    Attributes
    ----------
    python
        Minor version of the interpreter, e.g. ``3.12``.
    libc
        C library with version, e.g. ``glibc-2.28`` (the manylinux policy that wheels may ask for).
    arch
        Architecture as Kubernetes spells it in ``kubernetes.io/arch``: ``amd64`` or ``arm64``.
    """

    python: str
    libc: str = "glibc-2.28"
    arch: str = "amd64"

    def __str__(self) -> str:
        return f"python{self.python}-linux-{self.arch}-{self.libc}"

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read what ``str`` wrote.

        Raises
        ------
        ValueError
            Where the text is not one of ours.
        """
        python, system, arch, libc = text.split("-", 3)
        if system != "linux" or not python.startswith("python"):
            raise ValueError(f"{text!r} is not a platform such as python3.12-linux-amd64-glibc-2.28")
        return cls(python=python.removeprefix("python"), libc=libc, arch=arch)


@dataclass(frozen=True, slots=True, order=True)
class Artefact:
    """One file of a package, known by its hash.

    Attributes
    ----------
    filename
        As the index names it; for PyPI a wheel.
    sha256
        Lower-case hexadecimal digest of the file's bytes.
    url
        Where the index said it lies; not part of the lock's identity.
    size
        Bytes, where the index told.
    uploaded_at
        When the index received it (UTC), where it told.
    """

    filename: str
    sha256: str
    url: str = ""
    size: int | None = None
    uploaded_at: datetime | None = None


@dataclass(frozen=True, slots=True, order=True)
class LockedPackage:
    """One package of a closure with the one artefact chosen for the platform.

    Attributes
    ----------
    id
        Ecosystem, name and version.
    artefact
        The chosen file.
    parents
        Names of the packages that require it, sorted; empty where only the Skill does.
    direct
        Whether the Skill declares it itself.
    """

    id: PackageId
    artefact: Artefact
    parents: tuple[str, ...] = ()
    direct: bool = False


@dataclass(frozen=True)
class Lock:
    """A resolved closure: one artefact per package, sorted by identity.

    Not slotted: the derived look-ups below are computed once.
    """

    platform: Platform
    packages: tuple[LockedPackage, ...]

    def __post_init__(self) -> None:
        """Hold one order and one artefact a package, so that equal closures are equal values."""
        ordered = tuple(sorted(self.packages, key=lambda package: package.id))
        names = [(package.id.ecosystem, package.id.name) for package in ordered]
        if len(names) != len(set(names)):
            raise ValueError("a lock holds each package once")
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
                package.artefact.sha256,
                str(self.platform),
            ]
            for package in self.packages
        )
        # The platform stands by itself, too: the empty locks of two platforms differ.
        text = json.dumps([str(self.platform), rows], separators=(",", ":"), ensure_ascii=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def by_name(self) -> Mapping[tuple[Ecosystem, str], LockedPackage]:
        """Look a package up by ecosystem and normalised name."""
        return {(package.id.ecosystem, package.id.name): package for package in self.packages}

    @cached_property
    def paths(self) -> Mapping[PackageId, tuple[str, ...]]:
        """For each package the shortest chain of names from a declared package to it, itself included."""
        children: dict[str, list[str]] = {}
        for package in self.packages:
            for parent in package.parents:
                children.setdefault(parent, []).append(package.id.name)
        found: dict[str, tuple[str, ...]] = {}
        queue: deque[tuple[str, tuple[str, ...]]] = deque(
            (package.id.name, (package.id.name,)) for package in self.packages if package.direct
        )
        while queue:
            name, path = queue.popleft()
            if name in found:
                continue
            found[name] = path
            queue.extend((child, (*path, child)) for child in sorted(children.get(name, ())))
        return {package.id: found.get(package.id.name, (package.id.name,)) for package in self.packages}

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
                    "sha256": package.artefact.sha256,
                    "url": package.artefact.url,
                    "size": package.artefact.size,
                    "uploadedAt": package.artefact.uploaded_at.isoformat()
                    if package.artefact.uploaded_at
                    else None,
                    "parents": list(package.parents),
                    "direct": package.direct,
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
    return LockedPackage(
        id=PackageId.of(Ecosystem(row["ecosystem"]), row["name"], row["version"]),
        artefact=Artefact(
            filename=row["filename"],
            sha256=row["sha256"],
            url=row.get("url") or "",
            size=row.get("size"),
            uploaded_at=datetime.fromisoformat(uploaded) if uploaded else None,
        ),
        parents=tuple(row.get("parents", ())),
        direct=bool(row.get("direct")),
    )


def resolution_key(declared: tuple[DeclaredPackage, ...], *, platform: Platform, index: str) -> str:
    """Return the key under which a lock is kept: it is made anew only when one of these changes.

    Parameters
    ----------
    declared
        What the Skill names, in any order.
    platform
        What artefacts are chosen for.
    index
        Identity of the configured index, without credentials.
    """
    rows = sorted([item.ecosystem.value, item.requirement] for item in declared)
    text = json.dumps([rows, str(platform), index], separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

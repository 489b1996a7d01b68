"""What an author's own lockfile pins: the exact versions that a closure of npm packages must have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: A name and its version.
Pin = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PinnedPackage:
    """One package version of a lockfile.

    Attributes
    ----------
    name, version
        Of the package.
    digest
        ``sha512:`` and hexadecimal digits of its tarball; empty where the lockfile does not say.
    needs
        What the lockfile gives it for its own dependencies.
    """

    name: str
    version: str
    digest: str = ""
    needs: tuple[Pin, ...] = ()


@dataclass(frozen=True, slots=True)
class Pins:
    """The part of a lockfile that the declared packages reach.

    Attributes
    ----------
    file
        Its name.
    direct
        The declared packages.
    packages
        All of them, sorted by name and version.
    """

    file: str
    direct: tuple[Pin, ...]
    packages: tuple[PinnedPackage, ...]

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of all that it says but the file's name."""
        rows = [[p.name, p.version, p.digest, p.needs] for p in self.packages]
        text = json.dumps([self.direct, rows], separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def versions(self) -> Mapping[str, tuple[str, ...]]:
        """The versions of each name."""
        found: dict[str, list[str]] = {}
        for package in self.packages:
            found.setdefault(package.name, []).append(package.version)
        return {name: tuple(dict.fromkeys(versions)) for name, versions in found.items()}

    def overrides(self) -> dict[str, Any]:
        """Return npm's ``overrides``: a name's one version everywhere, one of several below its parent.

        Where the parent has several versions too, npm chooses; what it chose is compared with the pins.
        """
        versions, direct = self.versions, dict(self.direct)
        found: dict[str, Any] = {}
        for package in self.packages:
            name = package.name
            if len(versions[name]) > 1:
                continue
            below = {
                child: version
                for child, version in package.needs
                if len(versions.get(child, ())) > 1 and child not in direct
            }
            found[name] = {".": package.version, **below} if below else package.version
        return found

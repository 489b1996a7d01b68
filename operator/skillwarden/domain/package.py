"""Package identity: ecosystem, normalised name, normalised version, purl."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from packaging.requirements import Requirement as Pep508
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version


class Ecosystem(StrEnum):
    """Where a package comes from, spelled as OSV spells it."""

    PYPI = "PyPI"
    NPM = "npm"


PURL_TYPES = {Ecosystem.PYPI: "pypi", Ecosystem.NPM: "npm"}

#: An exact version as node-semver reads it, with the decoration that ``semver.clean`` takes off.
_NPM_EXACT = re.compile(
    r"[=v\s]*((?:0|[1-9]\d{0,15})(?:\.(?:0|[1-9]\d{0,15})){2}(?:-[0-9A-Za-z.-]{1,200})?)(?:\+[0-9A-Za-z.-]{1,200})?\s*",
    re.ASCII,
)


def normalise_name(ecosystem: Ecosystem, name: str) -> str:
    """Return the one spelling under which a package is known (PEP 503 for PyPI).

    npm names are their own spelling: the registry still holds names that differ by case alone.
    """
    match ecosystem:
        case Ecosystem.PYPI:
            return canonicalize_name(name)
        case Ecosystem.NPM:
            return name


def normalise_version(ecosystem: Ecosystem, version: str) -> str:
    """Return the one spelling of a version (PEP 440, or SemVer for npm), or the text itself if it is not one.

    ``v1.21.0`` and ``1.21.0`` are one spelling, so that an approval keyed by version meets the artefact.
    Trailing zeros stay, because the index, the advisories and the people who read them keep them.
    """
    match ecosystem:
        case Ecosystem.PYPI:
            try:
                parsed = Version(version)
            except InvalidVersion:
                return version
            return str(parsed)
        case Ecosystem.NPM:
            # Build metadata is no part of a version's identity (SemVer 10), and the registry drops it.
            exact = _NPM_EXACT.fullmatch(version)
            return exact[1] if exact else version


@dataclass(frozen=True, slots=True, order=True)
class PackageId:
    """One version of one package.

    Attributes
    ----------
    ecosystem
        Where it comes from.
    name
        Normalised name.
    version
        Normalised version.
    """

    ecosystem: Ecosystem
    name: str
    version: str

    def __hash__(self) -> int:
        # Of what tells most apart, and keeps its own hash: a closure's edges are looked up by the million.
        return hash((self.name, self.version))

    @classmethod
    def of(cls, ecosystem: Ecosystem, name: str, version: str) -> PackageId:
        """Normalise name and version."""
        return cls(ecosystem, normalise_name(ecosystem, name), normalise_version(ecosystem, version))

    @property
    def purl(self) -> str:
        """The package URL, e.g. ``pkg:pypi/numpy@2.1.0``."""
        name = quote(self.name, safe="/")
        return f"pkg:{PURL_TYPES[self.ecosystem]}/{name}@{quote(self.version, safe='.+-!')}"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True, order=True)
class DeclaredPackage:
    """A package that a Skill names itself, after intake: nothing but a name, extras and a range.

    Attributes
    ----------
    ecosystem
        Where it comes from.
    name
        Normalised name.
    extras
        Normalised extras, sorted.
    specifier
        PyPI: version specifiers in canonical order, e.g. ``>=2.2,<3``. npm: a range, e.g. ``^4.17.21``.
        Empty for any version.
    """

    ecosystem: Ecosystem
    name: str
    extras: tuple[str, ...] = ()
    specifier: str = ""

    @classmethod
    def from_pep508(cls, requirement: Pep508) -> DeclaredPackage:
        """Take what may be taken from a parsed requirement; the caller has refused URLs and markers."""
        return cls(
            ecosystem=Ecosystem.PYPI,
            name=canonicalize_name(requirement.name),
            extras=tuple(sorted(canonicalize_name(extra) for extra in requirement.extras)),
            specifier=",".join(sorted(str(part) for part in requirement.specifier)),
        )

    @property
    def requirement(self) -> str:
        """The canonical text that a resolver is given."""
        if self.ecosystem is Ecosystem.NPM:
            return f"{self.name}@{self.specifier}" if self.specifier else self.name
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier}"

    @property
    def pinned_version(self) -> str | None:
        """The one version that the range names (PyPI: ``==``; npm: a bare version), or ``None``."""
        if self.ecosystem is Ecosystem.NPM:
            exact = _NPM_EXACT.fullmatch(self.specifier)
            return exact[1] if exact else None
        parts = list(SpecifierSet(self.specifier))
        if len(parts) == 1 and parts[0].operator in {"==", "==="} and not parts[0].version.endswith(".*"):
            return normalise_version(self.ecosystem, parts[0].version)
        return None

    def __str__(self) -> str:
        return self.requirement

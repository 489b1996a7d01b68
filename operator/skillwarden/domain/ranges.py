"""Version ranges of policies, parsed once, and what to make of a version or a range that nobody can read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from packaging.specifiers import InvalidSpecifier, Specifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from .package import Ecosystem
from .semver import SemVer, SemVerRange, parse_semver, parse_semver_range

ANY = "*"


@lru_cache(maxsize=65_536)
def parse_version(text: str) -> Version | None:
    """Return the version (PEP 440), or ``None`` where the text is not one."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A range as a policy writes it.

    Attributes
    ----------
    text
        As written.
    every
        Whether it is ``*``: every version, readable or not.
    specifiers
        Parsed, PEP 440's for PyPI; ``None`` where the text cannot be read.
    """

    text: str
    every: bool
    specifiers: SpecifierSet | SemVerRange | None

    @property
    def readable(self) -> bool:
        """Whether the range means something."""
        return self.specifiers is not None

    def matches(self, version: str) -> bool:
        """Whether a version lies in the range; one that cannot be read lies only in ``*``."""
        if self.every:
            return True
        match self.specifiers:
            case SpecifierSet() as specifiers if (pep440 := parse_version(version)) is not None:
                return specifiers.contains(pep440, prereleases=True)
            case SemVerRange() as range_ if (semver := parse_semver(version)) is not None:
                return range_.contains(semver)
        return False

    def may_hold(self, version: str) -> bool:
        """Whether a version lies in the range or nobody can say that it does not: what a ban asks.

        A pre- or post-release of a bound lies where the order of versions puts it: ``2.0rc1`` in ``<2.0``,
        ``1.7.post1`` in ``>1.7``. To PEP 440 neither does, and a pin would be a way round the ban.
        """
        if self.every:
            return True
        match self.specifiers:
            case SpecifierSet() as specifiers:
                pep440 = parse_version(version)
                return pep440 is None or all(_in_order(specifier, pep440) for specifier in specifiers)
            case SemVerRange() as range_:
                semver = parse_semver(version)
                return semver is None or range_.contains(semver, widely=True)
        return True


def _in_order(specifier: Specifier, version: Version) -> bool:
    match specifier.operator:
        case "<":
            return version < Version(specifier.version)
        case ">":
            return version > Version(specifier.version)
    return specifier.contains(version, prereleases=True)


@lru_cache(maxsize=16_384)
def parse_range(ecosystem: Ecosystem, text: str) -> VersionRange:
    """Read a range in the ecosystem's syntax; never raises, see ``VersionRange.readable``."""
    stripped = text.strip()
    match ecosystem:
        case Ecosystem.PYPI:
            every = stripped in {ANY, ""}
            try:
                specifiers = SpecifierSet("" if every else stripped)
            except InvalidSpecifier:
                return VersionRange(text, every=False, specifiers=None)
            return VersionRange(text, every=every, specifiers=specifiers)
        case Ecosystem.NPM:
            return VersionRange(text, every=stripped in {ANY, ""}, specifiers=parse_semver_range(stripped))


def _order(ecosystem: Ecosystem, text: str) -> Version | SemVer | None:
    """Return what a version is compared by; all of one ecosystem are of one type."""
    match ecosystem:
        case Ecosystem.PYPI:
            return parse_version(text)
        case Ecosystem.NPM:
            return parse_semver(text)


def sort_versions(ecosystem: Ecosystem, versions: Iterable[str]) -> tuple[str, ...]:
    """Return each version once, lowest first; texts that are no version come last, by spelling."""
    texts = sorted(set(versions))
    parsed = [(order, text) for text in texts if (order := _order(ecosystem, text)) is not None]
    known = {text for _, text in parsed}
    return (*(text for _, text in sorted(parsed)), *(text for text in texts if text not in known))


def lowest_above(ecosystem: Ecosystem, version: str, candidates: Iterable[str]) -> str | None:
    """Return the lowest candidate that is higher than a version, or ``None``."""
    locked = _order(ecosystem, version)
    if locked is None:
        return None
    for text in sort_versions(ecosystem, candidates):
        order = _order(ecosystem, text)
        if order is not None and order > locked:  # type: ignore[operator]  # both are of one ecosystem
            return text
    return None

"""Version ranges of policies, parsed once, and what to make of a version or a range that nobody can read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from .package import Ecosystem

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
        Parsed; ``None`` where the text cannot be read.
    """

    text: str
    every: bool
    specifiers: SpecifierSet | None

    @property
    def readable(self) -> bool:
        """Whether the range means something."""
        return self.specifiers is not None

    def matches(self, version: str) -> bool:
        """Whether a version lies in the range; one that cannot be read lies only in ``*``."""
        if self.every:
            return True
        parsed = parse_version(version)
        if parsed is None or self.specifiers is None:
            return False
        return self.specifiers.contains(parsed, prereleases=True)

    def may_hold(self, version: str) -> bool:
        """Whether a version lies in the range or nobody can say that it does not: what a ban asks."""
        return self.matches(version) or self.specifiers is None or parse_version(version) is None


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


def sort_versions(versions: Iterable[str]) -> tuple[str, ...]:
    """Return each version once, lowest first; texts that are no version come last, by spelling."""
    return tuple(sorted(set(versions), key=_version_key))


def _version_key(text: str) -> tuple[bool, Version, str]:
    parsed = parse_version(text)
    return parsed is None, parsed or Version("0"), text


def lowest_above(version: str, candidates: Iterable[str]) -> str | None:
    """Return the lowest candidate that is higher than a version, or ``None``."""
    locked = parse_version(version)
    if locked is None:
        return None
    above = [text for text in candidates if (parsed := parse_version(text)) is not None and parsed > locked]
    return min(above, key=_version_key, default=None)

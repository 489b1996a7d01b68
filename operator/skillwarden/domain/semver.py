"""npm's versions and ranges: node-semver reads them, and only its order of versions is used.

Its own test of a version against a range lets a pre-release through that lies inside (``1.0.0-rc.1`` in
``<1.0.0``), which would be a way round a ban. Hence comparators are compared one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, total_ordering
from typing import Any

import nodesemver

#: node-semver's own bound on a version; a longer text is none.
MAX_LENGTH = 256


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class SemVer:
    """A version in the order of SemVer 11.

    Attributes
    ----------
    parsed
        node-semver's value.
    """

    parsed: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SemVer) and self.parsed.compare(other.parsed) == 0

    def __lt__(self, other: SemVer) -> bool:
        return int(self.parsed.compare(other.parsed)) < 0

    def __hash__(self) -> int:
        return hash(self.core + tuple(map(str, self.parsed.prerelease)))

    @property
    def core(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return (self.parsed.major, self.parsed.minor, self.parsed.patch)

    @property
    def prerelease(self) -> bool:
        """Whether it comes before the release of its core."""
        return bool(self.parsed.prerelease)


@lru_cache(maxsize=65_536)
def parse_semver(text: str) -> SemVer | None:
    """Return the version, or ``None`` where the text is not one."""
    if len(text) > MAX_LENGTH:
        return None
    parsed = _quietly(lambda: nodesemver.make_semver(text, loose=False))
    return None if parsed is None else SemVer(parsed)


@dataclass(frozen=True, slots=True)
class SemVerRange:
    """An npm range as alternatives of comparators, e.g. ``>=1.2.0 <2.0.0``.

    Attributes
    ----------
    alternatives
        Of each alternative the operators (``""`` for equality) and versions, all of which must hold.
    """

    alternatives: tuple[tuple[tuple[str, SemVer], ...], ...]

    def contains(self, version: SemVer, *, widely: bool = False) -> bool:
        """Whether a version lies in the range, pre-releases included.

        Parameters
        ----------
        version
            The version.
        widely
            Whether the pre-releases of a bound lie in the range, too: ``2.0.0-rc.1`` in ``<2.0.0``, as the
            order of versions has it, and ``1.0.0-rc.1`` in ``>=1.0.0``, which is what is left of ``1.x``.
            Whoever writes ``^1.0.0`` does not mean them; whoever bans it may.
        """
        return any(
            all(_holds(version, operator, bound, widely=widely) for operator, bound in alternative)
            for alternative in self.alternatives
        )

    @property
    def empty(self) -> bool:
        """Whether the bounds of every alternative exclude each other, so that no version lies in it."""
        return not any(_satisfiable(alternative) for alternative in self.alternatives)


def _satisfiable(alternative: tuple[tuple[str, SemVer], ...]) -> bool:
    exact = [bound for operator, bound in alternative if operator not in _BOUNDS]
    if exact:
        return all(_in_order(exact[0], operator, bound) for operator, bound in alternative)
    lows = [(bound, operator == ">") for operator, bound in alternative if operator.startswith(">")]
    highs = [(bound, operator == "<") for operator, bound in alternative if operator.startswith("<")]
    # No version comes before 0.0.0-0, node-semver's own spelling of an empty range.
    if any(high <= _LOWEST and open_ for high, open_ in highs):
        return False
    return all(
        low < high or (low == high and not above and not below)
        for low, above in lows
        for high, below in highs
    )


def _holds(version: SemVer, operator: str, bound: SemVer, *, widely: bool) -> bool:
    if operator in {"<", ">="} and version.core == bound.core and version.prerelease and not bound.prerelease:
        return widely
    return _in_order(version, operator, bound)


def _in_order(version: SemVer, operator: str, bound: SemVer) -> bool:
    match operator:
        case ">=":
            return version >= bound
        case ">":
            return version > bound
        case "<=":
            return version <= bound
        case "<":
            return version < bound
        case _:
            return version == bound


@lru_cache(maxsize=16_384)
def parse_semver_range(text: str) -> SemVerRange | None:
    """Return the range, or ``None`` where the text is not one."""
    if len(text) > MAX_LENGTH:
        return None
    parsed = _quietly(lambda: nodesemver.make_range(text, loose=False))
    if parsed is None:
        return None
    return SemVerRange(
        tuple(
            tuple(
                (comparator.operator, SemVer(comparator.semver))
                for comparator in alternative
                if isinstance(comparator.semver, nodesemver.SemVer)  # else it is ``*``, which holds for all
            )
            for alternative in parsed.set
        )
    )


_BOUNDS = {">=", ">", "<=", "<"}


def _quietly(read: Callable[[], Any]) -> Any:
    """Return what node-semver reads, or ``None``; it raises whatever a text makes it stumble over."""
    try:
        return read()
    except (ValueError, TypeError, IndexError, AttributeError, KeyError):
        return None


_LOWEST = SemVer(nodesemver.make_semver("0.0.0-0", loose=False))

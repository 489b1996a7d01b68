"""Whether a version is affected: OSV's evaluation over PEP 440 and SemVer versions.

The rule is the one of the OSV schema ("Evaluation"): a version is affected if it is listed in ``versions``,
or if walking a range's events in order of version leaves it inside. Where PEP 440 knows more than the
schema (local versions) or the schema leaves a choice open (ties), the choice here is the one that
cannot hide an advisory.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from packaging.utils import canonicalize_version
from packaging.version import InvalidVersion, Version

from skillwarden.domain.package import Ecosystem, normalise_version
from skillwarden.domain.semver import SemVer, parse_semver


class EventKind(StrEnum):
    """The four events of an OSV range."""

    INTRODUCED = "introduced"
    FIXED = "fixed"
    LAST_AFFECTED = "last_affected"
    LIMIT = "limit"


#: At one version: a fix ends what went before, an introduction begins anew (PyPA's records hold
#: ``fixed 3.1.1, introduced 3.1.1`` for adjoining branches), and only then can a last affected end it.
_TIE_ORDER = {EventKind.FIXED: 0, EventKind.INTRODUCED: 1, EventKind.LAST_AFFECTED: 2, EventKind.LIMIT: 3}


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a range; ``introduced`` at ``0`` lies before every version, also before ``0.dev0``."""

    kind: EventKind
    version: str


@dataclass(frozen=True, slots=True)
class Affected:
    """What one record says about one package.

    Attributes
    ----------
    versions
        Tokens (see ``version_token``) of the listed versions.
    ranges
        Ranges, each with its events sorted by ``sort_events``.
    malformed
        Why the entry cannot be evaluated; then it affects every version. Empty where it can.
    """

    versions: frozenset[str] = frozenset()
    ranges: tuple[tuple[Event, ...], ...] = ()
    malformed: str = ""


#: What versions are ordered by: PEP 440's for PyPI, SemVer's precedence for npm.
Ordered = Version | SemVer
_PARTIAL = re.compile(r"v?[0-9]+(\.[0-9]+)?")


@functools.lru_cache(maxsize=65536)
def parse_version(text: str) -> Version | None:
    """Return the PEP 440 version, or ``None`` where the text is not one."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def parse_ordered(text: str, ecosystem: Ecosystem) -> Ordered | None:
    """Return the version in its ecosystem's order, or ``None`` where the text is not one.

    Records about npm write ``1.2`` for ``1.2.0`` where SemVer wants all three.
    """
    match ecosystem:
        case Ecosystem.PYPI:
            return parse_version(text)
        case Ecosystem.NPM:
            if _PARTIAL.fullmatch(text):
                text += ".0" * (2 - text.count("."))
            return parse_semver(text)


@functools.lru_cache(maxsize=65536)
def version_token(text: str, ecosystem: Ecosystem = Ecosystem.PYPI) -> str:
    """Return the text under which equal versions meet: ``1.0`` and ``v1.0.0`` are one; legacy ones stay."""
    if ecosystem is Ecosystem.NPM:
        return normalise_version(ecosystem, text.strip())
    parsed = parse_version(text)
    return canonicalize_version(parsed) if parsed is not None else text.strip()


def sort_events(events: Iterable[Event], ecosystem: Ecosystem = Ecosystem.PYPI) -> tuple[Event, ...]:
    """Return the events in the order in which they are walked.

    Raises
    ------
    ValueError
        Where an event's version is none of the ecosystem's, so that the range cannot be evaluated.
    """
    first: list[Event] = []
    others: list[Event] = []
    for event in events:
        unbounded = event.kind is EventKind.LIMIT and event.version == "*"
        (first if _is_lowest(event) or unbounded else others).append(event)
    first.sort(key=lambda event: _TIE_ORDER[event.kind])
    # Two passes of a stable sort: SemVer's values have no order with anything but themselves.
    others.sort(key=lambda event: _TIE_ORDER[event.kind])
    others.sort(key=lambda event: _bound(event, ecosystem))
    return (*first, *others)


def _is_lowest(event: Event) -> bool:
    return event.kind is EventKind.INTRODUCED and event.version == "0"


def _bound(event: Event, ecosystem: Ecosystem) -> Ordered:
    parsed = parse_ordered(event.version, ecosystem)
    if parsed is None:
        scheme = "PEP 440" if ecosystem is Ecosystem.PYPI else "SemVer"
        raise ValueError(f"{event.kind.value} {event.version[:80]!r} is not a {scheme} version")
    return parsed


def is_affected(version: str, affected: Affected, ecosystem: Ecosystem = Ecosystem.PYPI) -> bool:
    """Whether the version is affected.

    A version with a local segment (``2.0+cu118``) is a build of its public version, and is affected where
    that is; against a bound that has a local segment itself the whole version counts (PEP 440, "Version
    specifiers"). A version that its ecosystem cannot order compares by the list alone; where there is no
    list, nothing can be said, and it counts as affected.

    Parameters
    ----------
    version
        The version asked about.
    affected
        The entry of a record for its package.
    ecosystem
        Whose versions they are.
    """
    if affected.malformed:
        return True
    if version_token(version, ecosystem) in affected.versions:
        return True
    parsed = parse_ordered(version, ecosystem)
    if parsed is None:
        return not affected.versions and bool(affected.ranges)
    public = parsed
    if isinstance(parsed, Version) and parsed.local is not None:
        if version_token(parsed.public) in affected.versions:
            return True
        public = parse_version(parsed.public) or parsed
    return any(_inside(parsed, public, events, ecosystem) for events in affected.ranges)


def _inside(version: Any, public: Any, events: tuple[Event, ...], ecosystem: Ecosystem) -> bool:
    """Walk a range; the versions and its bounds are of one kind, ``Version`` or ``SemVer``."""
    inside = False
    limits: list[bool] = []
    for event in events:
        if _is_lowest(event):
            inside = True
            continue
        if event.kind is EventKind.LIMIT and event.version == "*":
            limits.append(True)
            continue
        bound: Any = _bound(event, ecosystem)
        subject = public if getattr(bound, "local", None) is None else version
        match event.kind:
            case EventKind.INTRODUCED if subject >= bound:
                inside = True
            case EventKind.FIXED if subject >= bound:
                inside = False
            case EventKind.LAST_AFFECTED if subject > bound:
                inside = False
            case EventKind.LIMIT:
                limits.append(subject < bound)
            case _:
                pass
    return inside and (not limits or any(limits))

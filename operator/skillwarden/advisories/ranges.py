"""Whether a version is affected: OSV's evaluation over PEP 440 versions.

The rule is the one of the OSV schema ("Evaluation"): a version is affected if it is listed in ``versions``,
or if walking a range's events in order of version leaves it inside. Where PEP 440 knows more than the
schema (local versions) or the schema leaves a choice open (ties), the choice here is the one that
cannot hide an advisory.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from packaging.utils import canonicalize_version
from packaging.version import InvalidVersion, Version


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


@functools.lru_cache(maxsize=65536)
def parse_version(text: str) -> Version | None:
    """Return the PEP 440 version, or ``None`` where the text is not one."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


@functools.lru_cache(maxsize=65536)
def version_token(text: str) -> str:
    """Return the text under which equal versions meet: ``1.0`` and ``v1.0.0`` are one; legacy ones stay."""
    parsed = parse_version(text)
    return canonicalize_version(parsed) if parsed is not None else text.strip()


def sort_events(events: Iterable[Event]) -> tuple[Event, ...]:
    """Return the events in the order in which they are walked.

    Raises
    ------
    ValueError
        Where an event's version is not PEP 440, so that the range cannot be evaluated.
    """
    return tuple(sorted(events, key=_order))


def _order(event: Event) -> tuple[int, Version, int]:
    if _is_lowest(event) or (event.kind is EventKind.LIMIT and event.version == "*"):
        return 0, _ZERO, _TIE_ORDER[event.kind]
    return 1, _bound(event), _TIE_ORDER[event.kind]


_ZERO = Version("0")


def _is_lowest(event: Event) -> bool:
    return event.kind is EventKind.INTRODUCED and event.version == "0"


def _bound(event: Event) -> Version:
    parsed = parse_version(event.version)
    if parsed is None:
        raise ValueError(f"{event.kind.value} {event.version[:80]!r} is not a PEP 440 version")
    return parsed


def is_affected(version: str, affected: Affected) -> bool:
    """Whether the version is affected.

    A version with a local segment (``2.0+cu118``) is a build of its public version, and is affected where
    that is; against a bound that has a local segment itself the whole version counts (PEP 440, "Version
    specifiers"). A version that PEP 440 cannot order compares by the list alone; where there is no list,
    nothing can be said, and it counts as affected.

    Parameters
    ----------
    version
        The version asked about.
    affected
        The entry of a record for its package.
    """
    if affected.malformed:
        return True
    if version_token(version) in affected.versions:
        return True
    parsed = parse_version(version)
    if parsed is None:
        return not affected.versions and bool(affected.ranges)
    if parsed.local is not None and version_token(parsed.public) in affected.versions:
        return True
    public = parse_version(parsed.public) or parsed if parsed.local is not None else parsed
    return any(_inside(parsed, public, events) for events in affected.ranges)


def _inside(version: Version, public: Version, events: tuple[Event, ...]) -> bool:
    inside = False
    limits: list[bool] = []
    for event in events:
        if _is_lowest(event):
            inside = True
            continue
        if event.kind is EventKind.LIMIT and event.version == "*":
            limits.append(True)
            continue
        bound = _bound(event)
        subject = public if bound.local is None else version
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

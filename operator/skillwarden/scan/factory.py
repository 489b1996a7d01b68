"""The scanners of the product, wired to one source of advisories."""

from __future__ import annotations

from skillwarden.advisories.errors import CorruptIndexError
from skillwarden.advisories.feed import AdvisoryFeed
from skillwarden.advisories.index import AdvisoryIndex, IndexSource

from ..bounded import TOOL_MEMORY
from .age import AgeScanner
from .artefact import ArtefactScanner, ReadFacts
from .confusion import ConfusionScanner
from .first_seen import AskFirstSeen, FirstSeenScanner
from .malware import DetectMalware, MalwareScanner
from .npm_audit import NpmAuditScanner
from .osv import OsvScanner
from .pip_audit import PipAuditScanner
from .protocol import Scanner
from .typosquat import TyposquatScanner


def default_scanners(
    advisories: AdvisoryFeed | AdvisoryIndex | None,
    *,
    read_facts: ReadFacts,
    detect_malware: DetectMalware,
    ask_first_seen: AskFirstSeen,
    allowed_names: frozenset[str] = frozenset(),
    memory_limit_bytes: int = TOOL_MEMORY,
) -> tuple[Scanner, ...]:
    """Return one of each scanner.

    Parameters
    ----------
    advisories
        A feed (each scan takes its newest index), one index, or ``None``: the scanners that need
        advisories then end in an error.
    read_facts
        Has a lock's artefacts read.
    detect_malware
        Has them looked at for malware.
    ask_first_seen
        Asks the index since when it has a lock's projects.
    allowed_names
        Normalised names that are never taken for typosquats.
    memory_limit_bytes
        What a tool that a scanner runs may have for itself.
    """
    source = _source(advisories)
    return (
        OsvScanner(source),
        PipAuditScanner(source, memory_limit_bytes=memory_limit_bytes),
        NpmAuditScanner(source, memory_limit_bytes=memory_limit_bytes),
        TyposquatScanner(allowed=allowed_names),
        ConfusionScanner(),
        AgeScanner(),
        FirstSeenScanner(ask_first_seen),
        ArtefactScanner(read_facts),
        MalwareScanner(detect_malware),
    )


def _source(advisories: AdvisoryFeed | AdvisoryIndex | None) -> IndexSource:
    match advisories:
        case AdvisoryFeed():
            return lambda: _newest(advisories)
        case _:
            return lambda: advisories


def _newest(feed: AdvisoryFeed) -> AdvisoryIndex | None:
    """Return the newest index; one that is there but cannot be read is told apart from none."""
    index = feed.current()
    if index is None and isinstance(feed.problem, CorruptIndexError):
        raise feed.problem
    return index

"""What the audit trail holds of policies and agents: each generation, and which bans came and went.

Who changed them is not known here: an object does not say, and the API server's own audit log does, by uid
and generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..domain.policy import Policy
from ..kube.kinds import Kind
from .ports import Audit
from .records import AgentRecord, PolicyRecord

_UNKNOWN = "it changed while no operator watched: what it banned before is not known"


@dataclass(frozen=True, slots=True)
class _Known:
    """What was last seen of an object; ``bans`` as last readable, for one that cannot be read lifts none."""

    uid: str
    generation: int
    bans: frozenset[str]


class PolicyNotes:
    """Records what changed, once.

    Parameters
    ----------
    audit
        Takes the records.
    """

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._known: dict[tuple[Kind, str, str], _Known] = {}

    def seen(
        self, kind: Kind, namespace: str, name: str, record: PolicyRecord | AgentRecord, *, told: bool
    ) -> None:
        """Take note of an object as it is now.

        Parameters
        ----------
        kind, namespace, name, record
            Which, and what is known of it.
        told
            Whether its status says that this generation was taken note of before, maybe by another process.
        """
        place = (kind, namespace, name)
        before = self._known.get(place)
        if before is not None and before.uid != record.uid:
            self.gone(kind, namespace, name)
            before = None
        bans = _bans(record)
        known = bans if bans is not None else before.bans if before is not None else frozenset()
        self._known[place] = _Known(record.uid, record.generation, known)
        if told if before is None else before.generation == record.generation:
            return
        about = {"namespace": namespace, "name": name, "uid": record.uid, "generation": record.generation}
        self._audit.record(kind.kind, actor="skillwarden", **about, **_facts(record))
        if bans is None or kind is Kind.AGENT:
            return
        first = before is None and record.status.get("observedGeneration") is None
        added, removed = (
            (bans, frozenset[str]()) if before is None else (bans - before.bans, before.bans - bans)
        )
        if added or removed or not (before or first):
            self._audit.record(
                "Ban",
                actor="skillwarden",
                policy=str(record.ref) if isinstance(record, PolicyRecord) else name,
                **about,
                added=sorted(added) if before or first else [],
                removed=sorted(removed),
                bans=sorted(bans),
                why="" if before or first else _UNKNOWN,
            )

    def gone(self, kind: Kind, namespace: str, name: str) -> None:
        """Take note that an object was deleted, and its bans with it."""
        before = self._known.pop((kind, namespace, name), None)
        if before is None:
            return
        about = {"namespace": namespace, "name": name, "uid": before.uid, "why": "it was deleted"}
        self._audit.record(
            kind.kind, actor="skillwarden", **about, generation=before.generation, deleted=True
        )
        if before.bans:
            self._audit.record("Ban", actor="skillwarden", **about, removed=sorted(before.bans))


def _bans(record: PolicyRecord | AgentRecord) -> frozenset[str] | None:
    """Return what a policy bans, a name at a time; ``None`` where it cannot be read."""
    match record:
        case PolicyRecord(policy=Policy() as policy):
            return frozenset(
                f"{ban.ecosystem.value} {name} {ban.versions}" for ban in policy.bans for name in ban.names
            )
        case PolicyRecord():
            return None
        case AgentRecord():
            return frozenset()


def _facts(record: PolicyRecord | AgentRecord) -> dict[str, Any]:
    facts: dict[str, Any] = {"error": record.error}
    match record:
        case AgentRecord():
            facts["maturity"] = record.maturity.value
        case PolicyRecord(policy=Policy() as policy):
            facts["enforcement"] = str(policy.enforcement)
            facts["bans"] = sorted(_bans(record) or ())
    return facts

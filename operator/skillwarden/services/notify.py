"""One Event and one audit record per change of a verdict, for people and for the record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from ..api.v1alpha1 import GROUP, VERSION
from ..domain.assess import Assessment, verdict_word
from ..domain.conditions import shorten, timestamp
from ..domain.naming import short_digest
from ..domain.policy import PolicyRef
from ..domain.skill import SkillKey
from ..kube.errors import ApiError
from ..kube.kinds import Kind
from .ports import Audit, Cluster, Now

log = structlog.get_logger(__name__)

#: The API server refuses longer notes.
MAX_NOTE = 1024


class Notifier:
    """Says what changed.

    Parameters
    ----------
    cluster
        Takes Events.
    now
        UTC clock.
    reporter
        Name of this operator instance.
    audit
        Takes the records.
    generation_of
        Returns a policy's generation, or ``None``, for the record.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        now: Now,
        reporter: str,
        audit: Audit,
        generation_of: Callable[[PolicyRef], int | None],
    ) -> None:
        self._cluster = cluster
        self._now = now
        self._reporter = reporter
        self._audit = audit
        self._generation_of = generation_of

    async def verdict_changed(
        self, key: SkillKey, assessment: Assessment, *, before: str, agent: str | None
    ) -> None:
        """Record that a skill's verdict is another than before."""
        word = verdict_word(assessment)
        verdict, lock, scan = assessment.verdict, assessment.lock, assessment.scan
        reason = str(assessment.compliant.reason)
        self._audit.record(
            "Verdict",
            actor="skillwarden",
            namespace=key.namespace,
            skill=key.name,
            uid=key.uid,
            agent=agent,
            maturity=assessment.maturity.value,
            before=before,
            verdict=word,
            reason=reason,
            reasons=[item.message for item in verdict.reasons] if verdict else [],
            policies=[
                {"policy": str(ref), "rule": rule, "generation": self._generation_of(ref)}
                for ref, rule in (verdict.decided_by if verdict else ())
            ],
            lock=lock.digest if lock else None,
            content=assessment.content_digest,
            advisories=scan.advisory_revision if scan else None,
        )
        kind = "Normal" if word == "Allowed" else "Warning"
        note = f"{word}: {assessment.compliant.message}"
        await self.event("Skill", key, kind=kind, reason=reason, note=note)

    async def event(self, object_kind: str, key: SkillKey, *, kind: str, reason: str, note: str) -> None:
        """Create an Event; a failure to do so is logged and stops nothing."""
        now: datetime = self._now()
        tail = short_digest(key.uid, reason, now.isoformat(), length=16)
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{key.name[:200].rstrip('-.')}.{tail}",
                "namespace": key.namespace,
            },
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": object_kind,
                "name": key.name,
                "namespace": key.namespace,
                "uid": key.uid,
            },
            "type": kind,
            "reason": reason,
            "message": shorten(note, limit=MAX_NOTE),
            "source": {"component": "skillwarden"},
            "reportingComponent": "skillwarden.io/operator",
            "reportingInstance": self._reporter,
            "firstTimestamp": timestamp(now),
            "lastTimestamp": timestamp(now),
            "count": 1,
        }
        try:
            await self._cluster.create(Kind.EVENT, body)
        except ApiError as error:
            log.warning("an event could not be written", skill=str(key), error=str(error))

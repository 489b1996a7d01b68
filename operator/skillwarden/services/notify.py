"""One Event and one audit record per change of a verdict, for people and for the record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog

from ..api.v1alpha1 import GROUP, VERSION
from ..domain.assess import verdict_word
from ..domain.conditions import shorten, timestamp
from ..domain.naming import short_digest
from ..domain.skill import SkillKey
from ..kube.errors import ApiError
from ..kube.kinds import Kind
from .facts import decision_facts, skill_facts
from .judge import Judged
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
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        now: Now,
        reporter: str,
        audit: Audit,
    ) -> None:
        self._cluster = cluster
        self._now = now
        self._reporter = reporter
        self._audit = audit

    def verdict_changed(self, key: SkillKey, judged: Judged, *, before: str) -> None:
        """Record a decision that is another than before; ``before`` is the verdict as the status has it."""
        self._audit.record(
            "Verdict",
            actor="skillwarden",
            **skill_facts(key),
            before=before or "none",
            **decision_facts(judged),
        )

    async def tell(self, key: SkillKey, judged: Judged, *, before: tuple[str, str]) -> None:
        """Tell people of an outcome that is another than before.

        Parameters
        ----------
        key, judged
            The skill, and the decision.
        before
            Verdict and reason as the status had them; the same where only what they are about changed.
        """
        assessment = judged.assessment
        word, reason = verdict_word(assessment), str(assessment.compliant.reason)
        if (word, reason) == before:
            return
        kind = "Normal" if word == "Allowed" else "Warning"
        note = f"{word}: {assessment.compliant.message}"
        await self.event("Skill", key, kind=kind, reason=reason, note=note)

    def run_refused(self, skill: SkillKey, run: str, judged: Judged, *, why: str) -> None:
        """Record that a run may not start: its agent may be another than the skill's."""
        self._audit.record(
            "Verdict",
            actor="skillwarden",
            **skill_facts(skill, run=run),
            why=why,
            **decision_facts(judged),
        )

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

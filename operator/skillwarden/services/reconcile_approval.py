"""Reconcile of one PackageApproval: who asks for it, what it does, and its end where nobody needs it.

A request that was decided stays, whoever deletes the skills that asked: a denial must not be wiped by
deleting and recreating a Skill. One that nobody decided and nobody asks for any more is removed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..api.v1alpha1.package_approval import MAX_REQUESTERS
from ..domain.approval_request import Effect, effect_of
from ..domain.conditions import ConditionDraft, Status, merge, timestamp
from ..domain.verdict import Accepted
from ..kube.kinds import Kind
from .approvals import Requests
from .guard import Guard
from .notify import Notifier
from .ports import Audit, Cluster, Now, Timing
from .records import ApprovalRecord
from .requeue import Requeue
from .status import differs
from .store import Store
from .write_status import write_status

#: How long a request that nobody asks for is kept: its skill's status may be on its way.
_GRACE = timedelta(minutes=1)
_COUNTS = {Effect.APPROVED: Status.TRUE, Effect.DENIED: Status.TRUE, Effect.PENDING: Status.UNKNOWN}
#: What a person should hear of.
_TOLD = {
    Effect.EXPIRED: "ApprovalExpired",
    Effect.NEW_ARTEFACT: "ApprovalVoided",
    Effect.NEW_FINDING: "ApprovalVoided",
    Effect.APPROVED: "Approved",
    Effect.DENIED: "Denied",
}


class ApprovalReconciler:
    """Reconciles PackageApprovals.

    Parameters
    ----------
    store, cluster, now
        The observed world, the API server, a UTC clock.
    requests
        Who asks for what.
    guard, timing
        Whether who decided is proven, and when that is asked again.
    notifier
        Tells people.
    audit
        Told what an approval came to do.
    """

    def __init__(
        self,
        *,
        store: Store,
        cluster: Cluster,
        now: Now,
        requests: Requests,
        guard: Guard,
        timing: Timing,
        notifier: Notifier,
        audit: Audit,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._now = now
        self._requests = requests
        self._guard = guard
        self._timing = timing
        self._notifier = notifier
        self._audit = audit
        # Decisions that stand, so that one which is deleted is on record, too.
        self._decided: dict[tuple[str, str], ApprovalRecord] = {}

    async def reconcile(self, namespace: str, name: str, requeue: Requeue) -> None:
        """Bring one request up to date."""
        record = self._store.approvals.get((namespace, name))
        self._deleted(namespace, name, record)
        if record is None or record.request is None:
            return
        if record.request.decision is not None:
            self._decided[namespace, name] = record
        askers = self._requests.askers(namespace, name)
        if not askers and record.request.decision is None:
            await self._retire(record, requeue)
            return
        answer = await self._guard.in_force(namespace)
        # Where nobody answers, what was said stands; no verdict is made from it.
        guarded = answer is True or (answer is None and _said(record) == Effect.APPROVED)
        newer = tuple(
            other.request
            for other in self._store.approvals.grouped(namespace)
            if other.request is not None and other.request.decision is None and other.key.name != name
        )
        effect, text = effect_of(record.request, newer=newer, guarded=guarded, now=self._now())
        await self._write(record, askers, effect, text, requeue)
        decision = record.request.decision
        if decision is not None and decision.expires_at is not None and effect is not Effect.EXPIRED:
            requeue.after((decision.expires_at - self._now()).total_seconds() + 1)
        if decision is not None and decision.approved and self._guard.unsure(namespace):
            requeue.after(self._timing.guard_retry.total_seconds())

    def _deleted(self, namespace: str, name: str, record: ApprovalRecord | None) -> None:
        """Keep for the record that a decision is gone: what it allowed must be asked for anew."""
        before = self._decided.get((namespace, name))
        if before is None or (record is not None and record.key.uid == before.key.uid):
            return
        del self._decided[namespace, name]
        self._record(before, "Deleted", "It was deleted; what it decided counts no more.", actor="unknown")

    async def _retire(self, record: ApprovalRecord, requeue: Requeue) -> None:
        age = self._now() - record.created_at if record.created_at else _GRACE
        if age < _GRACE:
            requeue.after((_GRACE - age).total_seconds() + 1)
            return
        await self._cluster.delete(
            Kind.PACKAGE_APPROVAL,
            name=record.key.name,
            namespace=record.key.namespace,
            uid=record.key.uid,
            resource_version=record.resource_version,
        )

    async def _write(
        self, record: ApprovalRecord, askers: tuple[str, ...], effect: Effect, text: str, requeue: Requeue
    ) -> None:
        draft = ConditionDraft("Effective", _COUNTS.get(effect, Status.FALSE), effect, text)
        observed = record.status.get("conditions") or []
        status = {
            "observedGeneration": record.generation,
            "requestedBy": {"count": len(askers), "skills": list(askers[:MAX_REQUESTERS])},
            "conditions": merge([draft], observed=observed, generation=record.generation, now=self._now()),
        }
        standing = {key: value for key, value in record.status.items() if key != "decision"}
        if not differs(status, standing):
            return
        if not await write_status(
            self._cluster,
            Kind.PACKAGE_APPROVAL,
            record.key,
            status,
            record=record,
            table=self._store.approvals,
            requeue=requeue,
        ):
            return
        before = _said(record)
        if before != effect:
            decided = record.request is not None and effect in {Effect.APPROVED, Effect.DENIED}
            decision = record.request.decision if record.request and decided else None
            self._record(
                record,
                effect,
                text,
                actor=decision.approver if decision else "skillwarden",
                skills=list(askers[:MAX_REQUESTERS]),
            )
        if effect in _TOLD and before != effect:
            kind = "Normal" if effect is Effect.APPROVED else "Warning"
            await self._notifier.event(
                "PackageApproval", record.key, kind=kind, reason=_TOLD[effect], note=text
            )

    def _record(self, record: ApprovalRecord, effect: str, text: str, *, actor: str, **more: Any) -> None:
        """Keep for the record what an approval does from now on, about what, and who decided it."""
        request = record.request
        decision = request.decision if request else None
        declared = request.declared if request else None
        self._audit.record(
            "Approval",
            actor=actor,
            approver=decision.approver if decision else None,
            namespace=record.key.namespace,
            approval=record.key.name,
            uid=record.key.uid,
            effect=str(effect),
            message=text,
            package=f"{declared.ecosystem.value} {declared}" if declared else None,
            artefacts=sorted(request.artefacts) if request else [],
            findings=sorted(_accepted(item) for item in request.findings) if request else [],
            decision=None if decision is None else ("Approved" if decision.approved else "Denied"),
            reason=decision.reason if decision else None,
            maturity=decision.min_maturity.value if decision else None,
            expires=timestamp(decision.expires_at) if decision and decision.expires_at else None,
            **more,
        )


def _accepted(item: Accepted) -> str:
    """Return a finding in words; one of a skill's own files has no package."""
    package, kind, id_ = item
    return f"{kind} {id_} of {package.ecosystem.value} {package}" if package else f"{kind} {id_}"


def _said(record: ApprovalRecord) -> str:
    """Return what its status says that it does, or ``""``."""
    return next((str(item.get("reason")) for item in record.status.get("conditions") or []), "")

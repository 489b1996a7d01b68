"""Reconcile of policies and agents: say whether they can be read.

What follows from them for skills is the skills' reconcile.
"""

from __future__ import annotations

from typing import Any

from ..domain.conditions import (
    AgentAcceptedReason,
    ConditionDraft,
    ConditionType,
    PolicyAcceptedReason,
    Status,
    merge,
)
from ..domain.skill import SkillKey
from ..kube.kinds import Kind
from .policy_notes import PolicyNotes
from .ports import Audit, Cluster, Now
from .records import AgentRecord, PolicyRecord
from .requeue import Requeue
from .status import differs
from .store import Store
from .table import Table
from .write_status import write_status


class AcceptedReconciler:
    """Writes the condition Accepted of PackagePolicies, ClusterPackagePolicies and Agents.

    Parameters
    ----------
    audit
        Told of each generation of a policy or an agent.
    cluster_policies
        Whether to write that of ClusterPackagePolicies: not an operator's that governs some namespaces only,
        for it may read them and no more.
    """

    def __init__(
        self, *, store: Store, cluster: Cluster, now: Now, audit: Audit, cluster_policies: bool = True
    ) -> None:
        self._notes = PolicyNotes(audit)
        self._cluster_policies = cluster_policies
        self._cluster = cluster
        self._now = now
        self._tables: dict[Kind, Table[Any]] = {
            Kind.PACKAGE_POLICY: store.policies,
            Kind.CLUSTER_PACKAGE_POLICY: store.cluster_policies,
            Kind.AGENT: store.agents,
        }

    async def reconcile(self, kind: Kind, namespace: str, name: str, requeue: Requeue) -> None:
        """Bring one object's status up to date."""
        table = self._tables[kind]
        record: PolicyRecord | AgentRecord | None = table.get((namespace, name))
        if record is None:
            self._notes.gone(kind, namespace, name)
            return
        if kind is Kind.CLUSTER_PACKAGE_POLICY and not self._cluster_policies:
            self._notes.seen(kind, namespace, name, record, told=False)
            return
        status = {
            "observedGeneration": record.generation,
            "conditions": merge(
                [accepted(record)],
                observed=record.status.get("conditions") or [],
                generation=record.generation,
                now=self._now(),
            ),
        }
        if not differs(status, record.status):
            self._notes.seen(kind, namespace, name, record, told=True)
            return
        key = SkillKey(namespace, name, record.uid)
        if await write_status(self._cluster, kind, key, status, record=record, table=table, requeue=requeue):
            told = record.status.get("observedGeneration") == record.generation
            self._notes.seen(kind, namespace, name, record, told=told)


def accepted(record: PolicyRecord | AgentRecord) -> ConditionDraft:
    """Return whether an object can be read, and what it means where it cannot."""
    match record:
        case PolicyRecord(policy=None):
            text = f"{record.error} Until this is mended, no skill that the policy applies to is allowed."
            return _draft(Status.FALSE, PolicyAcceptedReason.INVALID_POLICY, text)
        case PolicyRecord():
            return _draft(Status.TRUE, PolicyAcceptedReason.VALID, "The policy can be read.")
        case AgentRecord(error=error) if error:
            text = f"{error} Until this is mended, the agent counts as a Student."
            return _draft(Status.FALSE, AgentAcceptedReason.INVALID_AGENT, text)
        case AgentRecord():
            text = "Its maturity counts for the skills that may name it."
            return _draft(Status.TRUE, AgentAcceptedReason.VALID, text)


def _draft(
    status: Status, reason: PolicyAcceptedReason | AgentAcceptedReason, message: str
) -> ConditionDraft:
    return ConditionDraft(ConditionType.ACCEPTED, status, reason, message)

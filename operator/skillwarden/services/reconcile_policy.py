"""Reconcile of policies: say whether they can be read; judging skills by them is the skills' reconcile."""

from __future__ import annotations

from dataclasses import replace

from ..domain.conditions import ConditionDraft, ConditionType, Status, merge
from ..domain.skill import SkillKey
from ..kube.errors import Conflict, NotFound
from ..kube.kinds import Kind
from .ports import Cluster, Now
from .records import PolicyRecord
from .requeue import Requeue
from .status import apply_body, differs
from .store import Store


class PolicyReconciler:
    """Writes the condition Accepted of PackagePolicies and ClusterPackagePolicies."""

    def __init__(self, *, store: Store, cluster: Cluster, now: Now) -> None:
        self._store = store
        self._cluster = cluster
        self._now = now

    async def reconcile(self, kind: Kind, namespace: str, name: str, requeue: Requeue) -> None:
        """Bring one policy's status up to date."""
        table = self._store.policies if kind is Kind.PACKAGE_POLICY else self._store.cluster_policies
        record = table.get((namespace, name))
        if record is None:
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
            return
        key = SkillKey(namespace, name, record.uid)
        body = apply_body(kind.kind, key, record.resource_version, status)
        try:
            written = await self._cluster.apply(kind, body, subresource="status")
        except NotFound:
            return
        except Conflict:
            requeue.retry()
            return
        if table.get((namespace, name)) is record:
            version = written["metadata"]["resourceVersion"]
            table.put(
                (namespace, name),
                replace(record, status=written.get("status") or {}, resource_version=version),
            )


def accepted(record: PolicyRecord) -> ConditionDraft:
    """Return whether a policy can be read; where it cannot, nothing that it applies to is allowed."""
    if record.policy is None:
        text = f"{record.error} Until this is mended, no skill that the policy applies to is allowed."
        return ConditionDraft(ConditionType.ACCEPTED, Status.FALSE, "InvalidPolicy", text)
    return ConditionDraft(ConditionType.ACCEPTED, Status.TRUE, "Valid", "The policy can be read.")

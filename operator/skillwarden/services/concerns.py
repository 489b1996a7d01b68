"""Which keys an observation concerns, by kind; what to do about a key is the reconcilers'."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from ..builders.network_policy import DEFAULT_DENY_NAME
from ..kube.kinds import Kind
from .approvals import requests_of
from .observe import NetworkPolicyRecord, PodRecord
from .records import ApprovalRecord, SkillRecord
from .requeue import Key
from .store import Store
from .table import Name, Table
from .workqueue import WorkQueue

SKILL, RUN, AGENT, POLICY, CLUSTER_POLICY, APPROVAL, STRAY = (
    "Skill",
    "SkillRun",
    "Agent",
    "PackagePolicy",
    "ClusterPackagePolicy",
    "PackageApproval",
    "Pod",
)
#: Pods whose going an operator that stands by remembers, the last ones: one that leads looks at each at once.
_MAX_UNSEEN = 1000


class Concerns:
    """Queues what an observation bears on, once this operator leads: before, keys would only pile up.

    Parameters
    ----------
    store
        The observed world.
    queue
        Of the keys to reconcile.
    """

    def __init__(self, store: Store, queue: WorkQueue[Key]) -> None:
        self._store = store
        self._queue = queue
        self._leads = False
        # Pods that went out of sight while they ran, and nobody could look whether they still do.
        self._unseen: deque[Name] = deque(maxlen=_MAX_UNSEEN)

    def lead(self) -> None:
        """Queue every key of the store, and from now on what is observed."""
        self._leads = True
        store = self._store
        tables: tuple[tuple[str, Table[Any]], ...] = (
            (CLUSTER_POLICY, store.cluster_policies),
            (POLICY, store.policies),
            (AGENT, store.agents),
            (APPROVAL, store.approvals),
            (SKILL, store.skills),
            (RUN, store.runs),
            (STRAY, store.pods),
        )
        for kind, table in tables:
            for name in table:
                self._queue.add((kind, *name))
        for policy in store.network_policies.values():
            alone = policy.name == DEFAULT_DENY_NAME and not store.skills.grouped(policy.namespace)
            if policy.left or (policy.ours and alone):
                # Nobody saw its skill go: a key that is no skill's has its namespace tidied.
                self._skill((policy.namespace, policy.name))
        while self._unseen:
            self.stray(self._unseen.popleft(), None)

    def changed(self, kind: Kind, name: Name, before: Any, after: Any) -> None:  # noqa: PLR0912 - a table
        """Queue every key that an observation bears on."""
        if not self._leads:
            return
        namespace = name[0]
        match kind:
            case Kind.SKILL:
                self._left_behind(SKILL, before, after)
                self._with_runs(name)
                # Who asks for a request is told by the skills' status.
                named = [requests_of(record) for record in (before, after) if record is not None]
                for request in frozenset().union(*named):
                    self._queue.add((APPROVAL, namespace, request))
            case Kind.SKILL_RUN:
                self._left_behind(RUN, before, after)
                self._queue.add((RUN, *name))
            case Kind.AGENT:
                if _moved(before, after):
                    self.skills(self._store.skills.grouped(namespace))
                self._queue.add((AGENT, *name))
            case Kind.PACKAGE_APPROVAL:
                if _decision(before) != _decision(after):
                    self.skills(self._store.skills.grouped(namespace))
                elif after is None or (before is not None and after.key.uid != before.key.uid):
                    # Whoever waits for one that is gone asks anew.
                    self.skills(self._askers(name, before))
                self._queue.add((APPROVAL, *name))
                for other in self._store.approvals.grouped(namespace):
                    # One that asks for more takes the effect from another.
                    self._queue.add((APPROVAL, namespace, other.key.name))
            case Kind.PACKAGE_POLICY:
                if _moved(before, after):
                    self.skills(self._store.skills.grouped(namespace))
                self._queue.add((POLICY, *name))
            case Kind.CLUSTER_PACKAGE_POLICY:
                if _moved(before, after):
                    self.everything()
                self._queue.add((CLUSTER_POLICY, *name))
            case Kind.NAMESPACE:
                if before != after:
                    self.skills(self._store.skills.grouped(name[1]))
            case Kind.NETWORK_POLICY:
                self._network_policy(namespace, before, after)
            case Kind.POD:
                for record in (before, after):
                    self._owner(record)
                if after is not None or (before is not None and not before.owner.name):
                    # One that had lost its owner leaves what only its namespace can be tidied of.
                    self._queue.add((STRAY, *name))

    def everything(self) -> None:
        """Queue every skill and its runs."""
        self.skills(self._store.skills.values())

    def skills(self, records: Iterable[Any]) -> None:
        """Queue these skills and their runs."""
        for record in records:
            self._with_runs((record.key.namespace, record.key.name))

    def stray(self, name: Name, before: PodRecord | None) -> None:
        """Queue a Pod that is seen no more: it may only have lost its label, and still run."""
        if self._leads:
            self._queue.add((STRAY, *name))
        elif before is None or not (before.pod.deleting or before.pod.phase.ended):
            self._unseen.append(name)

    def _network_policy(self, namespace: str, before: Any, after: Any) -> None:
        """Queue a skill for what is its own; any other may open or close every sandbox of the namespace."""
        if before is not None and after is not None and unchanged(before, after):
            return
        known = [record for record in (before, after) if record is not None]
        if known and all(record.ours and record.owner_name for record in known):
            for record in known:
                self._skill((namespace, record.owner_name))
        else:
            self.skills(self._store.skills.grouped(namespace))
            if before is not None and before.ours and before.owner_name:
                # Its skill may have been seen to go before this lost it: then nobody else would look.
                self._skill((namespace, before.owner_name))

    def _askers(self, name: Name, request: ApprovalRecord | None) -> Iterable[SkillRecord]:
        """Yield the skills that ask for a request, by what their status says, or the request's own."""
        told = set((request.status.get("requestedBy") or {}).get("skills") or ()) if request else set()
        for record in self._store.skills.grouped(name[0]):
            if record.key.name in told or name[1] in requests_of(record):
                yield record

    def _left_behind(self, kind: str, before: Any, after: Any) -> None:
        """Queue the Pods of an owner that is gone, or is another one by now: nobody else would look."""
        if before is not None and (after is None or after.key.uid != before.key.uid):
            for pod in self._store.pods_of(kind, before.key):
                self._queue.add((STRAY, pod.namespace, pod.pod.name))

    def _with_runs(self, name: Name) -> None:
        self._skill(name)
        for run in self._store.runs.grouped(name):
            self._queue.add((RUN, run.key.namespace, run.key.name))

    def _skill(self, name: Name) -> None:
        self._queue.add((SKILL, *name))

    def _owner(self, record: Any) -> None:
        if record is None:
            return
        owner = record.owner
        if owner.kind in {SKILL, RUN}:
            self._queue.add((owner.kind, owner.namespace, owner.name))


def _moved(before: Any, after: Any) -> bool:
    """Whether a policy says something else than before: its status alone does not count."""
    if before is None or after is None:
        return before is not after
    return (before.uid, before.generation) != (after.uid, after.generation)


def _decision(record: ApprovalRecord | None) -> object:
    return record.request.decision if record is not None and record.request is not None else None


def unchanged(before: Any, after: Any) -> bool:
    """Whether two records of one object say the same."""
    if isinstance(before, NetworkPolicyRecord) and isinstance(after, NetworkPolicyRecord):
        return before.facts == after.facts
    return bool(before == after)

"""Pods that are ours and nobody's: left by a cascade, relabelled, adopted by another, or forged.

A labelled Pod whose owner is gone or whose labels were changed is removed (promise 6): it runs something
under our name that no verdict covers.
"""

from __future__ import annotations

from typing import Any

import structlog

from ..domain.decide import RemovePod
from ..domain.naming import COMPONENT_SANDBOX, LABEL_COMPONENT
from ..domain.skill import SkillKey
from ..kube.kinds import Kind
from .execute import Executor
from .facts import skill_facts
from .observe import OwnerKey, pod_record
from .ports import Cluster, SandboxSetup
from .records import RunRecord, SkillRecord
from .store import Store

log = structlog.get_logger(__name__)

_BROKEN = "its seal is broken: it is not as the operator made it"
_UNLABELLED = "its labels were taken away"


class StrayCatcher:
    """Removes Pods that no Skill and no SkillRun answers for.

    Parameters
    ----------
    store, cluster
        The observed world, and the live one.
    executor
        Deletes.
    setup
        For the seal's key.
    """

    def __init__(self, *, store: Store, cluster: Cluster, executor: Executor, setup: SandboxSetup) -> None:
        self._store = store
        self._cluster = cluster
        self._executor = executor
        self._setup = setup
        # uid -> owner of Pods that we saw whole: so that one stripped of labels and owner is still known.
        self._known: dict[str, OwnerKey] = {}

    async def reconcile(self, namespace: str, name: str) -> None:
        """Look at one Pod; remove it if it is a stray."""
        record = self._store.pods.get((namespace, name))
        if record is None:
            await self._unlabelled(namespace, name)
            return
        pod = record.pod
        if not pod.tampered:
            self._known[pod.uid] = record.owner
        if pod.deleting:
            return
        if not self._owned(record.owner) and not await self._owned_by_now(record.owner):
            await self._remove(namespace, name, pod.uid, "its owner is gone, or is none of ours")
        elif pod.tampered:
            await self._remove(namespace, name, pod.uid, _BROKEN)

    async def _unlabelled(self, namespace: str, name: str) -> None:
        """Look for a Pod that left the watch: deleted, or stripped of its label and still running."""
        body = await self._cluster.get(Kind.POD, name=name, namespace=namespace)
        if body is None:
            gone = [uid for uid, owner in self._known.items() if not self._owned(owner)]
            for uid in gone:
                del self._known[uid]
            await self._executor.tidy(namespace)
            return
        record = pod_record(body, seal_key=self._setup.seal_key)
        pod = record.pod
        if pod.deleting or not pod.tampered:
            # A whole seal says that its labels are: it was just launched, and the watch has yet to bring it.
            return
        if record.owner.uid or pod.uid in self._known:
            labels = body["metadata"].get("labels") or {}
            labelled = labels.get(LABEL_COMPONENT) == COMPONENT_SANDBOX
            await self._remove(namespace, name, pod.uid, _BROKEN if labelled else _UNLABELLED)

    def _owned(self, owner: OwnerKey) -> bool:
        name = (owner.namespace, owner.name)
        found: SkillRecord | RunRecord | None = None
        match owner.kind:
            case "Skill":
                found = self._store.skills.get(name)
            case "SkillRun":
                found = self._store.runs.get(name)
        return found is not None and found.key.uid == owner.uid

    async def _owned_by_now(self, owner: OwnerKey) -> bool:
        """Ask the API server: the watches are each by themselves, and a Pod may be seen before its owner."""
        kind = next((kind for kind in (Kind.SKILL, Kind.SKILL_RUN) if kind.kind == owner.kind), None)
        if kind is None:
            return False
        body = await self._cluster.get(kind, name=owner.name, namespace=owner.namespace)
        return body is not None and body["metadata"].get("uid") == owner.uid

    async def _remove(self, namespace: str, name: str, uid: str, why: str) -> None:
        log.warning("a stray pod is removed", namespace=namespace, pod=name, why=why)
        await self._executor.remove(
            namespace, [RemovePod(name, uid, why)], facts=self._facts(namespace, name, uid)
        )

    def _facts(self, namespace: str, name: str, uid: str) -> dict[str, Any]:
        """Return what an audit record can say of whose it claims to be, or was known to be."""
        record = self._store.pods.get((namespace, name))
        owner = self._known.get(uid) or (record.owner if record is not None else None)
        match owner:
            case OwnerKey(kind="Skill"):
                return skill_facts(SkillKey(owner.namespace, owner.name, owner.uid))
            case OwnerKey(kind="SkillRun"):
                return {"namespace": namespace, "run": owner.name}
        return {"namespace": namespace}

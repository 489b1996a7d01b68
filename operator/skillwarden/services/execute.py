"""Carries out plans: the only place that creates and deletes children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from ..builders.drift import same_spec
from ..builders.network_policy import DEFAULT_DENY_NAME
from ..builders.service_account import service_account_name
from ..domain.assess import Failure
from ..domain.conditions import SandboxReason
from ..domain.decide import Ensure, RemovePod
from ..domain.naming import COMPONENT_SANDBOX, LABEL_COMPONENT
from ..domain.skill import SkillKey
from ..kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    QuotaExceeded,
    RuntimeClassMissing,
)
from ..kube.kinds import Kind
from .children import CHILD_KINDS, Children
from .observe import (
    SANDBOX_SELECTOR,
    NetworkPolicyRecord,
    child_of,
    network_policy_record,
    owner_of,
    pod_record,
)
from .ports import Audit, Body, Cluster, SandboxSetup
from .records import SkillRecord
from .seal import identity
from .store import Store

log = structlog.get_logger(__name__)

#: Seconds that a sandbox gets to end by itself once its verdict turned (DESIGN 4).
GRACE_SECONDS = 5


class Executor:
    """Writes children, and nothing else.

    Parameters
    ----------
    cluster
        The API server.
    store
        Learns at once what was written, so that the next reconcile need not wait for the watch.
    children
        What should stand.
    setup
        For the seal's key.
    audit
        Told of each Pod that is launched or removed.
    """

    def __init__(
        self, *, cluster: Cluster, store: Store, children: Children, setup: SandboxSetup, audit: Audit
    ) -> None:
        self._audit = audit
        self._cluster = cluster
        self._store = store
        self._children = children
        self._setup = setup

    async def remove(self, namespace: str, pods: Sequence[RemovePod], *, facts: Mapping[str, Any]) -> None:
        """Delete Pods, each by uid: a successor of the same name is not meant.

        Parameters
        ----------
        namespace, pods
            Which.
        facts
            For the audit record: whose they are.
        """
        for item in pods:
            try:
                await self._cluster.delete(
                    Kind.POD, name=item.name, namespace=namespace, uid=item.uid, grace_seconds=GRACE_SECONDS
                )
            except Conflict:
                log.info("a pod was replaced meanwhile", namespace=namespace, pod=item.name)
                continue
            log.info("pod removed", namespace=namespace, pod=item.name, why=item.why)
            known = self._store.pods.get((namespace, item.name))
            same = known is not None and known.pod.uid == item.uid
            about = (
                {"lock": known.pod.lock_digest, "content": known.pod.content_digest} if same and known else {}
            )
            self._audit.record(
                "Removal",
                actor="skillwarden",
                **({"namespace": namespace} | dict(facts)),
                pod=item.name,
                podUid=item.uid,
                why=item.why,
                **about,
            )

    async def ensure(self, record: SkillRecord, missing: Sequence[Ensure]) -> Failure | None:
        """Make what must stand before a Pod does, in order; return why the API server takes one not.

        Raises
        ------
        ApiError
            For what another try may mend.
        """
        for child in missing:
            wanted = self._children.build(child, record)
            kind = CHILD_KINDS[child]
            try:
                made = await self._make(kind, wanted)
            except (Forbidden, Invalid, Conflict) as error:
                return refusal(error, what=f"{kind.name} {wanted['metadata']['name']}")
            if child is Ensure.SERVICE_ACCOUNT:
                self._children.made_account(record.key)
            else:
                observed = network_policy_record(made)
                self._store.network_policies.put((observed.namespace, observed.name), observed)
        return None

    async def learn_accounts(self) -> None:
        """Remember the ServiceAccounts that stand as they should; the others are looked at one by one."""
        listing = await self._cluster.list(Kind.SERVICE_ACCOUNT, label_selector=SANDBOX_SELECTOR)
        for body in listing.items:
            owner = owner_of(body)
            key = SkillKey(owner.namespace, owner.name, owner.uid)
            ours = owner.kind == "Skill" and body["metadata"]["name"] == service_account_name(key)
            if ours and body.get("automountServiceAccountToken") is False:
                self._children.made_account(key)

    async def _make(self, kind: Kind, wanted: Body) -> Body:
        meta = wanted["metadata"]
        if kind is Kind.SERVICE_ACCOUNT:
            # Not watched: look before writing, or each restart would try to create every one again.
            found = await self._cluster.get(kind, name=meta["name"], namespace=meta["namespace"])
            if found is not None:
                return await self._take_over(kind, wanted)
        try:
            return await self._cluster.create(kind, wanted)
        except AlreadyExists:
            return await self._take_over(kind, wanted)

    async def _take_over(self, kind: Kind, wanted: Body) -> Body:
        """Bring an existing child of ours back to what it should be; never another's."""
        meta = wanted["metadata"]
        found = await self._cluster.get(kind, name=meta["name"], namespace=meta["namespace"])
        if found is None:
            raise Conflict(409, "Conflict", f"{kind.name} {meta['name']} vanished while it was made")
        if owner_of(found) != owner_of(wanted):
            raise Conflict(
                409,
                "Conflict",
                f"{meta['namespace']}/{meta['name']} exists and is not this skill's. Delete it.",
            )
        if kind is Kind.SERVICE_ACCOUNT and found.get("automountServiceAccountToken") is False:
            return found
        return await self._cluster.apply(kind, wanted)

    async def tidy(self, namespace: str) -> None:
        """Remove what deleted skills left: orphans, and the deny-all once there is nothing to deny."""
        store = self._store
        living = {record.key.uid for record in store.skills.grouped(namespace)}
        for record in store.network_policies.grouped(namespace):
            if record.left and record.skill_uid not in living:
                await self._tidy_account(record)
                await self._cluster.delete(
                    Kind.NETWORK_POLICY, name=record.name, namespace=namespace, uid=record.uid
                )
        found = store.network_policies.get((namespace, DEFAULT_DENY_NAME))
        if found is None or not found.ours or living:
            return
        if not any(record.namespace == namespace for record in store.pods.values()):
            await self._cluster.delete(
                Kind.NETWORK_POLICY, name=found.name, namespace=namespace, uid=found.uid
            )

    async def _tidy_account(self, policy: NetworkPolicyRecord) -> None:
        """Remove the ServiceAccount of the same name, if it says itself that it was the same skill's."""
        kind, name, namespace = Kind.SERVICE_ACCOUNT, policy.name, policy.namespace
        found = await self._cluster.get(kind, name=name, namespace=namespace)
        if found is not None and child_of(found) == policy.skill_uid:
            await self._cluster.delete(kind, name=name, namespace=namespace, uid=found["metadata"]["uid"])

    async def launch(self, body: Body, *, facts: Mapping[str, Any]) -> Failure | None:
        """Create a Pod, or adopt the one that is exactly it; return why not.

        Parameters
        ----------
        body
            The Pod.
        facts
            For the audit record: whose it is, and the decision that it rests on.

        Raises
        ------
        ApiError
            For what another try may mend.
        """
        meta = body["metadata"]
        adopted = False
        try:
            made = await self._cluster.create(Kind.POD, body)
        except AlreadyExists:
            adopted = True
            found = await self._cluster.get(Kind.POD, name=meta["name"], namespace=meta["namespace"])
            if found is None:
                raise
            if owner_of(found) != owner_of(body) or not same_spec(body, found):
                return Failure(
                    SandboxReason.POD_REFUSED,
                    f"Pod {meta['name']} exists already and is not what this skill would launch.",
                    "Delete that Pod.",
                    retryable=True,
                )
            made = found
        except (Forbidden, Invalid) as error:
            return refusal(error)
        record = pod_record(made, seal_key=self._setup.seal_key)
        if record.pod.tampered and not adopted:
            # Seen anew it would be removed, and launched again, for ever.
            await self._cluster.delete(
                Kind.POD, name=meta["name"], namespace=meta["namespace"], uid=record.pod.uid, grace_seconds=0
            )
            return altered(body, made)
        self._store.pods.put((record.namespace, record.pod.name), record)
        log.info("pod launched", namespace=meta["namespace"], pod=meta["name"])
        about = {"lock": record.pod.lock_digest, "content": record.pod.content_digest}
        self._audit.record(
            "Adoption" if adopted else "Launch",
            actor="skillwarden",
            **({**facts, "pod": meta["name"], "podUid": record.pod.uid} | about),
        )
        return None


def altered(asked: Body, made: Body) -> Failure:
    """Return why a Pod does not run that admission changed while it was made."""
    before, after = identity(asked), identity(made)
    changed = ", ".join(field for field in before if before[field] != after[field]) or "annotations"
    return Failure(
        SandboxReason.POD_REFUSED,
        f"An admission webhook of the cluster changed the Pod ({changed}): it is not what was judged.",
        f"Have Pods with the label {LABEL_COMPONENT}={COMPONENT_SANDBOX} left out of it; where it replaces"
        " images' tags by digests, name the operator's image and the runtimes by digest.",
        retryable=True,
    )


def refusal(error: ApiError, *, what: str = "Pod") -> Failure:
    """Return why the API server does not take a Pod, or what it needs, as the failure of a launch."""
    match error:
        case QuotaExceeded():
            return Failure(
                SandboxReason.QUOTA_EXCEEDED,
                error.said,
                "Raise the ResourceQuota, or ask for less.",
                retryable=True,
            )
        case RuntimeClassMissing():
            return Failure(
                SandboxReason.RUNTIME_CLASS_MISSING,
                error.said,
                "Have the RuntimeClass installed, or ask for another.",
                retryable=True,
            )
        case _:
            return Failure(
                SandboxReason.POD_REFUSED,
                f"The API server refuses the {what}: {error.said}",
                "Look at the namespace's admission policies.",
                retryable=True,
            )

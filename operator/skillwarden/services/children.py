"""The children of a skill as they should be, and whether those that stand are so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.v1alpha1 import GROUP, VERSION
from ..builders.metadata import ANNOTATION_SPEC, Owner, sandbox_labels
from ..builders.network_policy import DEFAULT_DENY_NAME, build_default_deny, build_network_policy
from ..builders.pod import PodRequest, build_pod
from ..builders.service_account import build_service_account, service_account_name
from ..domain.assess import Assessment, Failure
from ..domain.decide import Ensure
from ..domain.lock import Platform
from ..domain.skill import SkillKey, SkillSpec
from ..domain.world import Surroundings, WantedPod
from ..kube.kinds import Kind
from .isolation import Isolation
from .ports import Body, SandboxSetup
from .records import RunRecord, SkillRecord
from .seal import SEAL, seal
from .store import Store

CHILD_KINDS = {
    Ensure.DEFAULT_DENY: Kind.NETWORK_POLICY,
    Ensure.NETWORK_POLICY: Kind.NETWORK_POLICY,
    Ensure.SERVICE_ACCOUNT: Kind.SERVICE_ACCOUNT,
}


class Children:
    """Builds children and compares them with what stands.

    Parameters
    ----------
    store
        The observed world.
    setup
        What every sandbox has.
    isolation
        What is known of the cluster's.
    """

    def __init__(self, *, store: Store, setup: SandboxSetup, isolation: Isolation) -> None:
        self._store = store
        self._setup = setup
        self._isolation = isolation
        # ServiceAccounts are not watched (nothing in them is ever changed): uid of the skill -> made.
        self._accounts: set[str] = set()

    def skill_owner(self, key: SkillKey) -> Owner:
        """Return the owner of a skill's children."""
        return Owner(
            api_version=f"{GROUP}/{VERSION}",
            kind="Skill",
            name=key.name,
            namespace=key.namespace,
            uid=key.uid,
        )

    def build(self, child: Ensure, record: SkillRecord) -> Body:
        """Return the whole child that should stand."""
        owner = self.skill_owner(record.key)
        match child:
            case Ensure.DEFAULT_DENY:
                return build_default_deny(record.key.namespace)
            case Ensure.NETWORK_POLICY:
                egress = record.spec.sandbox.egress if record.spec else ()
                return build_network_policy(record.key, owner=owner, depot=self._setup.depot, egress=egress)
            case Ensure.SERVICE_ACCOUNT:
                return build_service_account(record.key, owner=owner)

    def service_pods(
        self, record: SkillRecord, assessment: Assessment, platform: Platform
    ) -> dict[str, Body]:
        """Return the Pods of a Service that may run, by name."""
        spec, verdict = record.spec, assessment.verdict
        if spec is None or verdict is None or assessment.lock is None or assessment.content_digest is None:
            return {}
        pods = [
            self._pod(
                record,
                assessment,
                platform,
                owner=self.skill_owner(record.key),
                spec=spec,
                ordinal=ordinal,
            )
            for ordinal in range(spec.sandbox.replicas)
        ]
        return {pod["metadata"]["name"]: pod for pod in pods}

    def run_pod(
        self, run: RunRecord, record: SkillRecord, assessment: Assessment, platform: Platform
    ) -> Body | None:
        """Return the Pod of a run that may start, or ``None``."""
        spec = record.spec
        if spec is None or run.spec is None or assessment.lock is None or assessment.content_digest is None:
            return None
        owner = Owner(
            api_version=f"{GROUP}/{VERSION}",
            kind="SkillRun",
            name=run.key.name,
            namespace=run.key.namespace,
            uid=run.key.uid,
        )
        timeout = min(spec.sandbox.timeout_seconds, run.spec.timeout_seconds or spec.sandbox.timeout_seconds)
        return self._pod(
            record,
            assessment,
            platform,
            owner=owner,
            spec=spec,
            run=run.key.name,
            input_digest=run.input_digest,
            timeout=timeout,
        )

    def _pod(
        self,
        record: SkillRecord,
        assessment: Assessment,
        platform: Platform,
        *,
        owner: Owner,
        spec: SkillSpec,
        ordinal: int | None = None,
        run: str | None = None,
        input_digest: str | None = None,
        timeout: int | None = None,
    ) -> Body:
        assert assessment.lock is not None and assessment.content_digest is not None  # noqa: S101
        lock_digest, content = assessment.lock.digest, assessment.content_digest
        body = build_pod(
            PodRequest(
                owner=owner,
                skill=record.key,
                run=run,
                spec=spec,
                lock_digest=lock_digest,
                platform=platform,
                content_digest=content,
                input_digest=input_digest,
                ordinal=ordinal,
                images=self._setup.images(platform),
                depot=self._setup.depot,
                token=self._setup.token(lock_digest, content, input_digest),
                runtime_class=assessment.verdict.runtime_class if assessment.verdict else None,
                isolated=self._isolation.enforced is True,
                host_users=self._setup.host_users,
                timeout_seconds=timeout,
            )
        )
        annotations = body["metadata"].setdefault("annotations", {})
        annotations[SEAL] = seal(body, key=self._setup.seal_key)
        return body

    def surroundings(self, record: SkillRecord, *, artefacts: bool | Failure | None) -> Surroundings:
        """Return whether what must stand before a Pod does stand."""
        return Surroundings(
            default_deny=self._stands(self.build(Ensure.DEFAULT_DENY, record), owner_uid=""),
            network_policy=self._stands(self.build(Ensure.NETWORK_POLICY, record), owner_uid=record.key.uid),
            service_account=self.has_account(record.key),
            artefacts=artefacts,
        )

    def _stands(self, wanted: Body, *, owner_uid: str) -> bool:
        meta = wanted["metadata"]
        found = self._store.network_policies.get((meta["namespace"], meta["name"]))
        return (
            found is not None
            and found.ours
            and found.owner_uid == owner_uid
            and same_policy(found.spec, wanted["spec"])
        )

    def made_account(self, key: SkillKey) -> None:
        """Remember that a skill's ServiceAccount stands."""
        self._accounts.add(key.uid)

    def has_account(self, key: SkillKey) -> bool:
        """Whether a skill's ServiceAccount is known to stand."""
        return key.uid in self._accounts

    def forget(self, key: SkillKey) -> None:
        """Forget a skill that is gone, or whose ServiceAccount turned out to be."""
        self._accounts.discard(key.uid)

    def labels(self, key: SkillKey) -> dict[str, str]:
        """Return the labels of a skill's Pods."""
        return sandbox_labels(key)

    def openers(self, key: SkillKey) -> tuple[str, ...]:
        """Return the names of foreign NetworkPolicies that open this skill's sandbox.

        Our own two are known by their names, and looked into elsewhere: anybody may write our labels.
        """
        labels, own = self.labels(key), {DEFAULT_DENY_NAME, service_account_name(key)}
        return tuple(
            sorted(
                record.name
                for record in self._store.network_policies.grouped(key.namespace)
                if record.name not in own and record.opens(labels)
            )
        )


def same_policy(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether two NetworkPolicy specs are equal; the API server leaves empty lists of rules out."""

    def plain(spec: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in spec.items() if value or key == "podSelector"}

    return plain(found) == plain(wanted)


def wanted_of(pods: dict[str, Body]) -> tuple[WantedPod, ...]:
    """Return names and hashes of built Pods."""
    return tuple(
        WantedPod(name, body["metadata"]["annotations"][ANNOTATION_SPEC])
        for name, body in sorted(pods.items())
    )

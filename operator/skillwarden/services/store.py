"""The observed world in memory: slim records by key, fed by watches and replaced by lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..domain.grounds import one_line
from ..domain.policy import Policy
from ..domain.skill import SkillKey
from .observe import NetworkPolicyRecord, PodRecord, matches_selector
from .records import AgentRecord, ApprovalRecord, PolicyRecord, RunRecord, SkillRecord
from .table import Name, Table


def _by_owner(_: Name, record: PodRecord) -> tuple[str, str]:
    return (record.owner.kind, record.owner.uid)


def _by_skill(name: Name, record: RunRecord) -> tuple[str, str]:
    return (name[0], record.spec.skill if record.spec else "")


@dataclass(slots=True)
class Store:
    """Everything observed; one writer: the operator's own loop.

    Attributes
    ----------
    primed
        Whether everything was listed once in full: nothing is judged before (DESIGN 6).
    """

    skills: Table[SkillRecord] = field(default_factory=Table)
    runs: Table[RunRecord] = field(default_factory=lambda: Table(_by_skill))
    policies: Table[PolicyRecord] = field(default_factory=Table)
    cluster_policies: Table[PolicyRecord] = field(default_factory=Table)
    agents: Table[AgentRecord] = field(default_factory=Table)
    namespaces: Table[Mapping[str, str]] = field(default_factory=Table)
    approvals: Table[ApprovalRecord] = field(default_factory=Table)
    pods: Table[PodRecord] = field(default_factory=lambda: Table(_by_owner))
    network_policies: Table[NetworkPolicyRecord] = field(default_factory=Table)
    primed: bool = False

    def policies_for(self, namespace: str) -> tuple[PolicyRecord, ...]:
        """Return the records that apply to a namespace, the cluster's first."""
        return applicable(
            namespace,
            labels=self.namespaces.get(("", namespace)) or {},
            local=self.policies.grouped(namespace),
            cluster=self.cluster_policies.values(),
        )

    def pods_of(self, kind: str, key: SkillKey) -> tuple[PodRecord, ...]:
        """Return the Pods whose controller is this very object."""
        return tuple(
            record for record in self.pods.grouped((kind, key.uid)) if record.namespace == key.namespace
        )

    def runs_of(self, skill: SkillKey) -> tuple[RunRecord, ...]:
        """Return the runs that name a skill."""
        return self.runs.grouped((skill.namespace, skill.name))


def applicable(
    namespace: str,
    *,
    labels: Mapping[str, str],
    local: Iterable[PolicyRecord],
    cluster: Iterable[PolicyRecord],
) -> tuple[PolicyRecord, ...]:
    """Return the policies that apply to a namespace, in a stable order.

    A ClusterPackagePolicy whose namespace selector cannot be understood applies: it might have been meant to.
    """
    chosen = [record for record in cluster if _selects(record.selector, labels)]
    chosen += [record for record in local if record.ref.namespace == namespace]
    return tuple(sorted(chosen, key=lambda record: (record.ref.namespace or "", record.ref.name)))


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    try:
        return matches_selector(selector, labels)
    except (KeyError, TypeError, AttributeError):
        return True


def readable(records: Iterable[PolicyRecord]) -> tuple[tuple[Policy, ...], tuple[str, ...]]:
    """Split records into policies and the complaints about those that cannot be read."""
    policies, failures = [], []
    for record in records:
        if record.policy is None:
            failures.append(one_line(f"{record.ref}: {record.error}", 4096))
        else:
            policies.append(record.policy)
    return tuple(policies), tuple(failures)

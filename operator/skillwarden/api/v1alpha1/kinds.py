"""What a CustomResourceDefinition says about each kind besides its schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .agent import Agent, AgentSpec, AgentStatus
from .common import ApiModel
from .package_approval import PackageApproval, PackageApprovalSpec, PackageApprovalStatus
from .policy import (
    ClusterPackagePolicy,
    ClusterPackagePolicySpec,
    PackagePolicy,
    PackagePolicySpec,
    PolicyStatus,
)
from .skill import Skill, SkillSpec
from .skill_run import SkillRun, SkillRunSpec, SkillRunStatus
from .skill_status import SkillStatus


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; ``wide`` ones show with ``-o wide``."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the API.

    Attributes
    ----------
    kind, plural, short
        Its names.
    description
        What ``kubectl explain`` says of it.
    spec, status
        The models of its two halves.
    columns
        Of ``kubectl get``; Age comes by itself.
    namespaced
        Whether it lives in a namespace.
    scale
        The ``/scale`` subresource, where it has one.
    """

    kind: str
    plural: str
    short: str
    description: str
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[Column, ...]
    namespaced: bool = True
    scale: dict[str, Any] | None = None


def _condition(type_: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{type_}")].{field}'


_ACCEPTED = (
    Column("Accepted", _condition("Accepted", "status"), "Whether the operator works with it."),
    Column("Message", _condition("Accepted", "message"), "What is wrong with it.", wide=True),
)
_POLICY_COLUMNS = (
    Column("Enforcement", ".spec.enforcement", "Enforce: it decides. Audit: it is only shown."),
    Column("Unlisted", ".spec.unlisted", "What a package gets that no rule matches."),
    *_ACCEPTED,
)

KINDS: tuple[Kind, ...] = (
    Kind(
        kind=Skill.__name__,
        plural="skills",
        short="skl",
        description=(
            "A skill of an AI agent: its code, the packages it needs, and the sandbox it runs in. Its whole"
            " dependency closure is resolved, scanned and judged before anything of it runs."
        ),
        spec=SkillSpec,
        status=SkillStatus,
        columns=(
            Column("Verdict", ".status.verdict", "Whether the skill may run."),
            Column("Ready", _condition("Ready", "status"), "Whether the skill can be used."),
            Column("Reason", _condition("Ready", "reason"), "What stands in the way."),
            Column("Packages", ".status.packages", "Packages in the closure.", type="integer"),
            Column("Critical", ".status.findings.critical", "Critical vulnerabilities.", type="integer"),
            Column("Maturity", ".status.maturity", "The maturity it was judged for.", wide=True),
            Column("Lock", ".status.lock.digest", "Digest of the judged closure.", wide=True),
            Column("Agent", ".spec.agentRef.name", "The agent it works for.", wide=True),
        ),
        scale={
            "specReplicasPath": ".spec.sandbox.replicas",
            "statusReplicasPath": ".status.sandbox.ready",
            "labelSelectorPath": ".status.sandbox.selector",
        },
    ),
    Kind(
        kind=SkillRun.__name__,
        plural="skillruns",
        short="sklrun",
        description="One execution of a Skill of mode Task, in a Pod of its own. It cannot be changed.",
        spec=SkillRunSpec,
        status=SkillRunStatus,
        columns=(
            Column("Skill", ".spec.skillRef.name", "The skill that runs."),
            Column("Phase", ".status.phase", "How far it is."),
            Column("Exit", ".status.exitCode", "Exit code of the skill's command.", type="integer"),
        ),
    ),
    Kind(
        kind=PackagePolicy.__name__,
        plural="packagepolicies",
        short="pkgpol",
        description=(
            "A namespace's rules about packages. The strictest of all policies that apply wins: this one can"
            " tighten what the cluster's policies say, and never loosen it."
        ),
        spec=PackagePolicySpec,
        status=PolicyStatus,
        columns=_POLICY_COLUMNS,
    ),
    Kind(
        kind=ClusterPackagePolicy.__name__,
        plural="clusterpackagepolicies",
        short="cpkgpol",
        description=(
            "The platform's rules about packages, for the namespaces that it selects. The strictest of all"
            " policies that apply wins; where none applies, skills are denied."
        ),
        spec=ClusterPackagePolicySpec,
        status=PolicyStatus,
        columns=_POLICY_COLUMNS,
        namespaced=False,
    ),
    Kind(
        kind=Agent.__name__,
        plural="agents",
        short="agt",
        description=(
            "An agent and how far it is trusted. It has RBAC of its own: authors of skills can neither"
            " promote an agent nor, without the verb use on it, name it."
        ),
        spec=AgentSpec,
        status=AgentStatus,
        columns=(
            Column("Maturity", ".spec.maturity", "How far the agent is trusted."),
            _ACCEPTED[1],
        ),
    ),
    Kind(
        kind=PackageApproval.__name__,
        plural="packageapprovals",
        short="pkgapr",
        description=(
            "A request to use a package with the artefacts of its closure that need approval, and what"
            " a person decided."
            " The operator makes it; it belongs to no skill, so that a decision outlives whoever asked."
        ),
        spec=PackageApprovalSpec,
        status=PackageApprovalStatus,
        columns=(
            Column("Package", ".spec.package.name", "The package that skills declare."),
            Column("Version", ".spec.package.version", "Its version."),
            Column("Ecosystem", ".spec.package.ecosystem", "Where it comes from.", wide=True),
            Column("Maturity", ".spec.minMaturity", "The maturity that it is asked for."),
            Column("Asking", ".status.requestedBy.count", "Skills that ask now.", type="integer"),
            Column("Decision", ".status.decision.verdict", "What a person decided."),
            Column("Effect", _condition("Effective", "reason"), "What it does now."),
            Column("Approver", ".status.decision.approver", "Who decided.", wide=True),
        ),
    ),
)

"""Status of a Skill: what the operator decided and why, within the bounds of its schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from skillwarden.domain.finding import FindingKind, Severity
from skillwarden.domain.policy import Maturity

from .common import (
    LIST_ATOMIC,
    ApiModel,
    Condition,
    Digest,
    conditions_field,
    list_map,
    observed_generation_field,
)

#: Most entries of each list; the writer cuts to these, the whole is in ``skillwarden report``.
MAX_TOP_FINDINGS = 10
MAX_REASONS = 10
MAX_DECIDED_BY = 64
MAX_PENDING_APPROVALS = 500
MAX_LOCK_PACKAGES = 5000

Phase = Literal[
    "Pending",
    "Resolving",
    "Scanning",
    "AwaitingApproval",
    "Denied",
    "Starting",
    "Ready",
    "Suspended",
    "Failed",
]
Pin = Annotated[str, Field(min_length=1, max_length=512)]


class LockStatus(ApiModel):
    """The exact closure that was judged."""

    digest: Digest = Field(
        description="Digest over every artefact of the closure; what the verdict binds to."
    )
    platform: str = Field(
        max_length=128, description="Interpreter, architecture and C library that artefacts were chosen for."
    )
    python: tuple[Pin, ...] = Field(
        default=(),
        max_length=MAX_LOCK_PACKAGES,
        json_schema_extra=LIST_ATOMIC,
        description="The Python packages of the closure, as name==version, sorted.",
    )
    node: tuple[Pin, ...] = Field(
        default=(),
        max_length=MAX_LOCK_PACKAGES,
        json_schema_extra=LIST_ATOMIC,
        description="The npm packages of the closure, as name@version, sorted.",
    )


class FindingCounts(ApiModel):
    """Vulnerabilities by severity."""

    critical: int = Field(default=0, ge=0, description="Vulnerabilities of critical severity.")
    high: int = Field(default=0, ge=0, description="Vulnerabilities of high severity.")
    medium: int = Field(default=0, ge=0, description="Vulnerabilities of medium severity.")
    low: int = Field(default=0, ge=0, description="Vulnerabilities of low severity.")
    unknown: int = Field(default=0, ge=0, description="Vulnerabilities whose severity nobody stated.")


class TopFinding(ApiModel):
    """One of the gravest findings."""

    id: str = Field(max_length=256, description="Id of the advisory, or the name that is resembled.")
    kind: FindingKind = Field(description="What kind of finding it is; a policy says what follows from each.")
    severity: Severity = Field(description="Critical, High, Medium, Low or Unknown.")
    package: str = Field(max_length=512, description="Name and version of the package that it is about.")
    path: str = Field(
        default="",
        max_length=4096,
        description="How the package came in: the chain of names from the declared one.",
    )
    fix: str = Field(default="", max_length=4096, description="What would remove the finding.")


class PendingApproval(ApiModel):
    """One declared package that waits for a person."""

    name: str = Field(
        default="",
        max_length=253,
        description="The PackageApproval to decide. Empty: only a rule that names the package helps.",
    )
    declared: str = Field(
        min_length=1, max_length=256, description="Name of the package that the skill declares."
    )
    packages: tuple[Pin, ...] = Field(
        default=(),
        max_length=MAX_LOCK_PACKAGES,
        json_schema_extra=LIST_ATOMIC,
        description="The packages of its closure that need approval, with their versions.",
    )
    min_maturity: Maturity = Field(description="The lowest maturity that an approval would be for.")


class DecidedBy(ApiModel):
    """One policy's word that decided."""

    policy: str = Field(max_length=600, description="Kind, namespace and name of the policy.")
    rule: str = Field(max_length=256, description="Name of its rule, or the field that decided.")


class ScanStatus(ApiModel):
    """The scan that the verdict rests on."""

    completed_at: str = Field(
        max_length=64, json_schema_extra={"format": "date-time"}, description="When the last scanner ended."
    )
    advisory_revision: str = Field(
        default="", max_length=128, description="Digest of the advisories about its packages."
    )


class SandboxStatus(ApiModel):
    """The Pods."""

    ready: int | None = Field(default=None, ge=0, description="Pods that are ready; kubectl scale reads it.")
    selector: str | None = Field(
        default=None, max_length=1024, description="Label selector of the skill's Pods; autoscalers read it."
    )
    runtime_class: str | None = Field(
        default=None, max_length=253, description="RuntimeClass of the Pods: the skill's own, or a policy's."
    )


class SkillStatus(ApiModel):
    """What was decided and why."""

    observed_generation: int | None = observed_generation_field()
    phase: Phase | None = Field(
        default=None,
        description=(
            "Summary of the conditions: Pending, Resolving, Scanning, AwaitingApproval, Denied, Starting,"
            " Ready, Suspended or Failed."
        ),
    )
    verdict: Literal["Allowed", "ApprovalRequired", "Denied", "Unknown"] | None = Field(
        default=None, description="Whether the skill may run: Allowed, ApprovalRequired, Denied or Unknown."
    )
    maturity: Maturity | None = Field(
        default=None, description="The maturity that the skill was judged for: its agent's, or Student."
    )
    content_digest: Digest | None = Field(default=None, description="Digest of the skill's files.")
    packages: int | None = Field(default=None, ge=0, description="Number of packages in the closure.")
    lock: LockStatus | None = Field(default=None, description="The exact closure that was judged.")
    findings: FindingCounts | None = Field(default=None, description="Number of vulnerabilities by severity.")
    top_findings: tuple[TopFinding, ...] = Field(
        default=(),
        max_length=MAX_TOP_FINDINGS,
        json_schema_extra=LIST_ATOMIC,
        description="The gravest findings; skillwarden report shows all.",
    )
    pending_approvals: tuple[PendingApproval, ...] = Field(
        default=(),
        max_length=MAX_PENDING_APPROVALS,
        json_schema_extra=list_map("declared"),
        description="The declared packages that wait for approval.",
    )
    decided_by: tuple[DecidedBy, ...] = Field(
        default=(),
        max_length=MAX_DECIDED_BY,
        json_schema_extra=LIST_ATOMIC,
        description="The policies and rules that decided.",
    )
    reasons: tuple[Annotated[str, Field(max_length=4096)], ...] = Field(
        default=(),
        max_length=MAX_REASONS,
        json_schema_extra=LIST_ATOMIC,
        description="Why it is not allowed, strictest first, each with what would fix it.",
    )
    scan: ScanStatus | None = Field(default=None, description="The scan that the verdict rests on.")
    sandbox: SandboxStatus | None = Field(default=None, description="The Pods that stand.")
    conditions: tuple[Condition, ...] = conditions_field(
        "Accepted, Resolved, Scanned, Compliant, NetworkIsolated, SandboxReady and Ready, always all present."
    )

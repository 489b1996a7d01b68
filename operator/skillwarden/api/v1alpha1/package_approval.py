"""PackageApproval: one request to use one declared package, and what a person decided about it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from skillwarden.domain import approval_request as domain
from skillwarden.domain.approvals import SOURCE_KIND
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.finding import FindingKind, Severity
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.domain.policy import Maturity, PolicyRef
from skillwarden.domain.verdict import Accepted

from .common import (
    LIST_ATOMIC,
    PRINTABLE,
    ApiModel,
    Condition,
    Resource,
    cel,
    conditions_field,
    observed_generation_field,
)

#: A package's name that manifests/admission/package-approvals.yaml refuses to everybody: the operator
#: dry-runs a request for it, and takes an acceptance as "nobody proves here who approved".
APPROVAL_PROBE_PACKAGE = "skillwarden-guard-probe"
MAX_ARTEFACTS = 2000
MAX_FINDINGS = 2000
#: Other names of one finding, and characters of one: within what the API server's validation may cost.
MAX_ALIASES = 32
MAX_ALIAS = 64
MAX_REQUESTERS = 20
#: Each is a question to the API server of what the approver may do, and an admission policy has a budget for
#: 28 of them (350,000 of 10,000,000 units of cost each): these, and three about skills.
MAX_POLICIES = 20
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=PRINTABLE)]
_ARTEFACT_DIGEST = r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$"


class Package(ApiModel):
    """One version of one package."""

    ecosystem: Ecosystem = Field(description="Where it comes from: PyPI or npm.")
    name: Name = Field(description="Its normalised name.")
    version: str = Field(max_length=256, pattern=PRINTABLE, description="Its normalised version.")

    def to_domain(self) -> PackageId:
        """Return the identity, normalised."""
        return PackageId.of(self.ecosystem, self.name, self.version)


class ApprovedArtefact(Package):
    """One artefact that needs approval."""

    digest: str = Field(
        max_length=135,
        pattern=_ARTEFACT_DIGEST,
        description="Digest of its bytes; an approval is of these alone.",
    )


class AcceptedFinding(Package):
    """One finding that an approval accepts."""

    kind: FindingKind = Field(description="What was found.")
    id: str = Field(
        min_length=1, max_length=256, pattern=PRINTABLE, description="Id of the advisory, or the like."
    )
    aliases: tuple[Annotated[str, Field(min_length=1, max_length=MAX_ALIAS, pattern=PRINTABLE)], ...] = Field(
        default=(),
        max_length=MAX_ALIASES,
        json_schema_extra=LIST_ATOMIC,
        description=(
            "Other ids that the advisory had when it was asked; a CVE or GHSA that is not among them is not"
            " accepted."
        ),
    )
    severity: Severity = Field(description="Critical, High, Medium, Low or Unknown.")
    summary: str = Field(default="", max_length=1024, description="One line for a person.")


class AcceptedSourceFinding(ApiModel):
    """One finding in a skill's own files that an approval accepts."""

    rule: Name = Field(description="The rule that the files break; it is accepted wherever they break it.")
    severity: Severity = Field(description="Critical, High, Medium or Low.")
    path: str = Field(max_length=255, description="The file, below /skill/src, or entrypoint.command.")
    line: int = Field(ge=1, description="The line in it, from 1.")
    summary: str = Field(default="", max_length=1024, description="One line for a person.")


class SourceContent(ApiModel):
    """A skill's own files."""

    digest: str = Field(
        max_length=71,
        pattern=r"^sha256:[0-9a-f]{64}$",
        description=(
            "Their content digest; where something was found because the entrypoint runs it, one of them and"
            " of its command. An approval is of these."
        ),
    )
    findings: tuple[AcceptedSourceFinding, ...] = Field(
        default=(),
        max_length=MAX_FINDINGS,
        json_schema_extra=LIST_ATOMIC,
        description="What was found in them, and is accepted with them.",
    )


class AskingPolicy(ApiModel):
    """One policy that asks for approval."""

    kind: Literal["PackagePolicy", "ClusterPackagePolicy"] = Field(description="Whose rule it is.")
    name: Name = Field(description="Name of the policy; an approver needs the verb approve on it.")


class PackageApprovalSpec(ApiModel):
    """What is to be decided; fixed once created."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self == oldSelf",
                    "a request cannot be changed; the operator makes another where one is needed",
                )
            ]
        }
    )

    package: Package | None = Field(
        default=None,
        description=(
            "The package that skills declare, as it was resolved; without a version where it is asked whether"
            " the name may be looked up. Absent: it is about a skill's files."
        ),
    )
    source: SourceContent | None = Field(
        default=None, description="The skill's own files that it is about. Absent: it is about a package."
    )
    artefacts: tuple[ApprovedArtefact, ...] = Field(
        default=(),
        max_length=MAX_ARTEFACTS,
        json_schema_extra=LIST_ATOMIC,
        description=(
            "The artefacts of its closure that need approval; none where the name is not looked up yet."
        ),
    )
    findings: tuple[AcceptedFinding, ...] = Field(
        default=(),
        max_length=MAX_FINDINGS,
        json_schema_extra=LIST_ATOMIC,
        description="The findings that an approval accepts with them.",
    )
    policies: tuple[AskingPolicy, ...] = Field(
        min_length=1,
        max_length=MAX_POLICIES,
        json_schema_extra=LIST_ATOMIC,
        description="The policies that ask: an approver needs the verb approve on each of them.",
    )
    min_maturity: Maturity = Field(description="The maturity of the agents that it is asked for.")


class Requester(ApiModel):
    """Who asks now."""

    count: int = Field(default=0, ge=0, description="How many skills ask.")
    skills: tuple[Name, ...] = Field(
        default=(),
        max_length=MAX_REQUESTERS,
        json_schema_extra=LIST_ATOMIC,
        description="The first of them by name.",
    )


class ApprovalDecision(ApiModel):
    """What a person decided; written once, and permanent."""

    verdict: Literal["Approved", "Denied"] = Field(description="Approved or Denied.")
    approver: Name = Field(description="Who decided: the API server holds it to be the user who writes it.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=PRINTABLE,
        description="Why it was decided so; for whoever reads it later.",
    )
    min_maturity: Maturity | None = Field(
        default=None, description="Agents below it are not covered. Absent: what was asked for."
    )
    expires_at: str | None = Field(
        default=None,
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="When the approval ends. Absent: never. A denial does not end.",
    )


class PackageApprovalStatus(ApiModel):
    """Who asks, what was decided, and what it does now."""

    observed_generation: int | None = observed_generation_field()
    requested_by: Requester | None = Field(default=None, description="The skills that ask for it now.")
    decision: ApprovalDecision | None = Field(default=None, description="What a person decided.")
    conditions: tuple[Condition, ...] = conditions_field(
        "Effective: whether the decision counts now, and why."
    )


class PackageApproval(Resource):
    """A request for approval; made by the operator, decided by a person."""

    kind: Literal["PackageApproval"] = "PackageApproval"
    spec: PackageApprovalSpec

    def to_domain(self) -> domain.ApprovalRequest:
        """Return the request without its decision, which stands in the status."""
        # Never None, which would mean a ClusterPackagePolicy.
        spec, namespace = self.spec, self.metadata.namespace or ""
        artefacts = {item.digest for item in spec.artefacts}
        shown = [(item.to_domain(), item) for item in spec.findings]
        findings: set[Accepted] = {(package, item.kind.value, item.id) for package, item in shown}
        if spec.source is not None:
            artefacts.add(spec.source.digest)
            findings |= {(None, SOURCE_KIND, item.rule) for item in spec.source.findings}
        return domain.ApprovalRequest(
            declared=spec.package.to_domain() if spec.package else None,
            artefacts=frozenset(artefacts),
            findings=frozenset(findings),
            aliases=frozenset(
                (package, item.kind.value, alias) for package, item in shown for alias in item.aliases
            ),
            min_maturity=spec.min_maturity,
            policies=frozenset(
                PolicyRef(item.name, namespace if item.kind == "PackagePolicy" else None)
                for item in spec.policies
            ),
        )


def decision_of(status: object, *, asked: Maturity) -> domain.Decision | None:
    """Return the decision that a status holds, or ``None``: nobody decided.

    Raises
    ------
    InvalidInputError
        Where it cannot be read: then it does not count.
    """
    written = status.get("decision") if isinstance(status, dict) else None
    if written is None:
        return None
    try:
        model = ApprovalDecision.model_validate(written, strict=False)
        expires = datetime.fromisoformat(model.expires_at) if model.expires_at else None
    except ValueError as error:
        raise InvalidInputError(
            f"status.decision cannot be read: {' '.join(str(error).split())[:200]}."
        ) from error
    return domain.Decision(
        approved=model.verdict == "Approved",
        approver=model.approver,
        reason=model.reason,
        min_maturity=model.min_maturity or asked,
        expires_at=expires if expires is None or expires.tzinfo else expires.replace(tzinfo=UTC),
    )

"""The outcome of judging a skill: what is allowed, why, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from .finding import Finding
from .package import Ecosystem, PackageId
from .policy import Action, Maturity, PolicyRef
from .source_finding import SourceFinding

#: What an approval accepts of a finding: its package (``None``: the skill's own files), its kind and a name.
Accepted = tuple[PackageId | None, str, str]


class ComplianceReason(StrEnum):
    """Reasons of the condition ``Compliant``."""

    ALLOWED = "Allowed"
    APPROVAL_REQUIRED = "ApprovalRequired"
    DENIED = "Denied"
    BANNED = "Banned"
    MATURITY_TOO_LOW = "MaturityTooLow"
    NO_POLICY = "NoPolicy"
    NO_VERDICT = "NoVerdict"


@dataclass(frozen=True, slots=True)
class Reason:
    """One ground for a verdict.

    Attributes
    ----------
    action
        What it asks for.
    code
        The condition's reason if this ground decides.
    message
        One stable sentence: the package, the finding, the policy and rule. No timestamps.
    fix
        What would remove this ground; one sentence.
    package, path
        What it is about, and the chain of names that pulled it in (declared package first).
    finding, source_finding
        The finding, where one decided; the other where it is about the skill's own files.
    policy, rule
        Who says so; ``rule`` names a rule, or the policy's field (``bans[0]``, ``maturity.Intern``,
        ``findings.vulnerability.Critical``, ``unlisted``).
    """

    action: Action
    code: ComplianceReason
    message: str
    fix: str = ""
    package: PackageId | None = None
    path: tuple[str, ...] = ()
    finding: Finding | None = None
    policy: PolicyRef | None = None
    rule: str = ""
    source_finding: SourceFinding | None = None

    @property
    def text(self) -> str:
        """Message and fix as one."""
        return f"{self.message} {self.fix}".strip()


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """One declared package whose closure holds artefacts that wait for a person.

    Attributes
    ----------
    declared
        The declared package, as it is locked; ``None``: the skill's own files.
    packages
        The packages of its closure that need approval, sorted.
    min_maturity
        The lowest maturity that an approval would be for.
    artefacts
        ``(package, artefact digest)`` of the packages; empty where nothing is resolved yet: then it is asked
        whether the name may be looked up.
    findings
        What an approval would accept, sorted.
    policies
        Who asks: an approver needs the right to approve for each; sorted.
    content_digest, source_findings
        Of the skill's own files: what is approved, and what is accepted with it.
    """

    declared: PackageId | None
    packages: tuple[PackageId, ...]
    min_maturity: Maturity
    artefacts: tuple[tuple[PackageId, str], ...] = ()
    findings: tuple[Finding, ...] = ()
    policies: tuple[PolicyRef, ...] = ()
    content_digest: str = ""
    source_findings: tuple[SourceFinding, ...] = ()

    @property
    def title(self) -> str:
        """What it is about, for a person."""
        return self.declared.name if self.declared else "the skill's own files"


@dataclass(frozen=True, slots=True)
class Approval:
    """A decision that a person took, as input to the evaluator.

    Attributes
    ----------
    artefacts
        Digest of each artefact it covers, as ``Artefact.digest``; empty where it is about looking a name up.
    accepted_findings
        What is accepted with it: each finding of the package that it was shown for, and of no other.
    min_maturity
        Agents below it are not covered.
    approved
        ``False`` is a denial, which is permanent.
    policies
        Who had asked, and was answered: whoever decided held the right to approve for each. What another
        policy asks is not answered by it.
    declared
        The declared package that it was asked for; ``None``: a skill's own files.
    expires_at
        When it ends (UTC); ``None``: never.
    name
        The object's name, for messages.
    """

    artefacts: frozenset[str]
    accepted_findings: frozenset[Accepted]
    min_maturity: Maturity
    approved: bool
    policies: frozenset[PolicyRef]
    declared: PackageId | None = None
    expires_at: datetime | None = None
    name: str = ""

    @property
    def looks_up(self) -> tuple[Ecosystem, str] | None:
        """The name that it is about looking up; ``None``: it is about bytes."""
        if self.artefacts or self.declared is None:
            return None
        return self.declared.ecosystem, self.declared.name


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided.

    Attributes
    ----------
    action
        ``ALLOW``: may run. Otherwise it may not.
    reason
        The condition's reason.
    reasons
        Every ground that is not Allow, strictest first, then by package; stable order.
    audit_reasons
        The same for policies with ``enforcement: Audit``; they never decide.
    pending
        What waits for approval; empty unless ``reason`` is ApprovalRequired.
    decided_by
        ``(policy, rule)`` of the grounds as strict as the verdict, and for an allowed skill of the
        rules that allowed its packages; sorted, unique.
    may_hold
        For NoVerdict: whether what already runs may go on (a stale feed, ``onError: Hold``).
    revisit_at
        When time alone could change it (UTC), or ``None``.
    runtime_class
        The RuntimeClass that the Pod must have: the skill's own or the one that policy requires.
    """

    action: Action
    reason: ComplianceReason
    reasons: tuple[Reason, ...] = ()
    audit_reasons: tuple[Reason, ...] = ()
    pending: tuple[PendingApproval, ...] = ()
    decided_by: tuple[tuple[PolicyRef, str], ...] = ()
    may_hold: bool = False
    revisit_at: datetime | None = None
    runtime_class: str | None = None

    @property
    def allowed(self) -> bool:
        """Whether the skill may run."""
        return self.action is Action.ALLOW and self.reason is ComplianceReason.ALLOWED

    def with_fixes(self, fixes: Mapping[str, str]) -> Verdict:
        """Return the verdict with other fixes in the place of some, for a reader who can do other things."""
        reasons = (replace(reason, fix=fixes.get(reason.fix, reason.fix)) for reason in self.reasons)
        return replace(self, reasons=tuple(reasons))

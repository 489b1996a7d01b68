"""What can be judged from names alone, before any index is asked (DESIGN 1.2 and 4).

A name that is banned, that an agent may not use or that resembles a popular one is not looked up: asking an
index for it tells the index, and fetching it is what the attacker waits for. Where a policy asks for
approval, a person may let it be looked up; what comes of that is judged anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from .approvals import FOREVER, LookUps
from .coverage import enforcing
from .finding import Finding, FindingKind
from .finding_grounds import Ruling, ruling
from .grounds import Ground, approval_denied, ceiling_denies, in_order, one_line, removal
from .package import DeclaredPackage, PackageId
from .policy import Action, Maturity, Policy, PolicyRef
from .policy_index import index_of
from .verdict import Approval, ComplianceReason, PendingApproval, Reason, Verdict

#: Kinds that a name alone shows.
_ABOUT_NAMES = frozenset({FindingKind.TYPOSQUAT, FindingKind.CONFUSION})


def no_policy(*, audit_reasons: tuple[Reason, ...] = (), runtime_class: str | None = None) -> Verdict:
    """Return the verdict where nobody has said what is allowed: nothing is (DESIGN 1.4)."""
    reason = Reason(
        action=Action.DENY,
        code=ComplianceReason.NO_POLICY,
        message="no PackagePolicy or ClusterPackagePolicy that enforces applies to this namespace.",
        fix="Ask the platform team for a ClusterPackagePolicy that selects it, such as manifests/baseline.",
    )
    return Verdict(
        action=Action.DENY,
        reason=ComplianceReason.NO_POLICY,
        reasons=(reason,),
        audit_reasons=audit_reasons,
        runtime_class=runtime_class,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesRequest:
    """What is judged before a closure is known.

    Attributes
    ----------
    declared
        What the skill names itself.
    policies
        All that apply to its namespace, in any order.
    maturity
        The agent's.
    name_findings
        What scanners say of the names; only typosquats and confusion of declared names count here.
    approvals
        Decisions of people; only those about looking names up count here.
    now
        UTC, aware.
    """

    declared: Sequence[DeclaredPackage]
    policies: Sequence[Policy]
    maturity: Maturity
    name_findings: Sequence[Finding]
    approvals: Sequence[Approval]
    now: datetime


def judge_names(request: NamesRequest) -> Verdict | None:
    """Judge what a skill declares; ``None`` where nothing stands in the way of resolving it."""
    deciding = enforcing(request.policies)
    names = _Names.of(request)
    shown = [policy for policy in request.policies if policy not in deciding]
    audit = in_order(reason for policy in shown for reason in names.reasons(policy))
    if not deciding:
        return no_policy(audit_reasons=audit)
    reasons = in_order(
        (*(reason for policy in deciding for reason in names.reasons(policy)), *names.refused())
    )
    if not reasons:
        return None
    action, code = reasons[0].action, reasons[0].code
    return Verdict(
        action=action,
        reason=code,
        reasons=reasons,
        audit_reasons=audit,
        pending=_pending(reasons, request.maturity) if code is ComplianceReason.APPROVAL_REQUIRED else (),
        decided_by=tuple(
            sorted(
                {(item.policy, item.rule) for item in reasons if item.action is action and item.policy},
                key=lambda item: (str(item[0]), item[1]),
            )
        ),
    )


def look_up_ends(request: NamesRequest) -> datetime | None:
    """Return when (UTC) the first approval ends by which these names may be looked up; ``None``: never."""
    names = _Names.of(request)
    ends = (end for policy in enforcing(request.policies) for end in names.ends(policy))
    return min((end for end in ends if end is not FOREVER), default=None)


@dataclass(frozen=True, slots=True)
class _Names:
    """Declared names, those among them that are not what they seem, and what people decided of these."""

    declared: Sequence[DeclaredPackage]
    maturity: Maturity
    suspects: Sequence[tuple[DeclaredPackage, Finding]]
    look_ups: LookUps

    @classmethod
    def of(cls, request: NamesRequest) -> _Names:
        deciding = enforcing(request.policies)
        suspects = [
            (package, finding)
            for package in request.declared
            for finding in request.name_findings
            if finding.kind in _ABOUT_NAMES
            and _about(finding, package)
            and not any(index_of(each).allows_by_name(package.ecosystem, package.name) for each in deciding)
        ]
        look_ups = LookUps(request.approvals, maturity=request.maturity, now=request.now)
        return cls(request.declared, request.maturity, suspects, look_ups)

    def reasons(self, policy: Policy) -> Iterator[Reason]:
        index = index_of(policy)
        ceiling, level = index.ceiling(self.maturity)
        for package in self.declared:
            ban = index.first_ban(package.ecosystem, package.name, package.pinned_version)
            if ban is not None:
                ground = index.ban(ban)
                yield _reason(package, ground, fix=removal([package.name]) + ground.advice)
            elif ceiling is Action.DENY:
                enough = index.sufficient(Maturity.STUDENT)
                ground = ceiling_denies(policy.ref, level, self.maturity, enough)
                yield _reason(package, ground, fix=ground.advice)
        for package, finding in self.suspects:
            ruled = ruling(policy.findings, finding)
            if ruled.action is Action.ALLOW or self._given(package, finding, policy, ruled) is not None:
                continue
            yield _suspect(policy, package, finding, ruled)

    def refused(self) -> Iterator[Reason]:
        """A refusal counts whatever the policies say, as it does for artefacts."""
        for package, finding in self.suspects:
            refusal = self.look_ups.refusal(package, finding)
            if refusal is not None:
                yield _reason(package, approval_denied(refusal.name), fix=f"{_instead(finding)}.")

    def ends(self, policy: Policy) -> Iterator[datetime]:
        """When the approvals end that keep a policy's questions answered, ``FOREVER`` among them."""
        for package, finding in self.suspects:
            given = self._given(package, finding, policy, ruling(policy.findings, finding))
            if given is not None:
                yield given

    def _given(
        self, package: DeclaredPackage, finding: Finding, policy: Policy, ruled: Ruling
    ) -> datetime | None:
        """Return until when a policy's question is answered; what it denies, nobody can approve."""
        if ruled.action is not Action.REQUIRE_APPROVAL:
            return None
        return self.look_ups.given(package, finding, policy=policy.ref)


def _about(finding: Finding, package: DeclaredPackage) -> bool:
    return (finding.package.ecosystem, finding.package.name) == (package.ecosystem, package.name)


def _instead(finding: Finding) -> str:
    if finding.kind is FindingKind.TYPOSQUAT:
        return f"Declare {one_line(finding.id, 60)} if that is what was meant"
    return "Declare the public package that was meant"


def _suspect(policy: Policy, package: DeclaredPackage, finding: Finding, ruled: Ruling) -> Reason:
    """A name that is not what it seems stops here, until a person lets it be looked up."""
    denied = ruled.action is Action.DENY
    squats = finding.kind is FindingKind.TYPOSQUAT
    verb = "denies it" if denied else "asks for approval before it is looked up"
    what = (
        f"resembles the popular package {one_line(finding.id, 60)}"
        if squats
        else one_line(finding.summary, 120)
    )
    ground = Ground(
        action=ruled.action,
        code=ComplianceReason.DENIED if denied else ComplianceReason.APPROVAL_REQUIRED,
        policy=policy.ref,
        rule=ruled.rule,
        why=f"{what}; {policy.ref} ({ruled.rule}) {verb}",
        finding=finding,
    )
    # After resolution the finding is judged again: naming the package helps only where approval would.
    named = one_line(package.name, 60)
    wanted = (
        f"ask the owner of {policy.ref} to allow it there"
        if denied
        else f"have a reviewer let it be looked up, or a rule of {policy.ref} name {named}"
    )
    return _reason(package, ground, fix=f"{_instead(finding)}; else {wanted}.")


def _reason(package: DeclaredPackage, ground: Ground, *, fix: str) -> Reason:
    version = package.pinned_version or ""
    return Reason(
        action=ground.action,
        code=ground.code,
        message=one_line(f"{one_line(package.requirement, 120)} (declared) {ground.why}."),
        fix=one_line(fix),
        package=PackageId(package.ecosystem, package.name, version),
        path=(package.name,),
        finding=ground.finding,
        policy=ground.policy,
        rule=ground.rule,
    )


def _pending(reasons: Sequence[Reason], maturity: Maturity) -> tuple[PendingApproval, ...]:
    """Return one request for each name, whatever version is asked for: none of its artefacts is known yet."""
    findings: dict[PackageId, set[Finding]] = {}
    policies: dict[PackageId, set[PolicyRef]] = {}
    for reason in reasons:
        if reason.finding is not None and reason.policy is not None:
            findings.setdefault(reason.finding.package, set()).add(reason.finding)
            policies.setdefault(reason.finding.package, set()).add(reason.policy)
    return tuple(
        PendingApproval(
            declared=package,
            packages=(package,),
            min_maturity=maturity,
            findings=tuple(sorted(findings[package])),
            policies=tuple(sorted(policies[package], key=str)),
        )
        for package in sorted(findings)
    )

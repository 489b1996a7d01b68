"""What can be judged from names alone, before any index is asked (DESIGN 1.2 and 4).

A name that is banned, that an agent may not use or that resembles a popular one is never looked up: asking
an index for it tells the index, and fetching it is what the attacker waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .coverage import enforcing
from .finding import Finding, FindingKind
from .finding_grounds import Ruling, ruling
from .grounds import Ground, ceiling_denies, in_order, one_line, removal
from .package import DeclaredPackage, PackageId
from .policy import Action, Maturity, Policy
from .policy_index import index_of
from .verdict import ComplianceReason, PendingApproval, Reason, Verdict

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


def judge_names(
    declared: Sequence[DeclaredPackage],
    *,
    policies: Sequence[Policy],
    maturity: Maturity,
    name_findings: Sequence[Finding],
) -> Verdict | None:
    """Judge what a skill declares before its closure is known.

    Parameters
    ----------
    declared
        What the skill names itself.
    policies
        All that apply to its namespace, in any order.
    maturity
        The agent's.
    name_findings
        What scanners say of the names; only typosquats and confusion of declared names count here.

    Returns
    -------
    Verdict or None
        ``None`` where nothing stands in the way of resolving.
    """
    deciding = enforcing(policies)
    resembling = [finding for finding in name_findings if finding.kind in _ABOUT_NAMES]
    vouched = {
        (package.ecosystem, package.name)
        for package in declared
        for policy in deciding
        if index_of(policy).allows_by_name(package.ecosystem, package.name)
    }
    suspects = [
        (package, finding)
        for package in declared
        for finding in resembling
        if _about(finding, package) and (package.ecosystem, package.name) not in vouched
    ]
    shown = [policy for policy in policies if policy not in deciding]
    audit = in_order(reason for policy in shown for reason in _reasons(policy, declared, maturity, suspects))
    if not deciding:
        return no_policy(audit_reasons=audit)
    reasons = in_order(
        reason for policy in deciding for reason in _reasons(policy, declared, maturity, suspects)
    )
    if not reasons:
        return None
    action, code = reasons[0].action, reasons[0].code
    return Verdict(
        action=action,
        reason=code,
        reasons=reasons,
        audit_reasons=audit,
        pending=_pending(reasons, maturity) if code is ComplianceReason.APPROVAL_REQUIRED else (),
        decided_by=tuple(
            sorted(
                {(item.policy, item.rule) for item in reasons if item.action is action and item.policy},
                key=lambda item: (str(item[0]), item[1]),
            )
        ),
    )


def _about(finding: Finding, package: DeclaredPackage) -> bool:
    return (finding.package.ecosystem, finding.package.name) == (package.ecosystem, package.name)


def _reasons(
    policy: Policy,
    declared: Sequence[DeclaredPackage],
    maturity: Maturity,
    suspects: Sequence[tuple[DeclaredPackage, Finding]],
) -> Iterator[Reason]:
    index = index_of(policy)
    ceiling, level = index.ceiling(maturity)
    for package in declared:
        ban = index.first_ban(package.ecosystem, package.name, package.pinned_version)
        if ban is not None:
            ground = index.ban(ban)
            yield _reason(package, ground, fix=removal([package.name]) + ground.advice)
        elif ceiling is Action.DENY:
            enough = index.sufficient(Maturity.STUDENT)
            ground = ceiling_denies(policy.ref, level, maturity, enough)
            yield _reason(package, ground, fix=ground.advice)
    for package, finding in suspects:
        ruled = ruling(policy.findings, finding)
        if ruled.action is not Action.ALLOW:
            yield _suspect(policy, package, finding, ruled)


def _suspect(policy: Policy, package: DeclaredPackage, finding: Finding, ruled: Ruling) -> Reason:
    """A name that is not what it seems stops here: no artefact is known yet that could be approved."""
    action = ruled.action
    squats = finding.kind is FindingKind.TYPOSQUAT
    meant = one_line(finding.id, 60)
    verb = "denies it" if action is Action.DENY else "asks for approval before it is looked up"
    what = f"resembles the popular package {meant}" if squats else one_line(finding.summary, 120)
    denied = action is Action.DENY
    ground = Ground(
        action=action,
        code=ComplianceReason.DENIED if denied else ComplianceReason.APPROVAL_REQUIRED,
        policy=policy.ref,
        rule=ruled.rule,
        why=f"{what}; {policy.ref} ({ruled.rule}) {verb}",
        finding=finding,
    )
    fix = (
        f"Declare {meant} if that is what was meant"
        if squats
        else "Declare the public package that was meant"
    )
    # After resolution the finding is judged again: naming the package helps only where approval would.
    wanted = "to allow it there" if denied else f"for a rule that names {one_line(package.name, 60)}"
    return _reason(package, ground, fix=f"{fix}; else ask the owner of {policy.ref} {wanted}.")


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
    packages = {reason.package for reason in reasons if reason.package is not None}
    return tuple(PendingApproval(package, (package,), maturity) for package in sorted(packages))

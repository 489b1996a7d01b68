"""What a policy says of a finding, in words that name it and a fix that fixes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from .coverage import duration
from .finding import Finding, FindingKind, Severity
from .grounds import Ground, Remedy, listed, one_line
from .licence import UNKNOWN, denied_licences
from .policy import Action, FindingRules, Policy
from .ranges import lowest_above
from .verdict import ComplianceReason

_CODES = {
    Action.DENY: ComplianceReason.DENIED,
    Action.REQUIRE_APPROVAL: ComplianceReason.APPROVAL_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a policy does about one finding.

    Attributes
    ----------
    action
        What follows.
    rule
        The policy's field that says so.
    until
        When time alone ends it (UTC); ``None``: never.
    """

    action: Action
    rule: str
    until: datetime | None = None


def ruling(rules: FindingRules, finding: Finding) -> Ruling:
    """Return what the rules do about a finding that the time does not change."""
    match finding.kind:
        case FindingKind.VULNERABILITY:
            # A band that the mapping lacks is one that nobody allowed.
            action = rules.vulnerability.get(finding.severity, Action.DENY)
            return Ruling(action, f"findings.vulnerability.{finding.severity.value}")
        case FindingKind.MALICIOUS:
            return Ruling(rules.malicious, "findings.malicious")
        case FindingKind.TYPOSQUAT:
            return Ruling(rules.typosquat, "findings.typosquat")
        case FindingKind.CONFUSION:
            return Ruling(rules.confusion, "findings.confusion")
        case FindingKind.INSTALL_SCRIPT:
            return Ruling(rules.install_script, "findings.installScript")
        case FindingKind.LICENCE if finding.id == UNKNOWN:
            return Ruling(rules.licence_unknown, "findings.licence.unknown")
        case FindingKind.LICENCE:
            denied = bool(rules.licence_deny) and denied_licences(finding.id, rules.licence_deny)
            return Ruling(Action.DENY if denied else Action.ALLOW, "findings.licence.deny")
        case FindingKind.MALWARE:
            return Ruling(rules.malware, "findings.malware")
        case FindingKind.RELEASE_AGE | FindingKind.PACKAGE_AGE:
            return age_ruling(rules, finding.kind, None, None)


def age_ruling(
    rules: FindingRules, kind: FindingKind, published: datetime | None, now: datetime | None
) -> Ruling:
    """Return what the rules do about a release or a project of some age; unknown counts as young.

    Parameters
    ----------
    rules
        Of a policy.
    kind
        One of ``AGES``.
    published, now
        UTC.
    """
    bound = _age_bound(rules, kind)
    if bound.minimum is None:
        return Ruling(Action.ALLOW, bound.rule)
    if published is None or now is None:
        return Ruling(bound.action, bound.rule)
    if now - published >= bound.minimum:
        return Ruling(Action.ALLOW, bound.rule)
    try:
        return Ruling(bound.action, bound.rule, until=published + bound.minimum)
    except OverflowError:
        return Ruling(bound.action, bound.rule)


@dataclass(frozen=True, slots=True)
class _AgeBound:
    """How old something must be, what follows where it is not, and which field says so."""

    minimum: timedelta | None
    action: Action
    rule: str


def _age_bound(rules: FindingRules, kind: FindingKind) -> _AgeBound:
    if kind is FindingKind.PACKAGE_AGE:
        return _AgeBound(rules.min_package_age, rules.package_age_action, "findings.minPackageAge")
    return _AgeBound(rules.min_release_age, rules.release_age_action, "findings.minReleaseAge")


def finding_ground(policy: Policy, finding: Finding, ruled: Ruling, *, declared: bool) -> Ground:
    """Return the ground that a finding is for a policy; ``ruled.action`` is not Allow.

    Parameters
    ----------
    policy
        Who rules.
    finding
        On what.
    ruled
        What ``ruling`` said.
    declared
        Whether the package is declared, which changes how a fixed version is asked for.
    """
    verb = "denies it" if ruled.action is Action.DENY else "asks for approval"
    remedy, advice = _remedy(policy, finding, ruled, declared=declared)
    return Ground(
        action=ruled.action,
        code=_CODES[ruled.action],
        policy=policy.ref,
        rule=ruled.rule,
        why=f"{_what(finding, policy)}; {policy.ref} ({ruled.rule}) {verb}",
        remedy=remedy,
        advice=advice,
        finding=finding,
    )


def _what(finding: Finding, policy: Policy) -> str:
    identity = one_line(finding.id, 60)
    summary = f": {one_line(finding.summary, 80)}" if finding.summary else ""
    match finding.kind:
        case FindingKind.VULNERABILITY:
            fixed = f"fixed in {listed(finding.fixed_versions)}" if finding.fixed_versions else "no fix known"
            return f"has {identity} ({_severity(finding)}, {fixed}){summary}"
        case FindingKind.MALICIOUS:
            return f"is malicious by {identity}{summary}"
        case FindingKind.TYPOSQUAT:
            return f"resembles the popular package {identity}"
        case FindingKind.CONFUSION:
            return one_line(finding.summary, 120)
        case FindingKind.INSTALL_SCRIPT if finding.severity is not Severity.UNKNOWN:
            found = one_line(finding.summary, 120)
            return f"runs code by itself ({identity}, {finding.severity.value}): {found}"
        case FindingKind.INSTALL_SCRIPT:
            return f"runs code by itself ({identity}){summary}"
        case FindingKind.LICENCE if finding.id == UNKNOWN:
            said = f", which says {one_line(finding.summary, 80)!r}" if finding.summary else ""
            return f"has a licence that cannot be read{said}"
        case FindingKind.LICENCE:
            denied = listed(denied_licences(finding.id, policy.findings.licence_deny))
            return f"has the licence {identity}, and there is no way around {denied}"
        case FindingKind.MALWARE:
            return f"looks like malware ({identity}){summary}"
        case FindingKind.RELEASE_AGE | FindingKind.PACKAGE_AGE:
            return _how_young(finding, policy)


def _how_young(finding: Finding, policy: Policy) -> str:
    known, age = finding.published_at is not None, _age(policy, finding)
    if finding.kind is FindingKind.RELEASE_AGE:
        return (
            f"was uploaded less than {age} ago"
            if known
            else "has an upload time that the index does not tell"
        )
    if not known:
        return "is of a project whose age the index does not tell"
    return f"is of a project less than {age} old; a name that was made up and then registered looks the same"


def _severity(finding: Finding) -> str:
    return "severity unknown" if finding.severity is Severity.UNKNOWN else finding.severity.value


def _age(policy: Policy, finding: Finding) -> str:
    minimum = _age_bound(policy.findings, finding.kind).minimum
    return "" if minimum is None else duration(minimum)


def _remedy(policy: Policy, finding: Finding, ruled: Ruling, *, declared: bool) -> tuple[Remedy, str]:
    """Return how the fix begins and ends."""
    approvable = ruled.action is Action.REQUIRE_APPROVAL
    match finding.kind:
        case FindingKind.VULNERABILITY:
            return _upgrade(finding, approvable=approvable, declared=declared)
        case FindingKind.TYPOSQUAT:
            meant = f", and declare {one_line(finding.id, 60)} if that is what was meant"
            return Remedy.REMOVE, meant + (", or ask a reviewer for approval." if approvable else ".")
        case FindingKind.RELEASE_AGE if finding.published_at is not None:
            end = ", or ask a reviewer for approval." if approvable else "."
            return (
                Remedy.ADVICE,
                f"Wait until it is {_age(policy, finding)} old, or pin an older version{end}",
            )
        case FindingKind.PACKAGE_AGE if finding.published_at is not None:
            end = ", or ask a reviewer for approval." if approvable else "."
            checked = "Check that the package is the one that was meant"
            return Remedy.ADVICE, f"{checked}; wait until the project is {_age(policy, finding)} old{end}"
        case _:
            return (
                (Remedy.APPROVE, f" with {one_line(finding.id, 60)}.") if approvable else (Remedy.REMOVE, ".")
            )


def _upgrade(finding: Finding, *, approvable: bool, declared: bool) -> tuple[Remedy, str]:
    package = finding.package
    fixed = lowest_above(package.ecosystem, package.version, finding.fixed_versions)
    approval = f", or ask a reviewer for approval with {one_line(finding.id, 60)}" if approvable else ""
    if fixed is None:
        return Remedy.REMOVE, f": no version above {package.version} without it is known{approval}."
    how = "Require" if declared else "Declare, next to what pulls it in,"
    return (
        Remedy.ADVICE,
        f"{how} {package.name}>={fixed}, the lowest version above {package.version} without it{approval}.",
    )

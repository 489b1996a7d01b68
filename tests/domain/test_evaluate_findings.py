"""What findings do, policy by policy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from make_domain import (
    NOW,
    grounds_of,
    judge,
    make_age,
    make_approval,
    make_ban,
    make_finding,
    make_finding_rules,
    make_lock,
    make_package_age,
    make_policy,
    make_rule,
)

from skillwarden.domain.finding import Finding, FindingKind, Severity
from skillwarden.domain.policy import Action, FindingRules, Policy
from skillwarden.domain.verdict import ComplianceReason

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
TYPOSQUAT = FindingKind.TYPOSQUAT


def ruled(**rules: Any) -> Policy:
    return make_policy(findings=make_finding_rules(**rules))


def vulnerable(severity: Severity, **changes: Any) -> Finding:
    return make_finding("numpy 2.1", severity=severity, **changes)


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize(
    ("action", "reason"), [(ALLOW, "Allowed"), (ASK, "ApprovalRequired"), (DENY, "Denied")]
)
def test_each_band_takes_its_own_action(severity: Severity, action: Action, reason: str) -> None:
    bands = dict.fromkeys(Severity, ALLOW) | {severity: action}
    verdict = judge("numpy 2.1", ruled(vulnerability=bands), findings=[vulnerable(severity)])
    assert verdict.reason.value == reason
    if action is not ALLOW:
        assert grounds_of(verdict) == {("numpy", reason, f"findings.vulnerability.{severity.value}")}


@pytest.mark.parametrize(
    ("severity", "reason"),
    [
        (Severity.CRITICAL, "Denied"),
        (Severity.HIGH, "ApprovalRequired"),
        (Severity.MEDIUM, "Allowed"),
        (Severity.LOW, "Allowed"),
        (Severity.UNKNOWN, "ApprovalRequired"),
    ],
)
def test_the_defaults_take_unknown_no_milder_than_high(severity: Severity, reason: str) -> None:
    base = make_policy(findings=FindingRules())
    assert judge("numpy 2.1", base, findings=[vulnerable(severity)]).reason.value == reason


def test_a_band_that_a_policy_leaves_out_is_denied() -> None:
    base = ruled(vulnerability={Severity.LOW: DENY})
    verdict = judge("numpy 2.1", base, findings=[vulnerable(Severity.HIGH)])
    assert verdict.reason is ComplianceReason.DENIED


def test_a_finding_counts_whatever_a_rule_allows() -> None:
    base = make_policy(rules=(make_rule("numpy"),), findings=FindingRules())
    verdict = judge("numpy 2.1", base, findings=[vulnerable(Severity.CRITICAL)])
    assert verdict.reason is ComplianceReason.DENIED


def test_a_finding_three_levels_down_counts() -> None:
    base = make_policy(findings=FindingRules())
    verdict = judge("app 1 > web 1 > numpy 2.1", base, findings=[vulnerable(Severity.CRITICAL)])
    assert verdict.reasons[0].path == ("app", "web", "numpy")


def test_a_banned_package_still_shows_its_findings() -> None:
    base = make_policy(bans=(make_ban("numpy"),), findings=FindingRules())
    verdict = judge("numpy 2.1", base, findings=[vulnerable(Severity.CRITICAL)])
    assert {reason.code.value for reason in verdict.reasons} == {"Banned", "Denied"}


def test_malicious_is_denied_by_a_policy_that_allows_everything() -> None:
    finding = make_finding("numpy 2.1", "MAL-2024-1", FindingKind.MALICIOUS)
    verdict = judge("numpy 2.1", make_policy(), findings=[finding], approvals=(make_approval("numpy 2.1"),))
    assert grounds_of(verdict) == {("numpy", "Denied", "findings.malicious")}


def test_malicious_by_the_id_of_a_vulnerability_is_malicious() -> None:
    finding = make_finding("numpy 2.1", "GHSA-1", aliases=("MAL-2024-1",))
    verdict = judge("numpy 2.1", make_policy(), findings=[finding])
    assert grounds_of(verdict) == {("numpy", "Denied", "findings.malicious")}


def test_the_strictest_of_several_findings_decides_and_all_are_said() -> None:
    findings = [
        make_finding("numpy 2.1", "GHSA-1", severity=Severity.HIGH),
        make_finding("numpy 2.1", "GHSA-2", severity=Severity.CRITICAL),
    ]
    verdict = judge("numpy 2.1", make_policy(findings=FindingRules()), findings=findings)
    assert verdict.reason is ComplianceReason.DENIED
    assert [reason.finding.id for reason in verdict.reasons if reason.finding] == ["GHSA-2", "GHSA-1"]


def test_the_strictest_policy_rules_on_a_finding() -> None:
    strict = make_policy("strict", findings=make_finding_rules(typosquat=DENY))
    finding = make_finding("reqeusts 1", "requests", TYPOSQUAT)
    verdict = judge("reqeusts 1", make_policy(), strict, findings=[finding])
    assert grounds_of(verdict) == {("reqeusts", "Denied", "findings.typosquat")}


def test_a_typosquat_that_is_pulled_in_is_judged() -> None:
    base = make_policy(findings=make_finding_rules(typosquat=ASK))
    finding = make_finding("reqeusts 1", "requests", TYPOSQUAT)
    verdict = judge("app 1 > reqeusts 1", base, findings=[finding])
    assert grounds_of(verdict) == {("reqeusts", "ApprovalRequired", "findings.typosquat")}


HOURS_72 = timedelta(hours=72)
HOURS_720 = timedelta(hours=720)


@pytest.mark.parametrize(
    ("sentence", "age", "minimum", "reason"),
    [
        ("younger than the bound", timedelta(hours=71), HOURS_72, "ApprovalRequired"),
        ("as old as the bound", HOURS_72, HOURS_72, "Allowed"),
        ("older", timedelta(days=400), HOURS_72, "Allowed"),
        ("uploaded in the future", timedelta(hours=-5), HOURS_72, "ApprovalRequired"),
        ("nobody knows when", None, HOURS_72, "ApprovalRequired"),
        ("no bound", timedelta(0), None, "Allowed"),
        ("no bound and nobody knows when", None, None, "Allowed"),
    ],
)
def test_release_age(sentence: str, age: timedelta | None, minimum: timedelta | None, reason: str) -> None:
    verdict = judge("numpy 2.1", ruled(min_release_age=minimum), findings=[make_age("numpy 2.1", age)])
    assert verdict.reason.value == reason, sentence


def test_a_young_artefact_is_looked_at_again_when_it_is_old_enough() -> None:
    base = ruled(min_release_age=HOURS_72)
    findings = [make_age("numpy 2.1", timedelta(hours=70)), make_age("six 1", timedelta(hours=71))]
    lock = make_lock("numpy 2.1", "six 1")

    verdict = judge(lock, base, findings=findings)

    assert verdict.revisit_at == NOW + timedelta(hours=1)
    later = judge(lock, base, findings=findings, now=NOW + timedelta(hours=2))
    assert later.reason.value == "Allowed"


def test_an_unknown_upload_time_is_never_revisited() -> None:
    verdict = judge("numpy 2.1", ruled(min_release_age=HOURS_72), findings=[make_age("numpy 2.1", None)])
    assert verdict.revisit_at is None


def test_each_policy_has_its_own_bound_of_age() -> None:
    strict = make_policy(
        "strict", findings=make_finding_rules(min_release_age=timedelta(hours=96), release_age_action=DENY)
    )
    findings = [make_age("numpy 2.1", timedelta(hours=80))]
    verdict = judge("numpy 2.1", ruled(min_release_age=HOURS_72), strict, findings=findings)
    assert grounds_of(verdict) == {("numpy", "Denied", "findings.minReleaseAge")}


def test_an_age_beyond_the_calendar_never_ends() -> None:
    base = ruled(min_release_age=timedelta(days=999_999_999))
    verdict = judge("numpy 2.1", base, findings=[make_age("numpy 2.1", timedelta(days=1))])
    assert (verdict.reason.value, verdict.revisit_at) == ("ApprovalRequired", None)


def test_an_age_without_a_zone_is_read_as_utc() -> None:
    finding = make_finding(
        "numpy 2.1",
        "released",
        FindingKind.RELEASE_AGE,
        published_at=(NOW - timedelta(hours=1)).replace(tzinfo=None),
    )
    verdict = judge("numpy 2.1", ruled(min_release_age=HOURS_72), findings=[finding])
    assert verdict.revisit_at == NOW + timedelta(hours=71)


@pytest.mark.parametrize(
    ("sentence", "age", "minimum", "reason"),
    [
        ("younger than the bound", timedelta(hours=719), HOURS_720, "ApprovalRequired"),
        ("as old as the bound", HOURS_720, HOURS_720, "Allowed"),
        ("older", timedelta(days=4000), HOURS_720, "Allowed"),
        ("begun in the future", timedelta(hours=-5), HOURS_720, "ApprovalRequired"),
        ("nobody knows when", None, HOURS_720, "ApprovalRequired"),
        ("no bound", timedelta(0), None, "Allowed"),
        ("no bound and nobody knows when", None, None, "Allowed"),
    ],
)
def test_age_of_a_project(
    sentence: str, age: timedelta | None, minimum: timedelta | None, reason: str
) -> None:
    findings = [make_package_age("numpy 2.1", age)]
    verdict = judge("numpy 2.1", ruled(min_package_age=minimum), findings=findings)
    assert verdict.reason.value == reason, sentence


def test_ages_of_releases_and_of_projects_are_bound_apart() -> None:
    """A new release of an old project is no young project, and the other way round."""
    base = ruled(
        min_release_age=HOURS_72, min_package_age=HOURS_720, release_age_action=DENY, package_age_action=DENY
    )
    lock = make_lock("numpy 2.1", "six 1")
    findings = [
        make_age("numpy 2.1", timedelta(hours=1)),
        make_package_age("numpy 2.1", timedelta(days=4000)),
        make_age("six 1", timedelta(hours=100)),
        make_package_age("six 1", timedelta(hours=100)),
    ]
    verdict = judge(lock, base, findings=findings)
    assert grounds_of(verdict) == {
        ("numpy", "Denied", "findings.minReleaseAge"),
        ("six", "Denied", "findings.minPackageAge"),
    }
    assert verdict.revisit_at == NOW + timedelta(hours=71)

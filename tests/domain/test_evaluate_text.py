"""What a person reads: each reason names what counts, is stable, bounded, and its fix fixes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from make_domain import (
    NOW,
    judge,
    make_age,
    make_ban,
    make_finding,
    make_finding_rules,
    make_lock,
    make_package_age,
    make_policy,
    make_report,
    make_rule,
    make_scan,
)

from skillwarden.domain.finding import FindingKind, ScannerName, ScanState, Severity
from skillwarden.domain.policy import Action, FindingRules, Maturity, Policy
from skillwarden.domain.verdict import Reason

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
LOCK = make_lock("pandas 2.2 > numpy 2.1 > six 1.15")


def only(policy: Policy, *findings: Any, lock: Any = LOCK, **changes: Any) -> Reason:
    (reason,) = judge(lock, policy, findings=findings, **changes).reasons
    return reason


def test_a_vulnerability_names_package_path_severity_fix_and_rule() -> None:
    finding = make_finding(
        "six 1.15",
        "GHSA-x",
        severity=Severity.CRITICAL,
        fixed_versions=("1.14.9", "1.16.1", "1.17"),
        summary="Runs what it should not",
    )
    reason = only(make_policy(findings=FindingRules()), finding)
    for part in (
        "six 1.15",
        "pandas > numpy > six",
        "GHSA-x",
        "Critical",
        "1.16.1",
        "Runs what it should not",
        "ClusterPackagePolicy base",
        "findings.vulnerability.Critical",
    ):
        assert part in reason.message
    assert "six>=1.16.1" in reason.fix
    assert "approval" not in reason.fix
    assert reason.path == ("pandas", "numpy", "six")


@pytest.mark.parametrize(
    ("sentence", "fixed", "severity", "parts"),
    [
        ("a fix above, denied", ("1.16",), Severity.CRITICAL, ["Declare", "six>=1.16"]),
        ("a fix above, approvable", ("1.16",), Severity.HIGH, ["six>=1.16", "approval with GHSA-1"]),
        ("no fix, denied", (), Severity.CRITICAL, ["Remove pandas", "no version above 1.15"]),
        ("no fix, approvable", (), Severity.HIGH, ["Remove pandas", "approval with GHSA-1"]),
        ("a fix below only", ("1.14",), Severity.CRITICAL, ["Remove pandas", "no version above 1.15"]),
    ],
)
def test_the_fix_of_a_vulnerability(
    sentence: str, fixed: tuple[str, ...], severity: Severity, parts: list[str]
) -> None:
    finding = make_finding("six 1.15", severity=severity, fixed_versions=fixed)
    reason = only(make_policy(findings=FindingRules()), finding)
    assert all(part in reason.fix for part in parts), (sentence, reason.fix)


def test_following_the_fix_of_a_vulnerability_fixes_it() -> None:
    finding = make_finding("six 1.15", severity=Severity.CRITICAL, fixed_versions=("1.16.1",))
    policy = make_policy(findings=FindingRules())
    asked = only(policy, finding).fix.split("six>=")[1].split(",")[0]
    assert judge(make_lock("pandas 2.2 > numpy 2.1", f"six {asked}"), policy).allowed


def test_a_declared_package_is_told_to_be_required_anew() -> None:
    finding = make_finding("pandas 2.2", severity=Severity.CRITICAL, fixed_versions=("2.3",))
    assert only(make_policy(findings=FindingRules()), finding).fix.startswith("Require pandas>=2.3")


def test_removing_means_every_declared_package_that_pulls_it_in() -> None:
    lock = make_lock("pandas 2.2 > six 1.15", "dateutil 2 > six 1.15", "plain 1")
    reason = only(make_policy(bans=(make_ban("six"),)), lock=lock)
    assert reason.fix.startswith("Remove dateutil and pandas from")
    assert judge(make_lock("plain 1"), make_policy(bans=(make_ban("six"),))).allowed


def test_the_bans_message_is_the_fix() -> None:
    reason = only(make_policy(bans=(make_ban("six", message="use\nnothing.\x1b[31m"),)))
    assert reason.fix.endswith(": use nothing. [31m.")
    assert reason.fix.isprintable()


@pytest.mark.parametrize(
    ("sentence", "policy", "maturity", "raise_to"),
    [
        (
            "to the lowest level that is not denied",
            make_policy(maturity={Maturity.STUDENT: DENY, Maturity.INTERN: ASK}),
            Maturity.STUDENT,
            "maturity Intern or higher",
        ),
        (
            "to the lowest that satisfies ceiling and rule",
            make_policy(
                maturity={Maturity.INTERN: DENY}, rules=(make_rule("*", min_maturity=Maturity.AUTONOMOUS),)
            ),
            Maturity.INTERN,
            "maturity Autonomous or higher",
        ),
        (
            "to the rule's",
            make_policy(rules=(make_rule("*", min_maturity=Maturity.SUPERVISED),)),
            Maturity.INTERN,
            "maturity Supervised or higher",
        ),
        (
            "to none, if none is enough",
            make_policy(maturity={Maturity.AUTONOMOUS: DENY}),
            Maturity.INTERN,
            "No maturity is enough",
        ),
    ],
)
def test_the_agent_is_to_be_raised(sentence: str, policy: Policy, maturity: Maturity, raise_to: str) -> None:
    verdict = judge(LOCK, policy, maturity=maturity)
    assert all(raise_to in reason.fix for reason in verdict.reasons), sentence
    for level in Maturity:
        if f"maturity {level.value} or higher" in verdict.reasons[0].fix:
            assert "MaturityTooLow" not in {
                reason.code.value for reason in judge(LOCK, policy, maturity=level).reasons
            }


@pytest.mark.parametrize(
    ("kind", "identity", "part", "fix"),
    [
        (FindingKind.TYPOSQUAT, "pandas", "resembles the popular package pandas", "declare pandas"),
        (FindingKind.MALICIOUS, "MAL-1", "is malicious by MAL-1", "Remove pandas"),
    ],
)
def test_other_findings_are_said_in_words(kind: FindingKind, identity: str, part: str, fix: str) -> None:
    policy = make_policy(findings=make_finding_rules(typosquat=ASK))
    reason = only(policy, make_finding("six 1.15", identity, kind))
    assert part in reason.message
    assert fix in reason.fix


@pytest.mark.parametrize(
    ("age", "part", "fix"),
    [
        (timedelta(hours=1), "less than 72h ago", "Wait until it is 72h old"),
        (None, "upload time that the index does not tell", "approval"),
    ],
)
def test_a_young_artefact_is_said_without_the_time(age: timedelta | None, part: str, fix: str) -> None:
    policy = make_policy(findings=make_finding_rules(min_release_age=timedelta(hours=72)))
    reason = only(policy, make_age("six 1.15", age))
    assert part in reason.message
    assert fix in reason.fix
    assert str(NOW.year) not in reason.message + reason.fix


@pytest.mark.parametrize(
    ("age", "part", "fix"),
    [
        (
            timedelta(hours=1),
            "less than 720h old; a name that was made up",
            "the package is the one that was meant",
        ),
        (None, "whose age the index does not tell", "approval"),
    ],
)
def test_a_young_project_is_said_without_the_time(age: timedelta | None, part: str, fix: str) -> None:
    policy = make_policy(findings=make_finding_rules(min_package_age=timedelta(hours=720)))
    reason = only(policy, make_package_age("six 1.15", age))
    assert part in reason.message
    assert "findings.minPackageAge" in reason.message
    assert fix in reason.fix
    assert str(NOW.year) not in reason.message + reason.fix


@pytest.mark.parametrize("action", [ASK, DENY])
def test_what_an_install_script_does_is_said_and_decides_nothing(action: Action) -> None:
    """The one field on install scripts decides, whatever the script does."""
    policy = make_policy(findings=make_finding_rules(install_script=action))
    does = f"setup.js:7 runs code that was hidden by encoding (Critical); node setup.js {'x' * 200}"
    plain = make_finding("six 1.15", "postinstall", FindingKind.INSTALL_SCRIPT, summary="node setup.js")
    grave = make_finding(
        "six 1.15", "postinstall", FindingKind.INSTALL_SCRIPT, severity=Severity.CRITICAL, summary=does
    )
    before, after = only(policy, plain), only(policy, grave)
    assert (before.action, before.code, before.rule) == (after.action, after.code, after.rule)
    assert "(postinstall): node setup.js;" in before.message
    assert "(postinstall, Critical): setup.js:7 runs code that was hidden by encoding" in after.message
    assert after.message.endswith(("denies it.", "asks for approval."))


HARSH = make_policy(
    bans=(make_ban("six", message="no"),),
    maturity={Maturity.STUDENT: DENY, Maturity.INTERN: ASK},
    rules=(make_rule("numpy", DENY), make_rule("pandas", ASK, min_maturity=Maturity.SUPERVISED)),
    findings=FindingRules(min_release_age=timedelta(hours=72)),
    max_advisory_age=timedelta(hours=48),
)


def test_reasons_do_not_change_with_the_clock() -> None:
    findings = [make_age("six 1.15", timedelta(hours=1)), make_finding("numpy 2.1")]
    early = judge(LOCK, HARSH, findings=findings)
    late = judge(LOCK, HARSH, findings=findings, now=NOW + timedelta(hours=5))
    assert early.reasons == late.reasons
    assert len(early.reasons) >= 4


def test_every_reason_has_a_message_and_a_fix() -> None:
    findings = [make_age("six 1.15", timedelta(hours=1)), make_finding("numpy 2.1")]
    for maturity in Maturity:
        for scan in (make_scan(LOCK, *findings), None):
            for reason in judge(LOCK, HARSH, scan=scan, maturity=maturity).reasons:
                assert reason.message.endswith(".")
                assert reason.fix
                assert "  " not in reason.message + reason.fix


def test_long_names_paths_and_summaries_are_bounded() -> None:
    names = [f"{letter * 200}" for letter in "abcdefgh"]
    lock = make_lock(" > ".join(f"{name} 1.0" for name in names))
    finding = make_finding(
        f"{names[-1]} 1.0",
        "GHSA-" + "x" * 500,
        severity=Severity.CRITICAL,
        summary="s\n" * 900,
        fixed_versions=tuple(f"{major}.0" for major in range(2, 300)),
    )
    policy = make_policy("p" * 253, namespace="n" * 63, unlisted=DENY, findings=FindingRules())
    for reason in judge(lock, policy, findings=[finding]).reasons:
        assert 0 < len(reason.message) <= 400
        assert 0 < len(reason.fix) <= 400
        assert (reason.message + reason.fix).isprintable()


def test_a_long_path_keeps_its_ends_and_leaves_room_for_the_policy() -> None:
    lock = make_lock(" > ".join(f"package-number-{number} 1.0" for number in range(40)))
    reason = only(make_policy(bans=(make_ban("package-number-39"),)), lock=lock)
    assert "(package-number-0 > … > package-number-38 > package-number-39)" in reason.message
    assert "ClusterPackagePolicy base (bans[0])" in reason.message
    assert len(reason.path) == 40


def test_a_scanners_error_is_one_bounded_line() -> None:
    report = make_report(ScannerName.OSV, LOCK, state=ScanState.ERROR, error="a\x1b[2J\n" * 500)
    (reason,) = judge(LOCK, make_policy(), scan=make_scan(LOCK, reports=[report])).reasons
    assert len(reason.message) <= 400
    assert reason.message.isprintable()


def test_reasons_are_strictest_first_and_then_by_package() -> None:
    verdict = judge(LOCK, HARSH, findings=[make_finding("pandas 2.2"), make_finding("numpy 2.1")])
    seen = [(reason.code.value, reason.package.name) for reason in verdict.reasons if reason.package]
    assert seen == [
        ("Banned", "six"),
        ("Denied", "numpy"),
        ("ApprovalRequired", "numpy"),
        ("ApprovalRequired", "pandas"),
        ("ApprovalRequired", "pandas"),
    ]


def test_what_decided_a_denial_is_as_strict_as_the_verdict() -> None:
    verdict = judge(LOCK, HARSH, make_policy("other", rules=(make_rule("*", ASK),)))
    assert [(ref.name, rule) for ref, rule in verdict.decided_by] == [
        ("base", "bans[0]"),
        ("base", "rule-numpy"),
    ]


def test_what_allowed_the_packages_is_named_once_and_sorted() -> None:
    team = make_policy("team", namespace="a", unlisted=None, rules=(make_rule("six numpy", name="z"),))
    verdict = judge(LOCK, team, make_policy("all", rules=(make_rule("pandas", name="p"),)))
    assert [(str(ref), rule) for ref, rule in verdict.decided_by] == [
        ("ClusterPackagePolicy all", "p"),
        ("ClusterPackagePolicy all", "unlisted"),
        ("PackagePolicy a/team", "z"),
    ]


def test_what_nobody_speaks_of_is_said_to_be_nobodys() -> None:
    reason = only(make_policy(unlisted=None), lock=make_lock("numpy 2.1"))
    assert (reason.policy, reason.rule) == (None, "unlisted")
    assert "named by no rule of any policy" in reason.message

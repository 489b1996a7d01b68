"""What went wrong in the reference system's governance, each as it would show here."""

from __future__ import annotations

from dataclasses import replace

import pytest
from make_domain import (
    judge,
    judge_by_names,
    make_approval,
    make_ban,
    make_finding,
    make_lock,
    make_policy,
    make_report,
    make_rule,
    make_scan,
)

from skillwarden.domain.finding import FindingKind, ScannerName, ScanState, Severity
from skillwarden.domain.policy import Action, FindingRules, Maturity, Policy
from skillwarden.domain.verdict import ComplianceReason

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY


def baseline(**changes: object) -> Policy:
    """The reference matrix (DESIGN 3): Student nothing, Intern by approval, unlisted by approval."""
    changes.setdefault("rules", (make_rule("numpy", name="stack", min_maturity=Maturity.INTERN),))
    return make_policy(
        "baseline",
        unlisted=ASK,
        maturity={Maturity.STUDENT: DENY, Maturity.INTERN: ASK},
        findings=FindingRules(),
        **changes,
    )


@pytest.mark.parametrize(
    ("sentence", "package", "maturity", "approved", "reason"),
    [
        ("a Student is blocked", "numpy 2.1", "STUDENT", False, "MaturityTooLow"),
        ("a Student is blocked though approved", "numpy 2.1", "STUDENT", True, "MaturityTooLow"),
        ("an Intern needs approval of a listed package", "numpy 2.1", "INTERN", False, "ApprovalRequired"),
        ("an Intern with approval", "numpy 2.1", "INTERN", True, "Allowed"),
        ("a Supervised agent with a listed package", "numpy 2.1", "SUPERVISED", False, "Allowed"),
        ("an unlisted package needs approval", "six 1.16", "AUTONOMOUS", False, "ApprovalRequired"),
        ("an unlisted package with approval", "six 1.16", "AUTONOMOUS", True, "Allowed"),
    ],
)
def test_reference_matrix(sentence: str, package: str, maturity: str, approved: bool, reason: str) -> None:
    policy = baseline()
    approvals = (make_approval(package, policies=frozenset({policy.ref})),) if approved else ()
    verdict = judge(package, policy, maturity=Maturity[maturity], approvals=approvals)
    assert verdict.reason.value == reason, sentence


@pytest.mark.parametrize("maturity", Maturity)
def test_a_ban_blocks_every_maturity_though_approved(maturity: Maturity) -> None:
    verdict = judge(
        "numpy 2.1",
        baseline(bans=(make_ban("numpy"),)),
        maturity=maturity,
        approvals=(make_approval("numpy 2.1"),),
    )
    assert verdict.reason is ComplianceReason.BANNED


def test_a_student_without_packages_is_allowed() -> None:
    assert judge(make_lock(), baseline(), maturity=Maturity.STUDENT).allowed


def test_a_later_ban_takes_effect_on_the_same_lock_scan_and_approval() -> None:
    lock = make_lock("numpy 2.1")
    scan, approvals = make_scan(lock), (make_approval("numpy 2.1"),)
    assert judge(lock, baseline(), scan=scan, approvals=approvals).allowed
    banned = baseline(bans=(make_ban("numpy"),))
    assert judge(lock, banned, scan=scan, approvals=approvals).reason is ComplianceReason.BANNED


def test_approving_a_banned_package_does_not_overwrite_the_ban() -> None:
    base = baseline(bans=(make_ban("numpy"),))
    for approvals in ((), (make_approval("numpy 2.1"),), (make_approval("numpy 2.1", name="again"),) * 2):
        assert judge("numpy 2.1", base, approvals=approvals).reason is ComplianceReason.BANNED


def test_a_pinned_requirement_meets_the_rule_and_the_ban_for_its_version() -> None:
    pinned_rule = baseline(rules=(make_rule("numpy", versions="==1.21.0", name="pin"),))
    assert judge("numpy 1.21.0", pinned_rule).allowed
    pinned_ban = baseline(bans=(make_ban("numpy", versions="==1.21.0"),))
    verdict = judge_by_names("numpy==1.21.0", policies=[pinned_ban])
    assert verdict is not None
    assert verdict.reason is ComplianceReason.BANNED


def test_what_is_pulled_in_is_governed() -> None:
    base = baseline(bans=(make_ban("telnetlib3"),), rules=(make_rule("app web"),))
    assert judge("app 1 > web 1 > telnetlib3 2", base).reason is ComplianceReason.BANNED
    assert judge("app 1 > web 1 > six 1", base).reason is ComplianceReason.APPROVAL_REQUIRED


@pytest.mark.parametrize("error", ["timed out", "unparsable answer", "connection refused"])
def test_a_scanners_failure_never_reads_as_safe(error: str) -> None:
    lock = make_lock("numpy 2.1")
    report = make_report(ScannerName.PIP_AUDIT, lock, state=ScanState.ERROR, error=error, audited=frozenset())
    verdict = judge(lock, baseline(), scan=make_scan(lock, reports=[report]))
    assert verdict.reason is ComplianceReason.NO_VERDICT
    assert error in verdict.reasons[0].message


def test_a_skipped_package_never_reads_as_safe() -> None:
    lock = make_lock("numpy 2.1", "six 1.16")
    report = make_report(ScannerName.PIP_AUDIT, lock)
    left_out = replace(report, audited=frozenset(list(report.audited)[:1]))
    scan = make_scan(lock, reports=[left_out])
    assert not judge(lock, make_policy(findings=FindingRules()), scan=scan).allowed


def test_a_vulnerability_that_only_one_scanner_reports_counts() -> None:
    lock = make_lock("numpy 2.1")
    finding = make_finding(
        "numpy 2.1", "PYSEC-1", severity=Severity.UNKNOWN, scanners=(ScannerName.PIP_AUDIT,)
    )
    verdict = judge(lock, baseline(), scan=make_scan(lock, finding))
    assert verdict.reason is ComplianceReason.APPROVAL_REQUIRED


TYPOSQUATS = ["reqeusts", "numpi", "pandnas", "flask-secure", "djnago", "urllib", "pilllow", "matploitlib"]


@pytest.mark.parametrize("name", TYPOSQUATS)
def test_a_typosquat_stops_before_any_index(name: str) -> None:
    finding = make_finding(name, "popular", FindingKind.TYPOSQUAT)
    verdict = judge_by_names(name, policies=[baseline()], name_findings=[finding])
    assert verdict is not None
    assert not verdict.allowed

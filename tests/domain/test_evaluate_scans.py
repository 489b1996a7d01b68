"""A scan with a gap, a stale feed: no pass, whatever else is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from make_domain import (
    NOW,
    judge,
    make_ban,
    make_finding,
    make_finding_rules,
    make_lock,
    make_mixed_lock,
    make_policy,
    make_report,
    make_rule,
    make_scan,
    package_id,
)

from skillwarden.domain.evaluate import advisories_stale, required_scanners, scan_gaps
from skillwarden.domain.finding import FindingKind, ScannerName, ScannerReport, ScanState, Severity
from skillwarden.domain.policy import Action, Enforcement, FindingRules, OnError, Policy
from skillwarden.domain.verdict import ComplianceReason, Verdict

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
OSV, PIP_AUDIT, TYPOSQUAT, AGE = (
    ScannerName.OSV,
    ScannerName.PIP_AUDIT,
    ScannerName.TYPOSQUAT,
    ScannerName.AGE,
)
LOCK = make_lock("pandas 2.2 > numpy 2.1")
EVERYTHING = make_finding_rules(
    vulnerability=dict.fromkeys(Severity, DENY),
    typosquat=ASK,
    confusion=ASK,
    install_script=ASK,
    licence_unknown=ASK,
    malware=ASK,
    min_release_age=timedelta(hours=72),
    min_package_age=timedelta(hours=720),
)


def test_malware_is_not_looked_for_unless_somebody_asks() -> None:
    assert ScannerName.MALWARE not in required_scanners([make_policy(findings=FindingRules())], LOCK)


def strict(name: str = "base", **changes: Any) -> Policy:
    return make_policy(name, findings=EVERYTHING, **changes)


def assert_no_verdict(verdict: Verdict, *, may_hold: bool) -> None:
    assert (verdict.action, verdict.reason) == (DENY, ComplianceReason.NO_VERDICT)
    assert not verdict.allowed
    assert verdict.may_hold is may_hold


@pytest.mark.parametrize(
    ("sentence", "policies", "expected"),
    [
        ("malicious packages are always looked for", [make_policy()], {OSV}),
        ("every kind that is ruled on", [strict()], set(ScannerName)),
        (
            "one band that is not simply allowed is enough",
            [
                make_policy(
                    findings=make_finding_rules(
                        vulnerability=dict.fromkeys(Severity, ALLOW) | {Severity.LOW: ASK}
                    )
                )
            ],
            {OSV, PIP_AUDIT, ScannerName.NPM_AUDIT},
        ),
        (
            "a typosquat that is ruled on",
            [make_policy(findings=make_finding_rules(typosquat=ASK))],
            {OSV, TYPOSQUAT},
        ),
        (
            "an age that is bound",
            [make_policy(findings=make_finding_rules(min_release_age=timedelta(hours=1)))],
            {OSV, AGE},
        ),
        (
            "an age that is bound and allowed",
            [
                make_policy(
                    findings=make_finding_rules(min_release_age=timedelta(hours=1), release_age_action=ALLOW)
                )
            ],
            {OSV},
        ),
        (
            "an age of the project that is bound",
            [make_policy(findings=make_finding_rules(min_package_age=timedelta(hours=1)))],
            {OSV, ScannerName.FIRST_SEEN},
        ),
        (
            "an age of the project that is bound and allowed",
            [
                make_policy(
                    findings=make_finding_rules(min_package_age=timedelta(hours=1), package_age_action=ALLOW)
                )
            ],
            {OSV},
        ),
        (
            "an install script that is ruled on",
            [make_policy(findings=make_finding_rules(install_script=ASK))],
            {OSV, ScannerName.ARTEFACT},
        ),
        (
            "a licence that is denied",
            [make_policy(findings=make_finding_rules(licence_deny=("AGPL-*",)))],
            {OSV, ScannerName.ARTEFACT},
        ),
        (
            "malware that is looked for",
            [make_policy(findings=make_finding_rules(malware=ASK))],
            {OSV, ScannerName.MALWARE},
        ),
        (
            "a name that could be a company's",
            [make_policy(findings=make_finding_rules(confusion=DENY))],
            {OSV, ScannerName.CONFUSION},
        ),
        ("any policy's wish counts", [make_policy("a"), strict("b")], set(ScannerName)),
        ("a policy in audit requires nothing", [strict(enforcement=Enforcement.AUDIT)], set()),
        ("no policy requires nothing", [], set()),
    ],
)
def test_required_scanners(sentence: str, policies: list[Policy], expected: set[ScannerName]) -> None:
    python, mixed = make_lock("numpy 2.1"), make_mixed_lock()
    assert required_scanners(policies, mixed) == expected, sentence
    assert required_scanners(policies, python) == expected - {ScannerName.NPM_AUDIT}, sentence


def broken(report: ScannerReport, how: str) -> ScannerReport | None:
    match how:
        case "missing":
            return None
        case "error":
            return replace(report, state=ScanState.ERROR, error="timed out after 60 s", retryable=True)
        case "left one out":
            return replace(report, audited=frozenset({package_id("pandas 2.2")}))
        case "audited another version":
            return replace(report, audited=frozenset({package_id("pandas 2.2"), package_id("numpy 2.0")}))
        case "audited one too many":
            return replace(report, audited=report.audited | {package_id("six 1")})
        case "audited nothing":
            return replace(report, audited=frozenset())
        case "findings without any":
            return replace(report, state=ScanState.FINDINGS)
    raise AssertionError(how)


HOWS = [
    ("missing", "missing"),
    ("error", "error"),
    ("left one out", "coverage"),
    ("audited another version", "coverage"),
    ("audited one too many", "coverage"),
    ("audited nothing", "coverage"),
    ("findings without any", "error"),
]


@pytest.mark.parametrize("scanner", sorted(set(ScannerName) - {ScannerName.NPM_AUDIT}))
@pytest.mark.parametrize(("how", "kind"), HOWS)
def test_a_required_scanner_that_did_not_answer_is_no_pass(scanner: ScannerName, how: str, kind: str) -> None:
    whole = make_scan(LOCK)
    reports = [
        made
        for report in whole.reports
        if (made := broken(report, how) if report.scanner is scanner else report) is not None
    ]
    scan = replace(whole, reports=tuple(reports))

    verdict = judge(LOCK, strict(), scan=scan)

    assert_no_verdict(verdict, may_hold=False)
    (gap,) = scan_gaps(LOCK, scan, [strict()])
    assert (gap.scanner, gap.kind.value) == (scanner, kind)
    assert scanner in verdict.reasons[0].message
    assert verdict.reasons[0].fix


def test_what_a_scanner_left_out_is_named() -> None:
    report = make_report(OSV, LOCK, audited=frozenset({package_id("pandas 2.2")}))
    (gap,) = scan_gaps(LOCK, make_scan(LOCK, reports=[report]), [make_policy()])
    assert "numpy 2.1" in gap.message
    assert "pandas" not in gap.message


@pytest.mark.parametrize("retryable", [True, False])
def test_an_error_says_what_went_wrong_and_whether_to_retry(retryable: bool) -> None:
    report = make_report(OSV, LOCK, state=ScanState.ERROR, error="no\nanswer", retryable=retryable)
    (gap,) = scan_gaps(LOCK, make_scan(LOCK, reports=[report]), [make_policy()])
    assert "no answer" in gap.message
    assert gap.retryable is retryable


def test_a_pass_that_carries_findings_is_a_contradiction() -> None:
    report = make_report(OSV, LOCK, make_finding("numpy 2.1"), state=ScanState.PASS)
    assert_no_verdict(judge(LOCK, make_policy(), scan=make_scan(LOCK, reports=[report])), may_hold=False)


def test_a_finding_about_a_package_that_is_not_locked_is_a_gap() -> None:
    report = make_report(OSV, LOCK, make_finding("six 1"))
    assert_no_verdict(judge(LOCK, make_policy(), scan=make_scan(LOCK, reports=[report])), may_hold=False)


def test_no_scan_at_all_names_every_required_scanner() -> None:
    verdict = judge(LOCK, strict(), scan=None)
    assert_no_verdict(verdict, may_hold=False)
    assert {reason.rule for reason in verdict.reasons} == {
        f"scanning.{name}" for name in set(ScannerName) - {ScannerName.NPM_AUDIT}
    }


def test_a_scan_of_another_lock_with_the_same_packages_is_no_scan() -> None:
    scan = replace(make_scan(LOCK), lock_digest="sha256:" + "0" * 64)
    assert_no_verdict(judge(LOCK, make_policy(), scan=scan), may_hold=False)


def test_of_two_reports_by_one_scanner_the_worse_counts() -> None:
    whole = make_scan(LOCK)
    error = make_report(OSV, LOCK, state=ScanState.ERROR, error="boom")
    for reports in ((*whole.reports, error), (error, *whole.reports)):
        assert_no_verdict(judge(LOCK, make_policy(), scan=replace(whole, reports=reports)), may_hold=False)


def test_a_scanner_that_nobody_requires_may_fail() -> None:
    report = make_report(PIP_AUDIT, LOCK, state=ScanState.ERROR, error="boom")
    assert judge(LOCK, make_policy(), scan=make_scan(LOCK, reports=[report])).allowed


def test_a_ban_stands_without_a_scan() -> None:
    verdict = judge(LOCK, strict(bans=(make_ban("numpy"),)), scan=None)
    assert verdict.reason is ComplianceReason.BANNED
    assert not verdict.may_hold


def test_a_finding_that_denies_stands_beside_another_scanners_error() -> None:
    report = make_report(PIP_AUDIT, LOCK, state=ScanState.ERROR, error="boom")
    scan = make_scan(LOCK, make_finding("numpy 2.1"), reports=[report])
    assert judge(LOCK, strict(), scan=scan).reason is ComplianceReason.DENIED


def test_what_an_erring_scanner_did_find_counts() -> None:
    finding = make_finding("numpy 2.1", "MAL-1", FindingKind.MALICIOUS)
    report = make_report(OSV, LOCK, finding, state=ScanState.ERROR, error="boom")
    verdict = judge(LOCK, make_policy(), scan=make_scan(LOCK, reports=[report]))
    assert verdict.reason is ComplianceReason.DENIED


@pytest.mark.parametrize(
    ("sentence", "policies", "may_hold"),
    [
        ("the one policy holds", [strict(on_error=OnError.HOLD)], True),
        ("the one policy denies", [strict(on_error=OnError.DENY)], False),
        (
            "one of two that need the scanner denies",
            [strict("a", on_error=OnError.HOLD), strict("b", on_error=OnError.DENY)],
            False,
        ),
        (
            "the one that denies does not need the scanner",
            [strict("a", on_error=OnError.HOLD), make_policy("b", on_error=OnError.DENY)],
            True,
        ),
        (
            "a policy in audit does not count",
            [
                strict("a", on_error=OnError.HOLD),
                strict("b", on_error=OnError.DENY, enforcement=Enforcement.AUDIT),
            ],
            True,
        ),
    ],
)
def test_an_error_holds_what_runs_only_if_all_who_need_the_scanner_say_so(
    sentence: str, policies: list[Policy], may_hold: bool
) -> None:
    report = make_report(PIP_AUDIT, LOCK, state=ScanState.ERROR, error="boom")
    verdict = judge(LOCK, *policies, scan=make_scan(LOCK, reports=[report]))
    assert_no_verdict(verdict, may_hold=may_hold)


def test_what_would_need_approval_is_not_held_by_a_gap() -> None:
    base = strict(on_error=OnError.HOLD, rules=(make_rule("numpy", ASK),))
    assert_no_verdict(judge(LOCK, base, scan=None), may_hold=False)


def test_two_gaps_hold_only_if_both_may() -> None:
    osv_denies = [strict("a", on_error=OnError.HOLD), make_policy("b", on_error=OnError.DENY)]
    errors = [make_report(name, LOCK, state=ScanState.ERROR, error="boom") for name in (OSV, PIP_AUDIT)]
    assert_no_verdict(judge(LOCK, *osv_denies, scan=make_scan(LOCK, reports=errors)), may_hold=False)


DAY2 = timedelta(hours=48)


@pytest.mark.parametrize(
    ("sentence", "policies", "synced", "stale"),
    [
        ("fresh", [make_policy(max_advisory_age=DAY2)], NOW - timedelta(hours=1), False),
        ("just as old as the bound", [make_policy(max_advisory_age=DAY2)], NOW - DAY2, False),
        ("older", [make_policy(max_advisory_age=DAY2)], NOW - DAY2 - timedelta(seconds=1), True),
        ("never synced", [make_policy(max_advisory_age=DAY2)], None, True),
        ("never synced, and no bound", [make_policy()], None, True),
        ("old, and no bound", [make_policy()], NOW - timedelta(days=900), False),
        (
            "the smallest bound of all policies counts",
            [make_policy("a", max_advisory_age=DAY2), make_policy("b", max_advisory_age=timedelta(hours=1))],
            NOW - timedelta(hours=2),
            True,
        ),
        (
            "a policy in audit bounds nothing",
            [make_policy("a"), make_policy("b", max_advisory_age=DAY2, enforcement=Enforcement.AUDIT)],
            NOW - timedelta(days=90),
            False,
        ),
        ("synced in the future", [make_policy(max_advisory_age=DAY2)], NOW + timedelta(days=1), True),
        ("clocks a minute apart", [make_policy(max_advisory_age=DAY2)], NOW + timedelta(minutes=1), False),
    ],
)
def test_advisories(sentence: str, policies: list[Policy], synced: Any, stale: bool) -> None:
    verdict = judge(LOCK, *policies, advisories_synced_at=synced)

    assert (advisories_stale(policies, synced, NOW, LOCK) is not None) is stale, sentence
    if stale:
        assert_no_verdict(verdict, may_hold=True)
    else:
        assert verdict.allowed


def test_the_words_for_stale_advisories_do_not_change_with_the_clock() -> None:
    policies = [make_policy(max_advisory_age=DAY2)]
    texts = {advisories_stale(policies, NOW - timedelta(days=days), NOW, LOCK) for days in (3, 4, 50)}
    assert len(texts) == 1
    assert "48h" in str(texts.pop())


def test_a_stale_feed_and_an_unheld_error_do_not_hold() -> None:
    base = make_policy(max_advisory_age=DAY2)
    verdict = judge(LOCK, base, scan=None, advisories_synced_at=NOW - timedelta(days=9))
    assert_no_verdict(verdict, may_hold=False)


def test_a_fresh_verdict_is_revisited_when_the_feed_gets_stale() -> None:
    base = make_policy(max_advisory_age=DAY2)
    synced = NOW - timedelta(hours=1)
    assert judge(LOCK, base, advisories_synced_at=synced).revisit_at == synced + DAY2
    assert judge(make_lock(), base, advisories_synced_at=synced).revisit_at is None


def test_a_later_look_at_the_same_scan_with_another_lock_is_not_mistaken() -> None:
    # Views of scans are remembered: by the pair, not by the scan alone.
    scan = make_scan(LOCK)
    other = make_lock("pandas 2.2 > numpy 2.1", "six 1")
    assert judge(LOCK, make_policy(), scan=scan).allowed
    assert_no_verdict(judge(other, make_policy(), scan=scan), may_hold=False)

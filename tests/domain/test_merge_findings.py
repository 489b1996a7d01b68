"""One finding for one thing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_domain import NOW, make_age, make_finding, make_lock, make_report

from skillwarden.domain.evaluate import merge_findings
from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScannerReport, Severity

OSV, PIP_AUDIT = ScannerName.OSV, ScannerName.PIP_AUDIT
LOCK = make_lock("numpy 2.1", "six 1")


def by(scanner: ScannerName, *findings: Finding) -> ScannerReport:
    return make_report(scanner, LOCK, *findings)


def found(identity: str, scanner: ScannerName = OSV, **changes: Any) -> Finding:
    return make_finding("numpy 2.1", identity, scanners=(scanner,), **changes)


@pytest.mark.parametrize(
    ("sentence", "first", "second"),
    [
        ("the same id", found("GHSA-1"), found("GHSA-1", PIP_AUDIT)),
        (
            "the one's alias is the other's id",
            found("GHSA-1", aliases=("PYSEC-1",)),
            found("PYSEC-1", PIP_AUDIT),
        ),
        ("the other way round", found("GHSA-1"), found("PYSEC-1", PIP_AUDIT, aliases=("GHSA-1",))),
        (
            "a common alias",
            found("GHSA-1", aliases=("CVE-1",)),
            found("PYSEC-1", PIP_AUDIT, aliases=("CVE-1",)),
        ),
    ],
)
def test_is_the_same_vulnerability(sentence: str, first: Finding, second: Finding) -> None:
    for reports in ([by(OSV, first), by(PIP_AUDIT, second)], [by(PIP_AUDIT, second), by(OSV, first)]):
        (merged,) = merge_findings(reports)
        assert merged.id == "GHSA-1", sentence
        assert merged.scanners == (OSV, PIP_AUDIT)


def test_what_overlaps_through_a_third_is_one() -> None:
    one, other = found("GHSA-1", aliases=("CVE-1",)), found("GHSA-2", aliases=("CVE-2",))
    bridge = found("PYSEC-1", PIP_AUDIT, aliases=("CVE-1", "CVE-2"))
    (merged,) = merge_findings([by(OSV, one, other), by(PIP_AUDIT, bridge)])
    assert merged.aliases == ("CVE-1", "CVE-2", "GHSA-2", "PYSEC-1")


def test_what_does_not_overlap_stays_apart() -> None:
    merged = merge_findings([by(OSV, found("GHSA-1")), by(PIP_AUDIT, found("GHSA-2", PIP_AUDIT))])
    assert [finding.id for finding in merged] == ["GHSA-1", "GHSA-2"]


def test_the_same_advisory_about_two_packages_is_two_findings() -> None:
    reports = [by(OSV, found("GHSA-1"), make_finding("six 1", "GHSA-1"))]
    assert [finding.package.name for finding in merge_findings(reports)] == ["numpy", "six"]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Severity.UNKNOWN, Severity.LOW, Severity.LOW),
        (Severity.HIGH, Severity.UNKNOWN, Severity.HIGH),
        (Severity.MEDIUM, Severity.CRITICAL, Severity.CRITICAL),
        (Severity.UNKNOWN, Severity.UNKNOWN, Severity.UNKNOWN),
    ],
)
def test_the_highest_severity_that_anybody_knows(one: Severity, other: Severity, expected: Severity) -> None:
    reports = [
        by(OSV, found("GHSA-1", severity=one)),
        by(PIP_AUDIT, found("GHSA-1", PIP_AUDIT, severity=other)),
    ]
    assert [finding.severity for finding in merge_findings(reports)] == [expected]


def test_fixed_versions_are_joined_as_versions() -> None:
    reports = [
        by(OSV, found("GHSA-1", fixed_versions=("1.10", "2.0"))),
        by(PIP_AUDIT, found("GHSA-1", PIP_AUDIT, fixed_versions=("1.9", "2.0"))),
    ]
    assert merge_findings(reports)[0].fixed_versions == ("1.9", "1.10", "2.0")


@pytest.mark.parametrize(
    ("sentence", "findings"),
    [
        ("an id", [found("MAL-2024-1")]),
        ("an alias", [found("GHSA-1", aliases=("MAL-2024-1",))]),
        ("the kind", [make_finding("numpy 2.1", "GHSA-1", FindingKind.MALICIOUS)]),
        (
            "another report of the same",
            [found("GHSA-1"), make_finding("numpy 2.1", "GHSA-1", FindingKind.MALICIOUS)],
        ),
    ],
)
def test_is_malicious_by(sentence: str, findings: list[Finding]) -> None:
    (merged,) = merge_findings([by(OSV, *findings)])
    assert merged.kind is FindingKind.MALICIOUS, sentence


def test_a_summary_is_taken_from_whoever_has_one() -> None:
    reports = [by(OSV, found("GHSA-1")), by(PIP_AUDIT, found("GHSA-1", PIP_AUDIT, summary="Bad"))]
    assert merge_findings(reports)[0].summary == "Bad"


@pytest.mark.parametrize(
    ("ages", "expected"),
    [((1, 5), timedelta(hours=1)), ((1, None), None), ((None, None), None)],
)
def test_of_two_ages_the_younger_counts_and_unknown_before_all(
    ages: tuple[int | None, ...], expected: timedelta | None
) -> None:
    findings = [make_age("numpy 2.1", None if age is None else timedelta(hours=age)) for age in ages]
    for order in (findings, findings[::-1]):
        (merged,) = merge_findings([by(ScannerName.AGE, *order)])
        assert merged.published_at == (None if expected is None else NOW - expected)


IDS = st.sampled_from(["GHSA-1", "GHSA-2", "PYSEC-1", "CVE-1", "CVE-2", "MAL-1"])
FINDINGS = st.builds(
    found,
    IDS,
    st.sampled_from([OSV, PIP_AUDIT]),
    aliases=st.lists(IDS, max_size=2, unique=True).map(lambda ids: tuple(sorted(ids))),
    severity=st.sampled_from(Severity),
    summary=st.sampled_from(["", "a", "b"]),
)


@given(st.lists(FINDINGS, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_reports_and_findings_does_not_matter(findings: list[Finding], random: Any) -> None:
    shuffled = findings[:]
    random.shuffle(shuffled)
    assert merge_findings([by(OSV, *findings)]) == merge_findings([by(OSV, *shuffled)])


@given(st.lists(FINDINGS, max_size=6))
def test_merging_loses_no_name_and_leaves_no_overlap(findings: list[Finding]) -> None:
    merged = merge_findings([by(OSV, *findings)])
    names = [{finding.id, *finding.aliases} for finding in merged]
    assert set().union(*names) == {name for item in findings for name in (item.id, *item.aliases)}
    assert sum(map(len, names)) == len(set().union(*names))
    assert merge_findings([by(OSV, *merged)]) == merged

"""Our own evaluation as a scanner, the ages of releases, and how advisories become findings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scan_support import LONG_AGO, nothing_detected, plain_facts, plain_first_seen

from skillwarden.advisories.errors import CorruptIndexError
from skillwarden.advisories.feed import AdvisoryFeed
from skillwarden.advisories.index import Advisory, AdvisoryIndex
from skillwarden.advisories.store import INDEX_NAME
from skillwarden.domain.finding import FindingKind, ScannerName, ScanState, Severity
from skillwarden.domain.first_seen import FirstSeen
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.scan.age import AgeScanner
from skillwarden.scan.factory import default_scanners
from skillwarden.scan.first_seen import FirstSeenScanner
from skillwarden.scan.grouping import finding_of, group
from skillwarden.scan.osv import OsvScanner
from skillwarden.scan.runner import ScanRunner

MakeLock = Callable[..., Lock]
MakeIndex = Callable[..., AdvisoryIndex]
MakeAdvisory = Callable[..., dict[str, Any]]
WIDGET = PackageId.of(Ecosystem.PYPI, "widget", "1.5")


def advisory(identity: str, *aliases: str, **fields: Any) -> Advisory:
    return Advisory(id=identity, aliases=tuple(sorted(aliases)), **fields)


async def test_every_package_is_looked_up_and_what_affects_it_found(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    index = make_index(
        make_advisory("PYSEC-1", "widget", aliases=["CVE-1"]), make_advisory("PYSEC-2", "other")
    )
    lock = make_lock("widget==1.0", "clean==1.0")
    report = await OsvScanner(lambda: index).scan(lock)
    assert report.audited == {package.id for package in lock.packages}
    [finding] = report.findings
    assert (finding.package.name, finding.id, finding.aliases) == ("widget", "PYSEC-1", ("CVE-1",))
    assert (finding.kind, finding.scanners) == (FindingKind.VULNERABILITY, (ScannerName.OSV,))
    assert finding.fixed_versions == ("2.0",)
    assert (await OsvScanner(lambda: index).scan(make_lock("widget==2.0"))).state is ScanState.PASS


async def test_no_advisories_are_an_error_and_never_a_pass(make_lock: MakeLock, tmp_path: Path) -> None:
    report = await OsvScanner(lambda: None).scan(make_lock())
    assert (report.state, report.retryable) == (ScanState.ERROR, True)
    assert report.error == "no advisories have been synced; run skillwarden advisories sync --from URL|DIR"
    osv = next(
        s
        for s in default_scanners(
            AdvisoryFeed(tmp_path),
            read_facts=plain_facts,
            ask_first_seen=plain_first_seen,
            detect_malware=nothing_detected,
        )
        if s.name is ScannerName.OSV
    )
    assert (await osv.scan(make_lock("a==1"))).state is ScanState.ERROR


async def test_an_index_that_cannot_be_read_is_an_error_with_its_reason(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    path = make_index(make_advisory("PYSEC-1", "widget")).path
    (path / INDEX_NAME).write_bytes(b"garbage")
    runner = ScanRunner(
        default_scanners(
            AdvisoryFeed(path),
            read_facts=plain_facts,
            ask_first_seen=plain_first_seen,
            detect_malware=nothing_detected,
        ),
        deadline_seconds=30,
        max_concurrency=4,
    )
    required = {ScannerName.OSV, ScannerName.PIP_AUDIT}
    result = await runner.scan(make_lock("widget==1.0"), advisory_revision="", required=required)
    for report in result.reports:
        assert report.state is ScanState.ERROR
        assert report.error.startswith(CorruptIndexError.__name__)


async def test_an_entry_that_cannot_be_evaluated_is_a_finding_that_says_so(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    index = make_index(make_advisory("PYSEC-1", "widget", fixed="no version"))
    [finding] = (await OsvScanner(lambda: index).scan(make_lock("widget==99"))).findings
    assert finding.severity is Severity.UNKNOWN
    assert "cannot be evaluated" in finding.summary
    assert "counts for every version" in finding.summary


def test_records_that_share_a_name_are_one_group_also_through_a_third() -> None:
    records = [
        advisory("GHSA-b", "CVE-2"),
        advisory("PYSEC-a", "CVE-1"),
        advisory("GHSA-c", "CVE-9"),
        advisory("GHSA-a", "CVE-1", "CVE-2"),
    ]
    expected = [["PYSEC-a", "GHSA-a", "GHSA-b"], ["GHSA-c"]]
    assert [[member.id for member in members] for members in group(records)] == expected
    assert [[member.id for member in members] for members in group(reversed(records))] == expected


def test_a_group_takes_the_worst_severity_all_names_and_the_fixes_above() -> None:
    members = (
        advisory("PYSEC-1", "CVE-1", summary="first", fixed_versions=("1.4.9", "2.10")),
        advisory("GHSA-1", "CVE-1", severity=Severity.HIGH, summary="second", fixed_versions=("2.9", "1.5")),
    )
    finding = finding_of(WIDGET, members, scanner=ScannerName.OSV)
    assert (finding.id, finding.aliases) == ("PYSEC-1", ("CVE-1", "GHSA-1"))
    assert (finding.severity, finding.summary) == (Severity.HIGH, "first")
    assert finding.fixed_versions == ("2.9", "2.10")


@pytest.mark.parametrize("names", [("MAL-1",), ("GHSA-1", "MAL-1")])
def test_a_malicious_package_is_its_own_kind(names: tuple[str, ...]) -> None:
    finding = finding_of(WIDGET, (advisory(*names),), scanner=ScannerName.OSV)
    assert finding.kind is FindingKind.MALICIOUS


async def test_every_artefact_has_its_date_or_none(make_lock: MakeLock) -> None:
    uploaded = datetime(2026, 1, 2, tzinfo=UTC)
    report = await AgeScanner().scan(make_lock("a==1", "b==2", uploaded_at=uploaded))
    assert report.state is ScanState.FINDINGS
    assert [(f.package.name, f.id, f.kind, f.published_at) for f in report.findings] == [
        ("a", "released", FindingKind.RELEASE_AGE, uploaded),
        ("b", "released", FindingKind.RELEASE_AGE, uploaded),
    ]
    [unknown] = (await AgeScanner().scan(make_lock("a==1"))).findings
    assert unknown.published_at is None
    assert "does not say" in unknown.summary
    assert (await AgeScanner().scan(make_lock())).state is ScanState.PASS


async def test_every_project_has_the_date_of_its_first_file_or_none(make_lock: MakeLock) -> None:
    report = await FirstSeenScanner(plain_first_seen).scan(make_lock("a==1", "b==2"))
    assert [(f.package.name, f.id, f.kind, f.published_at) for f in report.findings] == [
        ("a", "firstSeen", FindingKind.PACKAGE_AGE, LONG_AGO),
        ("b", "firstSeen", FindingKind.PACKAGE_AGE, LONG_AGO),
    ]

    async def nobody_knows(lock: Lock) -> FirstSeen:
        return FirstSeen({package.id: None for package in lock.packages}, {})

    [unknown] = (await FirstSeenScanner(nobody_knows).scan(make_lock("a==1"))).findings
    assert unknown.published_at is None
    assert "does not say" in unknown.summary


async def test_a_project_that_the_index_says_nothing_of_is_an_error(make_lock: MakeLock) -> None:
    async def some(lock: Lock) -> FirstSeen:
        first, *rest = lock.packages
        reasons = {package.id: "its page answers 500" for package in rest}
        return FirstSeen({first.id: LONG_AGO}, reasons)

    lock = make_lock("a==1", "b==1", "c==1", "d==1", "e==1")
    report = await FirstSeenScanner(some).scan(lock)
    assert (report.state, report.retryable, report.findings) == (ScanState.ERROR, True, ())
    assert report.audited == {lock.packages[0].id}
    assert "how old 4 project(s) are" in report.error
    assert "answers 500" in report.error
    assert "and 1 more" in report.error

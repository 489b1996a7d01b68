"""The runner: deadlines, crashes and gaps in coverage are errors; reports come in one order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from scan_support import nothing_detected, plain_facts, plain_first_seen

from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScannerReport, ScanState
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.scan.factory import default_scanners
from skillwarden.scan.protocol import answered
from skillwarden.scan.runner import INCOMPLETE_COVERAGE, ScanRunner

MakeLock = Callable[..., Lock]
EXTRA = PackageId(Ecosystem.PYPI, "extra", "1")


@dataclass
class FakeScanner:
    """A scanner that does what a test says."""

    behave: Callable[[ScannerReport], Any]
    name: ScannerName = ScannerName.OSV

    async def scan(self, lock: Lock) -> ScannerReport:
        good = answered(self.name, audited=(package.id for package in lock.packages), findings=())
        outcome = self.behave(good)
        return await outcome if asyncio.iscoroutine(outcome) else outcome


def make_runner(*scanners: Any, deadline: float = 30, width: int = 4) -> ScanRunner:
    return ScanRunner(scanners, deadline_seconds=deadline, max_concurrency=width)


def crash(_: ScannerReport) -> ScannerReport:
    raise KeyError("boom\nline")


async def cancel_itself(_: ScannerReport) -> ScannerReport:
    raise asyncio.CancelledError


async def hang(_: ScannerReport) -> ScannerReport:
    await asyncio.Event().wait()
    raise AssertionError


def finding(package: PackageId) -> Finding:
    return Finding(FindingKind.VULNERABILITY, package, "X-1")


BAD: dict[str, tuple[Callable[[ScannerReport], Any], str]] = {
    "a crash": (crash, "KeyError: 'boom"),
    "a scanner that is cancelled from within": (cancel_itself, "CancelledError"),
    "a timeout": (hang, "Timeout"),
    "a package that was not audited": (
        lambda good: replace(good, audited=frozenset(sorted(good.audited)[1:])),
        f"{INCOMPLETE_COVERAGE}: 1 not audited: gadget 1.0",
    ),
    "nothing audited": (lambda good: replace(good, audited=frozenset()), INCOMPLETE_COVERAGE),
    "a package too many": (
        lambda good: replace(good, audited=good.audited | {EXTRA}),
        "1 not in the lock: extra 1",
    ),
    "findings and a gap": (
        lambda good: replace(good, audited=frozenset(), state=ScanState.FINDINGS, findings=(finding(EXTRA),)),
        INCOMPLETE_COVERAGE,
    ),
    "a pass with findings": (
        lambda good: replace(good, findings=(finding(EXTRA),)),
        "says pass with 1 findings",
    ),
    "findings without any": (lambda good: replace(good, state=ScanState.FINDINGS), "says findings with 0"),
    "a report of another scanner": (lambda good: replace(good, scanner=ScannerName.AGE), "is age's"),
}


@pytest.mark.parametrize("sentence", BAD)
async def test_what_is_not_a_whole_answer_is_an_error(sentence: str, make_lock: MakeLock) -> None:
    behave, message = BAD[sentence]
    lock = make_lock("gadget==1.0", "widget==1.0")
    runner = make_runner(FakeScanner(behave), deadline=0.1 if behave is hang else 30)
    [report] = (await runner.scan(lock, advisory_revision="r")).reports
    assert (report.scanner, report.state, report.findings) == (ScannerName.OSV, ScanState.ERROR, ())
    assert message in report.error
    assert "\n" not in report.error


async def test_one_failure_leaves_the_others_alone_and_the_order_is_stable(make_lock: MakeLock) -> None:
    late = asyncio.Event()

    async def wait(good: ScannerReport) -> ScannerReport:
        await late.wait()
        return good

    def release(good: ScannerReport) -> ScannerReport:
        late.set()
        return good

    runner = make_runner(
        FakeScanner(release, ScannerName.TYPOSQUAT),
        FakeScanner(crash, ScannerName.PIP_AUDIT),
        FakeScanner(wait, ScannerName.AGE),
    )
    seen: list[ScannerName] = []
    lock = make_lock("widget==1.0")
    result = await runner.scan(
        lock, advisory_revision="r", on_progress=lambda report: seen.append(report.scanner)
    )
    assert [(report.scanner, report.state) for report in result.reports] == [
        (ScannerName.AGE, ScanState.PASS),
        (ScannerName.PIP_AUDIT, ScanState.ERROR),
        (ScannerName.TYPOSQUAT, ScanState.PASS),
    ]
    assert set(seen) == {report.scanner for report in result.reports}
    assert (result.lock_digest, result.advisory_revision) == (lock.digest, "r")


async def test_only_what_is_required_runs_and_what_is_missing_is_an_error(make_lock: MakeLock) -> None:
    runner = make_runner(FakeScanner(lambda good: good), FakeScanner(crash, ScannerName.AGE))
    required = {ScannerName.OSV, ScannerName.PIP_AUDIT}
    result = await runner.scan(make_lock("a==1"), advisory_revision="r", required=required)
    assert [(report.scanner, report.state) for report in result.reports] == [
        (ScannerName.OSV, ScanState.PASS),
        (ScannerName.PIP_AUDIT, ScanState.ERROR),
    ]
    assert "not configured" in result.reports[1].error


async def test_concurrency_is_bounded_over_all_scans_and_waiting_does_not_use_up_the_deadline(
    make_lock: MakeLock,
) -> None:
    running, most = 0, 0

    async def count(good: ScannerReport) -> ScannerReport:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0)
        running -= 1
        return good

    runner = make_runner(FakeScanner(count), FakeScanner(count, ScannerName.AGE), width=2)
    lock = make_lock("a==1")
    results = await asyncio.gather(*(runner.scan(lock, advisory_revision="r") for _ in range(10)))
    assert most == 2
    assert {report.state for result in results for report in result.reports} == {ScanState.PASS}


async def test_a_cancelled_scan_cancels_its_scanners(make_lock: MakeLock) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait(_: ScannerReport) -> ScannerReport:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    task = asyncio.create_task(make_runner(FakeScanner(wait)).scan(make_lock("a==1"), advisory_revision="r"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


@pytest.mark.parametrize(("deadline", "width"), [(0, 1), (-1, 1), (1, 0)])
def test_a_runner_without_bounds_is_refused(deadline: float, width: int) -> None:
    with pytest.raises(ValueError, match="needed"):
        make_runner(deadline=deadline, width=width)


def test_two_scanners_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        make_runner(FakeScanner(crash), FakeScanner(crash))


async def test_without_advisories_the_advisory_scanners_err_and_the_others_work(make_lock: MakeLock) -> None:
    offered = default_scanners(
        None, read_facts=plain_facts, ask_first_seen=plain_first_seen, detect_malware=nothing_detected
    )
    runner = make_runner(*offered)
    result = await runner.scan(make_lock("widget==1.0"), advisory_revision="")
    states = {report.scanner: report.state for report in result.reports}
    assert states == {
        ScannerName.AGE: ScanState.FINDINGS,
        ScannerName.FIRST_SEEN: ScanState.FINDINGS,
        ScannerName.OSV: ScanState.ERROR,
        ScannerName.PIP_AUDIT: ScanState.ERROR,
        ScannerName.NPM_AUDIT: ScanState.ERROR,
        ScannerName.TYPOSQUAT: ScanState.PASS,
        ScannerName.CONFUSION: ScanState.PASS,
        ScannerName.ARTEFACT: ScanState.FINDINGS,
        ScannerName.MALWARE: ScanState.PASS,
    }
    for report in result.reports:
        if report.state is ScanState.ERROR:
            assert (
                "no advisories have been synced; run skillwarden advisories sync --from URL|DIR"
                in report.error
            )

"""Runs scanners over a lock: each under a deadline, all bounded together, none able to pass by failing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from skillwarden.domain.finding import ScannerName, ScannerReport, ScanResult, ScanState, looks_at
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import Ecosystem, PackageId

from .protocol import Preparable, Scanner, failed, packages_of

#: Begins the error of a scanner that answered for other packages than the lock's.
INCOMPLETE_COVERAGE = "IncompleteCoverage"
#: How long a cancelled scanner may take to put its things away before it is left behind.
_CLEAN_UP_SECONDS = 5.0
_TRIED_AGAIN = " It is tried again; if this stays, raise SKILLWARDEN_SCAN_DEADLINE"
_SHOWN = 5
_MAX_ERROR = 500

ReportCallback = Callable[[ScannerReport], None]


class ScanRunner:
    """Runs a fixed set of scanners; one runner serves all skills.

    Parameters
    ----------
    scanners
        At most one of each name.
    deadline_seconds
        For each scanner, from its start (waiting for its turn does not count).
    max_concurrency
        How many scanners run at once, over all scans.
    on_report
        Told each report and the seconds that it took, without the wait for a turn.
    """

    def __init__(
        self,
        scanners: Sequence[Scanner],
        *,
        deadline_seconds: float,
        max_concurrency: int,
        on_report: Callable[[ScannerReport, float], None] = lambda *_: None,
    ) -> None:
        if deadline_seconds <= 0 or max_concurrency < 1:
            raise ValueError("a deadline above 0 s and at least one scanner at a time are needed")
        self._scanners = {scanner.name: scanner for scanner in scanners}
        if len(self._scanners) != len(scanners):
            raise ValueError("two scanners have one name")
        self._deadline = deadline_seconds
        self._turns = asyncio.Semaphore(max_concurrency)
        self._on_report = on_report

    async def scan(
        self,
        lock: Lock,
        *,
        advisory_revision: str,
        required: Iterable[ScannerName] | None = None,
        on_progress: ReportCallback | None = None,
    ) -> ScanResult:
        """Scan a lock.

        Parameters
        ----------
        lock
            What is scanned.
        advisory_revision
            Revision of the advisories, for the record.
        required
            Which scanners to run; ``None``: all. One that does not exist here ends in an error.
        on_progress
            Called with each report as it comes.

        Returns
        -------
        One report a scanner, sorted by scanner. It does not raise for what a scanner does.
        """
        names = sorted(set(self._scanners) if required is None else set(required))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._report(name, lock, on_progress)) for name in names]
        return ScanResult(
            lock_digest=lock.digest,
            advisory_revision=advisory_revision,
            completed_at=datetime.now(UTC),
            reports=tuple(task.result() for task in running),
        )

    async def prepare(self, ecosystems: AbstractSet[Ecosystem]) -> None:
        """Begin what can begin while a lock with packages of these is being made.

        What fails here fails again, and is told, in the scan.
        """
        asked = [
            scanner.prepare()
            for scanner in self._preparable()
            if any(looks_at(scanner.name, ecosystem) for ecosystem in ecosystems)
        ]
        await asyncio.gather(*asked, return_exceptions=True)

    def look_ahead(self, packages: frozenset[PackageId]) -> None:
        """Begin what needs no more than the versions that a lock under way will hold."""
        for scanner in self._preparable():
            scanner.look_ahead(packages)

    async def close(self) -> None:
        """End what was prepared and not used."""
        await asyncio.gather(*(scanner.close() for scanner in self._preparable()))

    def _preparable(self) -> list[Preparable]:
        return [scanner for scanner in self._scanners.values() if isinstance(scanner, Preparable)]

    async def _report(
        self, name: ScannerName, lock: Lock, on_progress: ReportCallback | None
    ) -> ScannerReport:
        scanner = self._scanners.get(name)
        if scanner is None:
            report = failed(name, f"the scanner {name.value} is required but not configured", retryable=False)
        else:
            async with self._turns:
                started = asyncio.get_running_loop().time()
                report = _checked(await self._run(scanner, lock), name=name, expected=packages_of(lock, name))
                self._on_report(report, asyncio.get_running_loop().time() - started)
        if on_progress:
            on_progress(report)
        return report

    async def _run(self, scanner: Scanner, lock: Lock) -> ScannerReport:
        task = asyncio.ensure_future(scanner.scan(lock))
        try:
            done, _ = await asyncio.wait({task}, timeout=self._deadline)
            if not done:
                how = f"Timeout: {scanner.name.value} did not end within {self._deadline:g} s"
                message = f"{how} and was ended.{_TRIED_AGAIN}"
                return failed(scanner.name, message, retryable=True)
            return task.result()
        except asyncio.CancelledError as error:
            if task.done() and task.cancelled():
                return _crashed(scanner.name, error)
            raise
        except Exception as error:  # noqa: BLE001,RUF100 - whatever it is, it is not a pass
            return _crashed(scanner.name, error)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_CLEAN_UP_SECONDS)


def _crashed(name: ScannerName, error: BaseException) -> ScannerReport:
    text = " ".join(str(error).split())[:_MAX_ERROR]
    return failed(name, f"{type(error).__name__}: {text}" if text else type(error).__name__, retryable=True)


def _checked(report: ScannerReport, *, name: ScannerName, expected: frozenset[PackageId]) -> ScannerReport:
    """Return the report, or an error where it contradicts itself or does not cover the lock."""
    if report.scanner is not name:
        return failed(name, f"the report is {report.scanner.value}'s", retryable=False)
    if report.state is ScanState.ERROR:
        return report
    if report.audited != expected:
        message = f"{INCOMPLETE_COVERAGE}: {_difference(report.audited, expected)}"
        return failed(name, message, audited=report.audited, retryable=True)
    if (report.state is ScanState.FINDINGS) != bool(report.findings):
        message = f"the report says {report.state.value} with {len(report.findings)} findings"
        return failed(name, message, audited=report.audited, retryable=False)
    return report


def _difference(audited: frozenset[PackageId], expected: frozenset[PackageId]) -> str:
    parts = [
        f"{len(packages)} {what}: {', '.join(map(str, sorted(packages)[:_SHOWN]))}"
        for packages, what in ((expected - audited, "not audited"), (audited - expected, "not in the lock"))
        if packages
    ]
    return "; ".join(parts)

"""pip-audit that is started before there is a lock: the same answer, and never a process too many."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from scan_support import until_ended

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.domain.finding import ScannerReport, ScanState
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import Ecosystem
from skillwarden.scan.ahead import Ahead
from skillwarden.scan.pip_audit import PipAuditScanner
from skillwarden.scan.runner import ScanRunner

MakeLock = Callable[..., Lock]
MakeIndex = Callable[..., AdvisoryIndex]
MakeAdvisory = Callable[..., dict[str, Any]]
#: The real pip-audit, which notes that it was started before it reads anything.
NOTED = """\
    import os, runpy
    with open({starts!r}, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    runpy.run_module("pip_audit", run_name="__main__", alter_sys=True)
    """


@dataclass
class Noted:
    """A scanner, and what it started."""

    index: AdvisoryIndex
    starts: Path
    scanner: PipAuditScanner = field(init=False)

    def __post_init__(self) -> None:
        script = self.starts.with_name("noted_pip_audit.py")
        script.write_text(textwrap.dedent(NOTED.format(starts=str(self.starts))))
        command = (sys.executable, "-I", str(script))
        self.scanner = PipAuditScanner(lambda: self.index, command=command)

    def pids(self) -> list[int]:
        return [int(line) for line in self.starts.read_text().split()] if self.starts.exists() else []

    async def until_started(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.pids()) < count:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def noted(index: AdvisoryIndex, folder: Path) -> AsyncIterator[Noted]:
    told = Noted(index, folder / "starts")
    try:
        yield told
    finally:
        await told.scanner.close()
    await until_ended(told.pids())


def ids(report: ScannerReport) -> set[str]:
    assert report.state is not ScanState.ERROR, report.error
    return {finding.id for finding in report.findings}


async def test_the_one_that_was_started_ahead_answers(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path
) -> None:
    async with noted(make_index(make_advisory("PYSEC-1", "widget")), tmp_path) as told:
        await told.scanner.prepare()
        await told.until_started(1)
        await told.scanner.prepare()
        assert ids(await told.scanner.scan(make_lock("widget==1.0", "other==1"))) == {"PYSEC-1"}
        assert len(told.pids()) == 1
        # It served one lock; the next has its own.
        assert ids(await told.scanner.scan(make_lock("another==1"))) == set()
        assert len(told.pids()) == 2


async def test_one_that_was_started_over_other_advisories_is_not_asked(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path
) -> None:
    async with noted(make_index(make_advisory("PYSEC-1", "widget")), tmp_path) as told:
        await told.scanner.prepare()
        await told.until_started(1)
        told.index = make_index(make_advisory("PYSEC-2", "widget"))
        assert ids(await told.scanner.scan(make_lock("widget==1.0"))) == {"PYSEC-2"}


async def test_a_scan_takes_the_answer_that_was_begun_with_the_versions(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path
) -> None:
    lock = make_lock("widget==1.0", "other==1")
    versions = frozenset(package.id for package in lock.packages)
    async with noted(make_index(make_advisory("PYSEC-1", "widget")), tmp_path) as told:
        runner = ScanRunner([told.scanner], deadline_seconds=30, max_concurrency=1)
        await runner.prepare({Ecosystem.PYPI})
        runner.look_ahead(versions)
        runner.look_ahead(versions)
        [report] = (await runner.scan(lock, advisory_revision="r")).reports
        assert ids(report) == {"PYSEC-1"}
        assert report.audited == versions
        assert len(told.pids()) == 1


async def test_what_was_begun_over_other_advisories_or_for_another_lock_is_no_answer(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path
) -> None:
    lock = make_lock("widget==1.0")
    async with noted(make_index(make_advisory("PYSEC-1", "widget")), tmp_path) as told:
        told.scanner.look_ahead(frozenset(package.id for package in lock.packages))
        await told.until_started(1)
        told.index = make_index(make_advisory("PYSEC-2", "widget"), make_advisory("PYSEC-3", "other"))
        assert ids(await told.scanner.scan(lock)) == {"PYSEC-2"}
        told.scanner.look_ahead(frozenset(package.id for package in lock.packages))
        assert ids(await told.scanner.scan(make_lock("widget==1.0", "other==1"))) == {"PYSEC-2", "PYSEC-3"}


async def test_advisories_that_come_after_it_was_begun_are_looked_at(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    lock = make_lock("widget==1.0")
    index: AdvisoryIndex | None = None
    scanner = PipAuditScanner(lambda: index)
    scanner.look_ahead(frozenset(package.id for package in lock.packages))
    await asyncio.sleep(0)
    index = make_index(make_advisory("PYSEC-1", "widget"))
    assert ids(await scanner.scan(lock)) == {"PYSEC-1"}
    await scanner.close()


async def test_one_that_was_begun_and_hangs_is_ended_with_its_scan(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    code = f"import os, time; open({str(starts)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    index = make_index(make_advisory("PYSEC-1", "widget"))
    scanner = PipAuditScanner(lambda: index, command=(sys.executable, "-I", "-c", code))
    lock = make_lock("widget==1.0")
    scanner.look_ahead(frozenset(package.id for package in lock.packages))
    async with asyncio.timeout(30):
        while not (starts.exists() and starts.read_text()):
            await asyncio.sleep(0.02)
    runner = ScanRunner([scanner], deadline_seconds=0.2, max_concurrency=1)
    [report] = (await runner.scan(lock, advisory_revision="r")).reports
    assert (report.state, report.retryable) == (ScanState.ERROR, True)
    await until_ended([int(starts.read_text())])


async def test_only_so_many_that_nobody_asked_for_are_kept(make_lock: MakeLock) -> None:
    ahead = Ahead[int](limit=2)
    ended = list[int]()

    async def ask(number: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)
        return number

    locks = [frozenset(each.id for each in make_lock(f"a=={number}").packages) for number in range(4)]
    for number, packages in enumerate(locks):
        ahead.begin(packages, partial(ask, number))
        await asyncio.sleep(0)
    assert ahead.claim(locks[0]) is None
    await ahead.close()
    assert sorted(ended) == [0, 1, 2, 3]


async def test_one_that_died_while_it_waited_is_replaced(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path
) -> None:
    async with noted(make_index(make_advisory("PYSEC-1", "widget")), tmp_path) as told:
        await told.scanner.prepare()
        await told.until_started(1)
        [pid] = told.pids()
        os.kill(pid, signal.SIGKILL)
        await until_ended([pid])
        report = await told.scanner.scan(make_lock("widget==1.0"))
        if report.state is ScanState.ERROR:
            # Its death had not been seen yet: an error that is worth another try, and never a pass.
            assert report.retryable
            report = await told.scanner.scan(make_lock("widget==1.0"))
        assert ids(report) == {"PYSEC-1"}


async def test_thousands_of_pins_reach_it(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, fake_pip_audit: Any
) -> None:
    """More than a pipe holds at once."""
    command = fake_pip_audit("print(json.dumps({'dependencies': clean}))")
    index = make_index(make_advisory("PYSEC-1", "widget"))
    lock = make_lock(*(f"a-package-with-a-rather-long-name-{number}==1.{number}" for number in range(5000)))
    report = await PipAuditScanner(lambda: index, command=command).scan(lock)
    assert (report.state, len(report.audited)) == (ScanState.PASS, 5000)


async def test_thousands_of_pins_for_one_that_reads_none_are_an_error(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path
) -> None:
    index = make_index(make_advisory("PYSEC-1", "widget"))
    lock = make_lock(*(f"a-package-with-a-rather-long-name-{number}==1.{number}" for number in range(5000)))
    command = (sys.executable, "-I", "-c", "import sys; sys.exit('it reads nothing')")
    report = await PipAuditScanner(lambda: index, command=command).scan(lock)
    assert report.state is ScanState.ERROR
    assert "it reads nothing" in report.error


@pytest.mark.parametrize(("ecosystem", "begun"), [(Ecosystem.PYPI, 1), (Ecosystem.NPM, 0)])
async def test_only_what_the_lock_will_need_is_begun(
    make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path, ecosystem: Ecosystem, begun: int
) -> None:
    async with noted(make_index(make_advisory("PYSEC-1", "widget")), tmp_path) as told:
        runner = ScanRunner([told.scanner], deadline_seconds=30, max_concurrency=1)
        await runner.prepare({ecosystem})
        if begun:
            await told.until_started(1)
        await runner.close()
        assert len(told.pids()) == begun


async def test_advisories_that_are_not_there_prepare_nothing_and_break_nothing(make_lock: MakeLock) -> None:
    scanner = PipAuditScanner(lambda: None)
    runner = ScanRunner([scanner], deadline_seconds=30, max_concurrency=1)
    await runner.prepare({Ecosystem.PYPI})
    result = await runner.scan(make_lock("widget==1.0"), advisory_revision="")
    await runner.close()
    assert [report.state for report in result.reports] == [ScanState.ERROR]

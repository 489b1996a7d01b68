"""The slow stages: whoever asks while one runs is told of its end, too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from skillwarden.depot.fetch import Fetcher
from skillwarden.depot.local import LocalDepot
from skillwarden.depot.protocol import FetchReport
from skillwarden.depot.reading import reader_of
from skillwarden.depot.store import DepotStore
from skillwarden.domain.artefact_facts import MissingArtefact
from skillwarden.domain.assess import Failure
from skillwarden.domain.errors import UnavailableError
from skillwarden.domain.finding import ScannerName, ScanState
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.resolve.intake import parse_python
from skillwarden.scan.artefact import ArtefactScanner
from skillwarden.scan.runner import ScanRunner
from skillwarden.services.stages import Stages, Wanted

LOCK = Lock(platform=Platform(python="3.12", arch="amd64"), packages=())
CONTENT = "sha256:" + "0" * 64
NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def test_two_skills_of_one_content_are_both_told_that_it_is_fetched(tmp_path: Path) -> None:
    nobody = cast("Any", None)
    store = DepotStore(tmp_path)
    async with Fetcher(store) as fetcher:
        stages = Stages(resolver=nobody, scans=nobody, depot=LocalDepot(store, fetcher), now=lambda: NOW)
        opened, told = asyncio.Event(), list[str]()

        async def deliver() -> None:
            await opened.wait()

        for name in ("first", "second"):
            # As the reconcilers do: they ask only where it is said to be due.
            if stages.fetch_due(LOCK, CONTENT):
                stages.fetch(
                    LOCK, CONTENT, None, deliver=deliver, namespace="team", waiter=partial(told.append, name)
                )
            await asyncio.sleep(0)
        opened.set()
        await stages.drain()
        assert sorted(told) == ["first", "second"]
        assert stages.fetched(LOCK, CONTENT) is True


async def test_a_depot_that_cannot_fetch_shows_in_the_scanners_report() -> None:
    """Not in a stage that fails without a word: the skill must say what is wrong."""

    class Down:
        async def put_lock(self, lock: Lock, key: str | None = None) -> None:
            raise UnavailableError("the depot at depot.sock does not answer: refused.")

        async def inspect(self, lock: Lock, hosts: object) -> object:
            await self.put_lock(lock)

        async def get_scan(self, *_: object) -> None:
            return None

    depot: Any = Down()
    scanner = ArtefactScanner(reader_of(depot))
    stages = Stages(
        resolver=cast("Any", None),
        scans=ScanRunner([scanner], deadline_seconds=30, max_concurrency=1),
        depot=depot,
        now=lambda: datetime.now(UTC),
    )
    package = LockedPackage(PackageId.of(Ecosystem.PYPI, "a", "1.0"), Artefact("a.whl", "sha256:" + "a" * 64))
    lock = Lock(Platform("3.12"), (package,))
    required = frozenset({ScannerName.ARTEFACT})
    stages.scan(lock, revision="r", required=required, namespace="team", waiter=lambda: None)
    await stages.drain()
    result = await stages.scan_result(lock, "r", required)
    await stages.close()
    assert result is not None
    [report] = result.reports
    assert (report.state, report.retryable) == (ScanState.ERROR, True)
    assert "the depot at depot.sock does not answer" in report.error


async def test_scanners_are_told_the_versions_while_the_lock_is_made(tmp_path: Path) -> None:
    wanted = Wanted(parse_python(["a==1.0"]).declared, Platform("3.12"))
    package = LockedPackage(PackageId.of(Ecosystem.PYPI, "a", "1.0"), Artefact("a.whl", "sha256:" + "a" * 64))
    told = list[object]()

    class Resolver:
        index_identity = "index"

        async def resolve(self, *_: object, on_versions: Any, **__: object) -> Lock:
            on_versions(frozenset({package.id}))
            told.append("who requires whom")
            return Lock(wanted.platform, (package,))

    async def prepare(_: object) -> None:
        told.append("prepare")

    store = DepotStore(tmp_path)
    async with Fetcher(store) as fetcher:
        stages = Stages(
            resolver=cast("Any", Resolver()),
            scans=cast("Any", SimpleNamespace(prepare=prepare, look_ahead=told.append)),
            depot=LocalDepot(store, fetcher),
            now=lambda: NOW,
        )
        stages.resolve(wanted, previous_lock=None, namespace="team", waiter=lambda: None)
        await stages.drain()
        await stages.close()
    assert told == ["prepare", frozenset({package.id}), "who requires whom"]


async def test_a_depot_that_was_away_is_asked_again_by_itself(tmp_path: Path) -> None:
    """As where the operator of a new release starts before its depot: nobody waits for a resync."""
    platform = Platform("3.12")
    wanted = Wanted(parse_python(["a==1.0"]).declared, platform)
    package = LockedPackage(PackageId.of(Ecosystem.PYPI, "a", "1.0"), Artefact("a.whl", "sha256:" + "a" * 64))
    lock = Lock(platform, (package,))

    class Away:
        away = True

        async def lock_for_key(self, _: str) -> Lock | None:
            if self.away:
                raise UnavailableError("the depot at depot.sock does not answer: refused.")
            return lock

    depot = Away()
    stages = Stages(
        resolver=cast("Any", SimpleNamespace(index_identity="index")),
        scans=cast("Any", None),
        depot=cast("Any", depot),
        now=lambda: datetime.now(UTC),
        retry=timedelta(milliseconds=10),
    )
    told = asyncio.Event()
    assert await stages.resolution(wanted) is None, "it must be asked for, which is tried again"
    stages.resolve(wanted, previous_lock=None, namespace="team", waiter=told.set)
    await stages.drain()
    failure = await stages.resolution(wanted)
    assert isinstance(failure, Failure)
    assert failure.retryable
    assert "the depot at depot.sock does not answer" in failure.message
    depot.away = False
    async with asyncio.timeout(30):
        while not stages.resolve_due(wanted, told.set):
            told.clear()
            await told.wait()
    stages.resolve(wanted, previous_lock=None, namespace="team", waiter=told.set)
    await stages.drain()
    assert await stages.resolution(wanted) == lock
    await stages.close()


class Refusing:
    """A depot whose index refuses an artefact until somebody mends the credentials."""

    mended = False
    asked = 0

    async def put_lock(self, lock: Lock, key: str | None = None) -> None:
        """Keep it."""

    async def fetch(self, lock: Lock, hosts: object) -> FetchReport:
        self.asked += 1
        package = PackageId.of(Ecosystem.PYPI, "a", "1.0")
        refused = MissingArtefact(package, "a.whl: the index answered with HTTP status 401.", retryable=False)
        return FetchReport(() if self.mended else (refused,))


async def nothing() -> None:
    """Deliver no content."""


async def test_a_fetch_that_was_refused_is_tried_again_in_time() -> None:
    depot, told = Refusing(), asyncio.Event()
    now = [NOW]
    stages = Stages(
        resolver=cast("Any", None),
        scans=cast("Any", None),
        depot=cast("Any", depot),
        now=lambda: now[0],
        retry_limit=timedelta(milliseconds=10),
    )
    stages.fetch(LOCK, CONTENT, None, deliver=nothing, namespace="team", waiter=told.set)
    await stages.drain()
    failure = stages.fetched(LOCK, CONTENT)
    assert isinstance(failure, Failure)
    assert (failure.reason, failure.retryable) == ("InstallFailed", False)
    assert not stages.fetch_due(LOCK, CONTENT)
    # Whoever waits is told of the failure, and once more when it may be mended.
    told.clear()
    async with asyncio.timeout(30):
        await told.wait()
    now[0] += timedelta(seconds=1)
    depot.mended = True
    assert stages.fetch_due(LOCK, CONTENT)
    stages.fetch(LOCK, CONTENT, None, deliver=nothing, namespace="team", waiter=told.set)
    assert stages.fetched(LOCK, CONTENT) == failure, "until it is known to be mended, nothing changes"
    await stages.drain()
    assert stages.fetched(LOCK, CONTENT) is True
    assert depot.asked == 2
    await stages.close()


async def test_who_comes_during_a_back_off_is_called_when_it_is_over_too() -> None:
    stages = Stages(
        resolver=cast("Any", None),
        scans=cast("Any", None),
        depot=cast("Any", Refusing()),
        now=lambda: datetime.now(UTC),
        retry_limit=timedelta(milliseconds=500),
    )
    stages.fetch(LOCK, CONTENT, None, deliver=nothing, namespace="team", waiter=lambda: None)
    await stages.drain()
    called = asyncio.Event()
    due = False
    async with asyncio.timeout(30):
        while not (due := stages.fetch_due(LOCK, CONTENT, None, called.set)):
            await called.wait()
            called.clear()
    assert due
    await stages.close()


async def test_a_shorter_back_off_is_not_kept_waiting_by_a_longer_one() -> None:
    """As where somebody had to repair something, and then the depot merely did not answer for a moment."""

    class Faltering(Refusing):
        async def fetch(self, lock: Lock, hosts: object) -> FetchReport:
            if self.asked:
                raise UnavailableError("the depot does not answer.")
            return await super().fetch(lock, hosts)

    depot, called = Faltering(), asyncio.Event()
    stages = Stages(
        resolver=cast("Any", None),
        scans=cast("Any", None),
        depot=cast("Any", depot),
        now=lambda: datetime.now(UTC),
        retry=timedelta(milliseconds=10),
        retry_limit=timedelta(hours=1),
    )
    for waiter in (lambda: None, called.set):
        stages.fetch(LOCK, CONTENT, None, deliver=nothing, namespace="team", waiter=waiter)
        await stages.drain()
        called.clear()
    async with asyncio.timeout(30):
        await called.wait()
    await stages.close()


async def test_what_a_sandbox_misses_is_asked_for_whatever_was_refused_before() -> None:
    stages = Stages(
        resolver=cast("Any", None), scans=cast("Any", None), depot=cast("Any", Refusing()), now=lambda: NOW
    )
    stages.fetch(LOCK, CONTENT, None, deliver=nothing, namespace="team", waiter=lambda: None)
    await stages.drain()
    assert not stages.fetch_due(LOCK, CONTENT)
    stages.forget_fetched(LOCK.digest, CONTENT)
    assert stages.fetch_due(LOCK, CONTENT)
    await stages.close()

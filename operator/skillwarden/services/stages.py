"""The slow stages (resolve, scan, fetch): run once for all who ask, remembered, retried where that helps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from ..depot.protocol import Depot
from ..depot.reading import artefact_hosts
from ..domain.assess import Failure
from ..domain.errors import IntegrityError, SkillwardenError, UnavailableError
from ..domain.finding import READS_ARTEFACTS, ScannerName, ScanResult
from ..domain.lock import Lock, Platform, resolution_key
from ..domain.package import DeclaredPackage
from ..domain.pins import Pins
from .fairness import Slots
from .memory import Memory
from .ports import Now, Resolver, Scans
from .stage_failures import RepairNeededError, fetch_failure, resolution_failure, scan_failure

log = structlog.get_logger(__name__)
Waiter = Callable[[], None]
StageCallback = Callable[[str, float, str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a lock is made for.

    Attributes
    ----------
    declared, platform
        What a Skill names, and what artefacts are chosen for.
    refresh
        What whoever wants it made anew wrote; empty: nobody.
    pins
        What the author's own lockfile pins.
    """

    declared: tuple[DeclaredPackage, ...]
    platform: Platform
    refresh: str = ""
    pins: Pins | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    failure: Failure
    retry_at: datetime | None


class Stages:
    """Runs and remembers the slow stages.

    Parameters
    ----------
    resolver, scans, depot
        Who does the work and who keeps its results.
    now
        UTC clock.
    retry, retry_limit
        Back-off after something did not answer; the limit also after somebody must mend something.
    concurrency
        How many slow jobs run at a time; namespaces take turns.
    on_end
        Told stage, seconds and outcome of each, without its wait for a place.
    on_reuse
        Told the stage whose result the depot had.
    """

    def __init__(
        self,
        *,
        resolver: Resolver,
        scans: Scans,
        depot: Depot,
        now: Now,
        retry: timedelta = timedelta(seconds=2),
        retry_limit: timedelta = timedelta(minutes=5),
        concurrency: int = 2,
        on_end: StageCallback = lambda *_: None,
        on_reuse: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._resolver = resolver
        self._scans = scans
        self.depot = depot
        self._now = now
        self._retry = retry
        self._retry_limit = retry_limit
        self._slots = Slots(concurrency)
        self._on_end = on_end
        self._on_reuse = on_reuse
        self._locks: Memory[Lock] = Memory(limit=4096)
        self._running_locks: Memory[Lock] = Memory(limit=256)
        self._scanned: Memory[ScanResult] = Memory(limit=4096)
        self._fetched: Memory[bool] = Memory(limit=8192)
        self._failed: Memory[_Failed] = Memory(limit=4096)
        self._tries: dict[Hashable, int] = {}
        self._running: dict[Hashable, asyncio.Task[None]] = {}
        self._waiters: dict[Hashable, set[Waiter]] = {}
        # Who is called when a failure may be asked about again.
        self._patient: dict[Hashable, set[Waiter]] = {}
        self._alarms: dict[Hashable, asyncio.TimerHandle] = {}

    # -- what is known ---------------------------------------------------------------------------------

    def key(self, wanted: Wanted) -> str:
        """Return the key under which this closure's lock is kept."""
        return resolution_key(
            wanted.declared,
            platform=wanted.platform,
            index=self._resolver.index_identity,
            refresh=wanted.refresh,
            pins=wanted.pins,
        )

    async def resolution(self, wanted: Wanted) -> Lock | Failure | None:
        """Return the lock, why there is none, or ``None``: it must be resolved."""
        if not wanted.declared:
            return Lock(platform=wanted.platform, packages=())
        key = self.key(wanted)
        if (lock := self._locks.get(key)) is not None:
            return lock
        if (failure := self._failure(("resolve", key))) is not None:
            return failure
        if ("resolve", key) in self._running:
            return None
        try:
            lock = await self.depot.lock_for_key(key)
        except SkillwardenError as error:
            # The job that this leads to asks once more, says why it failed, and is tried again.
            log.warning("locks cannot be read", error=str(error))
            return None
        if lock is not None:
            self._locks.put(key, lock)
            self._on_reuse("resolve")
        return lock

    async def lock(self, digest: str) -> Lock | None:
        """Return the lock that something runs on, or ``None``: the depot has it not, or does not answer."""
        lock = self._running_locks.get(digest)
        if lock is None:
            try:
                lock = await self.depot.get_lock(digest)
            except SkillwardenError as error:
                log.warning("a lock cannot be read", lock=digest, error=str(error))
            if lock is not None:
                self._running_locks.put(digest, lock)
        return lock

    async def content(self, digest: str) -> bytes | None:
        """Return a skill's packed files, or ``None``: the depot has them not, or does not answer."""
        try:
            return await self.depot.get_content(digest)
        except SkillwardenError as error:
            log.warning("a skill's files cannot be read", content=digest, error=str(error))
            return None

    async def scan_result(
        self, lock: Lock, revision: str, required: frozenset[ScannerName]
    ) -> ScanResult | None:
        """Return the result for a lock at this revision, or ``None``: it must be scanned.

        One that a required scanner has no part in is none: other policies asked for it than apply now.
        """
        key = (lock.digest, revision)
        known = self._scanned.get(key)
        if not _covers(known, required) and ("scan", *key) not in self._running:
            try:
                known = await self.depot.get_scan(lock.digest, revision)
            except SkillwardenError as error:
                log.warning("scan results cannot be read", error=str(error))
            if known is not None:
                self._scanned.put(key, known)
                self._on_reuse("scan")
        return known if _covers(known, required) else None

    def fetched(
        self, lock: Lock, content_digest: str, input_digest: str | None = None
    ) -> bool | Failure | None:
        """Return whether the depot holds all that a sandbox needs."""
        key = ("fetch", lock.digest, content_digest, input_digest)
        if self._fetched.get(key):
            return True
        return self._failure(key)

    def forget_fetched(self, lock_digest: str, content_digest: str, input_digest: str | None = None) -> None:
        """Ask the depot again: a sandbox said that something is missing."""
        key = ("fetch", lock_digest, content_digest, input_digest)
        self._fetched.drop(key)
        self._failed.drop(key)

    def _failure(self, key: Hashable) -> Failure | None:
        failed = self._failed.get(key)
        return failed.failure if failed is not None else None

    def _due(self, key: Hashable, waiter: Waiter | None) -> bool:
        """Whether to ask for a stage that failed; also while somebody's try runs, to wait for its end.

        A waiter is called when it is, whoever's try it was that failed.
        """
        if key in self._running:
            return True
        failed = self._failed.get(key)
        if failed is None or failed.retry_at is None:
            return False
        left = (failed.retry_at - self._now()).total_seconds()
        if left > 0 and waiter is not None:
            self._call_again(key, {waiter}, left)
        return left <= 0

    def resolve_due(self, wanted: Wanted, waiter: Waiter) -> bool:
        """Whether a resolution that did not get an answer should be tried again."""
        return self._due(("resolve", self.key(wanted)), waiter)

    def scan_due(self, lock: Lock, revision: str, waiter: Waiter) -> bool:
        """Whether a scan in which a scanner failed should be tried again."""
        return self._due(("scan", lock.digest, revision), waiter)

    def fetch_due(
        self,
        lock: Lock,
        content_digest: str,
        input_digest: str | None = None,
        waiter: Waiter | None = None,
    ) -> bool:
        """Whether to ask for a fetch: the first, another try, or one that runs for another skill's sake."""
        key = ("fetch", lock.digest, content_digest, input_digest)
        return self._due(key, waiter) or self._failed.get(key) is None

    # -- what is done ----------------------------------------------------------------------------------

    def resolve(self, wanted: Wanted, *, previous_lock: str | None, namespace: str, waiter: Waiter) -> None:
        """Resolve a closure in the background; all who ask meanwhile wait for the same answer.

        Whoever wants it made anew (``refresh``) gets it without the previous lock as a preference.
        """
        key = self.key(wanted)

        async def work() -> None:
            # Where the depot did not answer before, nobody has looked.
            lock = await self.depot.lock_for_key(key)
            if lock is None:
                kept = previous_lock if not wanted.refresh else None
                before = await self.depot.get_lock(kept) if kept else None
                await self._scans.prepare({package.ecosystem for package in wanted.declared})
                lock = await self._resolver.resolve(
                    wanted.declared,
                    platform=wanted.platform,
                    preference=before,
                    pins=wanted.pins,
                    on_versions=self._scans.look_ahead,
                )
                await self.depot.put_lock(lock, key)
            self._locks.put(key, lock)

        self._start(("resolve", key), work, resolution_failure, namespace, waiter)

    def scan(
        self,
        lock: Lock,
        *,
        revision: str,
        required: frozenset[ScannerName],
        namespace: str,
        waiter: Waiter,
    ) -> None:
        """Scan a lock in the background, also with what others required of it before."""
        key = ("scan", lock.digest, revision)

        async def work() -> None:
            before = self._scanned.get(key[1:])
            scanners = required | {report.scanner for report in before.reports} if before else required
            if scanners & READS_ARTEFACTS:
                await self._bring(lock)
            result = await self._scans.scan(lock, advisory_revision=revision, required=scanners)
            self._scanned.put(key[1:], result)
            failed = [report for report in result.reports if report.error]
            if failed:
                retryable = any(report.retryable for report in failed)
                error = UnavailableError if retryable else RepairNeededError
                raise error("a scanner failed; its report says why.")
            await self.depot.put_scan(result)

        self._start(key, work, scan_failure, namespace, waiter)

    async def _bring(self, lock: Lock) -> None:
        """Have the depot fetch a closure within its own bounds; the scanner reports what is missing."""
        try:
            await self.depot.put_lock(lock)
            await self.depot.fetch(lock, artefact_hosts(lock))
        except SkillwardenError as error:
            log.warning("artefacts cannot be fetched to be read", lock=lock.digest, error=str(error))

    def fetch(
        self,
        lock: Lock,
        content_digest: str,
        input_digest: str | None,
        *,
        deliver: Callable[[], Awaitable[None]],
        namespace: str,
        waiter: Waiter,
    ) -> None:
        """Have the depot hold a closure and, through ``deliver``, the content and the input."""
        key = ("fetch", lock.digest, content_digest, input_digest)

        async def work() -> None:
            await deliver()
            await self.depot.put_lock(lock)
            report = await self.depot.fetch(lock, artefact_hosts(lock))
            if not report.complete:
                text = "; ".join(f"{item.package}: {item.message}" for item in report.missing[:3])
                error = UnavailableError if report.retryable else IntegrityError
                raise error(f"{len(report.missing)} artefact(s) cannot be had: {text}")
            self._fetched.put(key, True)

        self._start(key, work, fetch_failure, namespace, waiter)

    def _start(
        self,
        key: tuple[Hashable, ...],
        work: Callable[[], Awaitable[None]],
        failure_of: Callable[[Exception], Failure],
        namespace: str,
        waiter: Waiter,
    ) -> None:
        self._waiters.setdefault(key, set()).add(waiter)
        if key in self._running:
            self._slots.join(key, namespace)
        else:
            self._running[key] = asyncio.create_task(self._run(key, work, failure_of, namespace))

    async def _run(
        self,
        key: tuple[Hashable, ...],
        work: Callable[[], Awaitable[None]],
        failure_of: Callable[[Exception], Failure],
        namespace: str,
    ) -> None:
        delay: float | None = None
        loop = asyncio.get_running_loop()
        started, outcome = loop.time(), "ok"
        try:
            async with self._slots.slot(key, namespace):
                started = loop.time()
                await work()
            self._failed.drop(key)
            self._tries.pop(key, None)
        except Exception as error:
            failure = failure_of(error)
            outcome = "retry" if failure.retryable else "failed"
            delay = self._delay(key, error, failure)
            retry_at = self._now() + timedelta(seconds=delay) if delay is not None else None
            self._failed.put(key, _Failed(failure, retry_at))
            if not isinstance(error, SkillwardenError):
                log.exception("a stage broke", stage=str(key))
        finally:
            del self._running[key]
            waiters = self._waiters.pop(key, set())
            self._on_end(str(key[0]), loop.time() - started, outcome)
        for waiter in waiters:
            waiter()
        if delay is not None:
            self._call_again(key, waiters, delay)

    def _call_again(self, key: Hashable, waiters: set[Waiter], seconds: float) -> None:
        """Have them called once a failure may be asked about again; the earliest moment counts."""
        self._patient.setdefault(key, set()).update(waiters)
        loop = asyncio.get_running_loop()
        # No later than after the longest back-off, be it that the clock was set back.
        due = loop.time() + min(seconds, self._retry_limit.total_seconds()) + 0.05
        alarm = self._alarms.get(key)
        if alarm is not None and alarm.when() <= due:
            return
        if alarm is not None:
            alarm.cancel()
        self._alarms[key] = loop.call_at(due, self._call, key)

    def _call(self, key: Hashable) -> None:
        self._alarms.pop(key, None)
        for waiter in self._patient.pop(key, ()):
            waiter()

    def _delay(self, key: tuple[Hashable, ...], error: Exception, failure: Failure) -> float | None:
        """Return after how many seconds to try again; ``None``: it would end the same."""
        if isinstance(error, RepairNeededError) or (key[0] == "fetch" and not failure.retryable):
            # The same lock, and somebody may mend credentials, hosts or the index without a word to us.
            return self._retry_limit.total_seconds()
        if not failure.retryable:
            return None
        tries = self._tries.get(key, 0)
        self._tries[key] = tries + 1
        patience: timedelta = self._retry * 2 ** min(tries, 20)
        return min(self._retry_limit, patience).total_seconds()

    async def drain(self) -> None:
        """Wait until nothing runs; for `skillwarden check` and tests."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    async def close(self) -> None:
        """Cancel what runs."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _covers(result: ScanResult | None, required: frozenset[ScannerName]) -> bool:
    return result is not None and required <= {report.scanner for report in result.reports}

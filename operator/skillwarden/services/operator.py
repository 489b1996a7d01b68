"""The operator's heart: has each key of the queue reconciled, at most one worker at a time for a key.

What watches bring goes to ``watched``, which keys it concerns is told by ``concerns``, and what to do about
a key is the reconcilers'.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from ..domain.conditions import ScannedReason
from ..domain.errors import SkillwardenError
from ..kube.kinds import Kind
from .canary import CanaryProber
from .concerns import Concerns
from .marks import Marker
from .ports import Body, Cluster, Feed, NameFindings, Observer, SandboxSetup, SourceFindings, Timing
from .reconcile_accepted import AcceptedReconciler
from .reconcile_approval import ApprovalReconciler
from .reconcile_run import RunReconciler
from .reconcile_skill import SkillReconciler
from .records import SkillRecord
from .requeue import Key, Requeue, namespace_of
from .status import locked_names
from .store import Store
from .strays import StrayCatcher
from .watched import Watched
from .workqueue import WorkQueue

log = structlog.get_logger(__name__)

#: Skills that are looked at before others get their turn on the loop.
_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What ``runtime`` wires together."""

    store: Store
    cluster: Cluster
    skills: SkillReconciler
    runs: RunReconciler
    accepted: AcceptedReconciler
    approvals: ApprovalReconciler
    strays: StrayCatcher
    feed: Feed
    setup: SandboxSetup
    timing: Timing
    name_findings: NameFindings
    source_findings: SourceFindings
    observer: Observer
    canary: CanaryProber | None = None
    marker: Marker | None = None


class Operator:
    """Keeps the store and works the queue.

    Parameters
    ----------
    parts
        Its collaborators.
    workers
        How many keys are reconciled at a time.
    """

    def __init__(self, parts: Parts, *, workers: int = 8) -> None:
        self._parts = parts
        self._workers = workers
        self.queue: WorkQueue[Key] = WorkQueue(lane=namespace_of, on_wait=parts.observer.waited)
        #: Set once another operator may lead: this one writes nothing any more, and ends.
        self.lost = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._revision: str | None = None
        self._concerns = Concerns(parts.store, self.queue)
        self._watched = Watched(
            store=parts.store,
            cluster=parts.cluster,
            concerns=self._concerns,
            name_findings=parts.name_findings,
            source_findings=parts.source_findings,
            setup=parts.setup,
        )

    # -- life ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """List the world once in full; nothing is judged before, nor until this operator leads."""
        await self.relist()
        self._parts.store.primed = True

    async def lead(self) -> None:
        """Start the workers: from now on this operator acts.

        Until now it kept its store and queued nothing: what came and went meanwhile is nobody's work.
        """
        await self._parts.skills.prime()
        self._revision = self._parts.feed.revision
        self._concerns.lead()
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{n}") for n in range(self._workers)]
        self._tasks.append(asyncio.create_task(self._resync(), name="resync"))
        self._tasks.append(asyncio.create_task(self._follow_advisories(), name="advisories"))
        if self._parts.marker is not None:
            self._tasks.append(asyncio.create_task(self._parts.marker.run(), name="marks"))
        if self._parts.canary is not None:
            self._tasks.append(asyncio.create_task(self._parts.canary.run(), name="canary"))

    def isolation_changed(self) -> None:
        """Queue every skill: what is known of the network's isolation is another than before."""
        self._concerns.everything()

    async def stop(self) -> None:
        """Let go of the queue and end the workers."""
        self.queue.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def primed(self) -> bool:
        """Whether the world was listed once in full."""
        return self._parts.store.primed

    def backlog(self) -> int:
        """Count the keys that wait for a worker; an operator that only watches has none."""
        return len(self.queue)

    def outcomes(self) -> Counter[tuple[str, str]]:
        """Count the Skills by verdict and by the reason of Ready; both empty before the first status."""
        return Counter(record.outcome for record in self._parts.store.skills.values())

    def conditions(self) -> Counter[tuple[str, str]]:
        """Count the Skills by type and status of each of their conditions."""
        records = self._parts.store.skills.values()
        return Counter(condition for record in records for condition in record.conditions)

    def stuck(self) -> str:
        """Say what does not go on although it should; empty where all is well."""
        ended = [task.get_name() for task in self._tasks if task.done()]
        if ended:
            return f"{', '.join(ended)} ended"
        key, seconds = self.queue.longest()
        if key is not None and seconds > 2 * self._parts.timing.reconcile_limit.total_seconds():
            return f"a worker has been on {'/'.join(key)} for {seconds:.0f} s"
        return ""

    # -- observations ----------------------------------------------------------------------------------

    def observe(self, kind: Kind, event: str, body: Body) -> None:
        """Take one observation of a watch, as ``Watched.observe``."""
        self._watched.observe(kind, event, body)

    async def begin_watch(self, kind: Kind, namespace: str | None) -> str:
        """Return from where a watch may begin, as ``Watched.begin_watch``."""
        return await self._watched.begin_watch(kind, namespace)

    async def relist(self) -> None:
        """Replace the whole store by lists of our own, and queue every key."""
        await self._watched.relist()

    # -- work ------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            key = await self.queue.get()
            started = loop.time()
            outcome = "ok"
            failures = self.queue.failures(key)
            try:
                async with asyncio.timeout(self._parts.timing.reconcile_limit.total_seconds()):
                    await self._dispatch(key)
                if self.queue.failures(key) == failures:
                    self.queue.forget(key)
            except SkillwardenError as error:
                outcome = "retry"
                delay = self.queue.retry(key)
                log.warning("reconcile will be tried again", key="/".join(key), delay=delay, error=str(error))
            except TimeoutError:
                outcome = "timeout"
                delay = self.queue.retry(key)
                log.error("a reconcile took too long and was ended", key="/".join(key), delay=delay)
            except Exception:
                outcome = "error"
                delay = self.queue.retry(key)
                log.exception("reconcile broke", key="/".join(key), delay=delay)
            finally:
                self.queue.done(key)
                self._parts.observer.reconciled(key[0], loop.time() - started, outcome)

    async def _dispatch(self, key: Key) -> None:
        kind, namespace, name = key
        requeue = Requeue(self.queue, key)
        parts = self._parts
        match kind:
            case "Skill":
                await parts.skills.reconcile(namespace, name, requeue)
            case "SkillRun":
                await parts.runs.reconcile(namespace, name, requeue)
            case "PackagePolicy":
                await parts.accepted.reconcile(Kind.PACKAGE_POLICY, namespace, name, requeue)
            case "PackageApproval":
                await parts.approvals.reconcile(namespace, name, requeue)
            case "ClusterPackagePolicy":
                await parts.accepted.reconcile(Kind.CLUSTER_PACKAGE_POLICY, namespace, name, requeue)
            case "Agent":
                await parts.accepted.reconcile(Kind.AGENT, namespace, name, requeue)
            case "Pod":
                await parts.strays.reconcile(namespace, name)

    async def _resync(self) -> None:
        """List everything now and then; retried until the API server answers."""
        timing = self._parts.timing
        while True:
            # Spread, so that many operators do not list at one moment.
            await asyncio.sleep(timing.resync.total_seconds() * random.uniform(0.9, 1.1))  # noqa: S311 - no secret
            while True:
                try:
                    await self.relist()
                    break
                except SkillwardenError as error:
                    log.warning("the world cannot be listed", error=str(error))
                    await asyncio.sleep(timing.retry.total_seconds())

    async def _follow_advisories(self) -> None:
        """Judge anew when the advisories changed, or were found to be current."""
        synced_at = self._parts.feed.synced_at
        while True:
            await asyncio.sleep(self._parts.timing.advisory_poll.total_seconds())
            revision = self._parts.feed.revision
            if revision != self._revision:
                self._revision = revision
                touched = [record async for record in self._touched()]
                log.info("advisories changed", revision=revision, skills=len(touched))
                self._concerns.skills(touched)
            elif self._parts.feed.synced_at != synced_at:
                # The same advisories, looked at later: it matters only to those that they were too old for.
                self._concerns.skills(
                    record for record in self._parts.store.skills.values() if _was_stale(record)
                )
            synced_at = self._parts.feed.synced_at

    async def _touched(self) -> AsyncIterator[SkillRecord]:
        """Yield the Skills whose last scan was made with other advisories about their packages than these."""
        for number, record in enumerate(self._parts.store.skills.values()):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            status = record.status
            names = locked_names(status)
            scanned = (status.get("scan") or {}).get("advisoryRevision")
            other = names is None or (names and self._parts.feed.revision_of(names) != scanned)
            if other or _was_stale(record):
                yield record


def _was_stale(record: SkillRecord) -> bool:
    conditions = record.status.get("conditions") or []
    return any(item.get("reason") == ScannedReason.ADVISORIES_STALE for item in conditions)

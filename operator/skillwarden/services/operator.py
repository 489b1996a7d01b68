"""The operator's heart: takes what watches bring, keeps the store, and has each key reconciled.

Which keys an observation concerns is decided here, by kind; what to do about a key is the reconcilers'.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from ..domain.conditions import ScannedReason
from ..domain.errors import SkillwardenError
from ..kube.kinds import Kind
from .observe import SANDBOX_SELECTOR, NetworkPolicyRecord, network_policy_record, pod_record
from .ports import Body, Cluster, Feed, NameFindings, SandboxSetup, Timing
from .reconcile_accepted import AcceptedReconciler
from .reconcile_run import RunReconciler
from .reconcile_skill import SkillReconciler
from .records import SkillRecord, agent_record, key_of, policy_record, run_record, skill_record
from .requeue import Key, Requeue
from .store import Store
from .strays import StrayCatcher
from .table import Name, Table
from .workqueue import WorkQueue

log = structlog.get_logger(__name__)

#: What is watched and listed, and with which label selector at the server.
WATCHED: dict[Kind, str] = {
    Kind.NAMESPACE: "",
    Kind.CLUSTER_PACKAGE_POLICY: "",
    Kind.PACKAGE_POLICY: "",
    Kind.AGENT: "",
    Kind.NETWORK_POLICY: "",
    Kind.SKILL: "",
    Kind.SKILL_RUN: "",
    Kind.POD: SANDBOX_SELECTOR,
}
#: For how many retry delays the first lists of watches are waited for before we list all the same.
FIRST_LIST_ROUNDS = 10
SKILL, RUN, AGENT, POLICY, CLUSTER_POLICY, STRAY = (
    "Skill",
    "SkillRun",
    "Agent",
    "PackagePolicy",
    "ClusterPackagePolicy",
    "Pod",
)


class Observer(Protocol):
    """Told how long each reconcile took and how it ended; for metrics."""

    def reconciled(self, kind: str, seconds: float, outcome: str) -> None:
        """Take note."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What ``runtime`` wires together."""

    store: Store
    cluster: Cluster
    skills: SkillReconciler
    runs: RunReconciler
    accepted: AcceptedReconciler
    strays: StrayCatcher
    feed: Feed
    setup: SandboxSetup
    timing: Timing
    name_findings: NameFindings
    observer: Observer


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
        self.queue: WorkQueue[Key] = WorkQueue()
        self._tasks: list[asyncio.Task[None]] = []
        self._revision: str | None = None
        self._relist_wanted = asyncio.Event()
        # What watches brought of a kind while it is being listed: newer than the list.
        self._overtaken: dict[Kind, set[Name]] = {}
        self._listing = asyncio.Lock()

    # -- life ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """List the world once in full, then start the workers; nothing is judged before."""
        await self.relist()
        await self._parts.skills.prime()
        self._parts.store.primed = True
        self._revision = self._parts.feed.revision
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{n}") for n in range(self._workers)]
        self._tasks.append(asyncio.create_task(self._resync(), name="resync"))
        self._tasks.append(asyncio.create_task(self._follow_advisories(), name="advisories"))

    async def stop(self) -> None:
        """Let go of the queue and end the workers."""
        self.queue.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    @property
    def primed(self) -> bool:
        """Whether the world was listed once in full and the workers run."""
        return self._parts.store.primed and bool(self._tasks)

    def relist_soon(self) -> None:
        """List the world anew: a watch was away, and was told nothing of what it missed."""
        self._relist_wanted.set()

    async def relist(self, *, changed_only: bool = False) -> None:
        """Replace the whole store by lists of our own.

        A watch says nothing when its first list ends, and is told nothing of an object that was deleted while
        it was away (DESIGN 6).

        Parameters
        ----------
        changed_only
            Queue only what the lists show to be another than was known; otherwise every key.
        """
        async with self._listing:
            for kind, selector in WATCHED.items():
                overtaken = self._overtaken[kind] = set()
                try:
                    listing = await self._parts.cluster.list(kind, label_selector=selector)
                finally:
                    del self._overtaken[kind]
                self._replace(kind, listing.items, overtaken=overtaken, changed_only=changed_only)

    def _replace(
        self, kind: Kind, items: Iterable[Body], *, overtaken: set[Name], changed_only: bool
    ) -> None:
        table, project = self._table(kind)
        before = {name: table.get(name) for name in table}
        records = {name: known for name in overtaken if (known := before.get(name)) is not None}
        for body in items:
            key = key_of(body)
            name = (key.namespace, key.name)
            if name in overtaken:
                continue
            known = before.get(name)
            current = known is not None and (_older(body, known) or _same_version(body, known))
            records[name] = known if current else project(body)
        gone = table.replace(records)
        for name in (*sorted(gone), *records):
            old, new = before.get(name), table.get(name)
            if not (changed_only and unchanged(old, new)):
                self._concerns(kind, name, old, new)

    def _table(self, kind: Kind) -> tuple[Table[Any], Callable[[Body], Any]]:
        store, parts = self._parts.store, self._parts
        match kind:
            case Kind.SKILL:
                return store.skills, lambda body: skill_record(body, name_findings=parts.name_findings)
            case Kind.SKILL_RUN:
                return store.runs, run_record
            case Kind.PACKAGE_POLICY:
                return store.policies, lambda body: policy_record("PackagePolicy", body)
            case Kind.CLUSTER_PACKAGE_POLICY:
                return store.cluster_policies, lambda body: policy_record("ClusterPackagePolicy", body)
            case Kind.AGENT:
                return store.agents, agent_record
            case Kind.NAMESPACE:
                return store.namespaces, lambda body: dict(body["metadata"].get("labels") or {})
            case Kind.NETWORK_POLICY:
                return store.network_policies, network_policy_record
            case Kind.POD:
                return store.pods, lambda body: pod_record(body, seal_key=parts.setup.seal_key)
            case _:
                raise ValueError(f"{kind} is not watched")

    # -- observations ----------------------------------------------------------------------------------

    def observe(self, kind: Kind, event: str | None, body: Body) -> None:
        """Take one observation of a watch.

        Parameters
        ----------
        kind
            Of the object.
        event
            ``ADDED``, ``MODIFIED``, ``DELETED``; ``None`` for the watch's first list.
        body
            The object.
        """
        table, project = self._table(kind)
        key = key_of(body)
        name = (key.namespace, key.name)
        before = table.get(name)
        if kind in self._overtaken:
            self._overtaken[kind].add(name)
        if event is None:
            # The watch begins with a list, and does not say what was deleted before it.
            self._relist_wanted.set()
            if before is not None and _same_version(body, before):
                return
        if event == "DELETED":
            table.drop(name)
            if kind is Kind.POD:
                # It may only have lost its label: then it still runs.
                self.queue.add((STRAY, *name))
            self._concerns(kind, name, before, None)
            return
        if before is not None and _older(body, before):
            return
        record = project(body)
        table.put(name, record)
        self._concerns(kind, name, before, record)

    def _concerns(self, kind: Kind, name: Name, before: Any, after: Any) -> None:  # noqa: PLR0912 - a table
        """Queue every key that an observation bears on."""
        namespace = name[0]
        match kind:
            case Kind.SKILL:
                self._skill(name)
                for run in self._parts.store.runs.grouped(name):
                    self.queue.add((RUN, run.key.namespace, run.key.name))
            case Kind.SKILL_RUN:
                self.queue.add((RUN, *name))
            case Kind.AGENT:
                if _moved(before, after):
                    self._skills(self._parts.store.skills.grouped(namespace))
                self.queue.add((AGENT, *name))
            case Kind.PACKAGE_POLICY:
                if _moved(before, after):
                    self._skills(self._parts.store.skills.grouped(namespace))
                self.queue.add((POLICY, *name))
            case Kind.CLUSTER_PACKAGE_POLICY:
                if _moved(before, after):
                    self._skills(self._parts.store.skills.values())
                self.queue.add((CLUSTER_POLICY, *name))
            case Kind.NAMESPACE:
                if before != after:
                    self._skills(self._parts.store.skills.grouped(name[1]))
            case Kind.NETWORK_POLICY:
                self._network_policy(namespace, before, after)
            case Kind.POD:
                for record in (before, after):
                    self._owner(record)
                if after is not None:
                    self.queue.add((STRAY, *name))

    def _network_policy(self, namespace: str, before: Any, after: Any) -> None:
        """Queue a skill for what is its own; any other may open or close every sandbox of the namespace."""
        if before is not None and after is not None and unchanged(before, after):
            return
        known = [record for record in (before, after) if record is not None]
        if known and all(record.ours and record.owner_name for record in known):
            for record in known:
                self._skill((namespace, record.owner_name))
        else:
            self._skills(self._parts.store.skills.grouped(namespace))

    def _skill(self, name: Name) -> None:
        self.queue.add((SKILL, *name))

    def _skills(self, records: Iterable[Any]) -> None:
        for record in records:
            name = (record.key.namespace, record.key.name)
            self._skill(name)
            for run in self._parts.store.runs.grouped(name):
                self.queue.add((RUN, run.key.namespace, run.key.name))

    def _owner(self, record: Any) -> None:
        if record is None:
            return
        owner = record.owner
        if owner.kind in {SKILL, RUN}:
            self.queue.add((owner.kind, owner.namespace, owner.name))

    # -- work ------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            key = await self.queue.get()
            started = loop.time()
            outcome = "ok"
            failures = self.queue.failures(key)
            try:
                await self._dispatch(key)
                if self.queue.failures(key) == failures:
                    self.queue.forget(key)
            except SkillwardenError as error:
                outcome = "retry"
                delay = self.queue.retry(key)
                log.warning("reconcile will be tried again", key="/".join(key), delay=delay, error=str(error))
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
            case "ClusterPackagePolicy":
                await parts.accepted.reconcile(Kind.CLUSTER_PACKAGE_POLICY, namespace, name, requeue)
            case "Agent":
                await parts.accepted.reconcile(Kind.AGENT, namespace, name, requeue)
            case "Pod":
                await parts.strays.reconcile(namespace, name)

    async def _resync(self) -> None:
        """List everything now and then, and after a watch was away; retried until the API server answers."""
        loop, timing = asyncio.get_running_loop(), self._parts.timing
        pause = timing.resync.total_seconds()
        full_due = loop.time() + pause
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(full_due):
                    await self._relist_wanted.wait()
                    await self._first_lists_over()
            self._relist_wanted.clear()
            full = loop.time() >= full_due
            try:
                await self.relist(changed_only=not full)
            except SkillwardenError as error:
                log.warning("the world cannot be listed", error=str(error))
                await asyncio.sleep(timing.retry.total_seconds())
                self._relist_wanted.set()
                continue
            if full:
                # Spread, so that many operators do not list at one moment.
                full_due = loop.time() + pause * random.uniform(0.9, 1.1)  # noqa: S311 - no secret

    async def _first_lists_over(self) -> None:
        """Wait until no watch brings its first list any more, object by object; but not for ever."""
        for _ in range(FIRST_LIST_ROUNDS):
            self._relist_wanted.clear()
            await asyncio.sleep(self._parts.timing.retry.total_seconds())
            if not self._relist_wanted.is_set():
                return

    async def _follow_advisories(self) -> None:
        """Judge anew when the advisories changed, or were found to be current."""
        synced_at = self._parts.feed.synced_at
        while True:
            await asyncio.sleep(self._parts.timing.advisory_poll.total_seconds())
            revision = self._parts.feed.revision
            if revision != self._revision:
                self._revision = revision
                log.info("advisories changed", revision=revision)
                self._skills(self._parts.store.skills.values())
            elif self._parts.feed.synced_at != synced_at:
                # The same advisories, looked at later: it matters only to those that they were too old for.
                self._skills(record for record in self._parts.store.skills.values() if _was_stale(record))
            synced_at = self._parts.feed.synced_at


def _was_stale(record: SkillRecord) -> bool:
    conditions = record.status.get("conditions") or []
    return any(item.get("reason") == ScannedReason.ADVISORIES_STALE for item in conditions)


def _moved(before: Any, after: Any) -> bool:
    """Whether a policy says something else than before: its status alone does not count."""
    if before is None or after is None:
        return before is not after
    return (before.uid, before.generation) != (after.uid, after.generation)


def _same_version(body: Body, known: Any) -> bool:
    """Whether a body is the very version of the object that is known, so that nothing is new in it."""
    version = getattr(known, "resource_version", "")
    same = getattr(getattr(known, "key", known), "uid", None) == body["metadata"].get("uid")
    return bool(version) and same and version == str(body["metadata"].get("resourceVersion", ""))


def unchanged(before: Any, after: Any) -> bool:
    """Whether two records of one object say the same."""
    if isinstance(before, NetworkPolicyRecord) and isinstance(after, NetworkPolicyRecord):
        return before.facts == after.facts
    return bool(before == after)


def _older(body: Body, known: Any) -> bool:
    """Whether an observation is older than what is known of the same object: a relist may be overtaken.

    Resource versions are ordered within one resource of one API server (KEP-5504); where they are not
    numbers, the observation is taken.
    """
    known_version = getattr(known, "resource_version", "")
    version = str(body["metadata"].get("resourceVersion", ""))
    same = getattr(getattr(known, "key", None), "uid", None) == body["metadata"].get("uid")
    if not (same and known_version.isdecimal() and version.isdecimal()):
        return False
    return int(version) < int(known_version)

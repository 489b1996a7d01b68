"""The operator's heart: takes what watches bring, keeps the store, and has each key reconciled.

Which keys an observation concerns is decided here, by kind; what to do about a key is the reconcilers'.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from ..domain.conditions import ScannedReason
from ..domain.errors import SkillwardenError
from ..kube.kinds import Kind
from . import recency
from .approvals import requests_of
from .canary import CanaryProber
from .marks import Marker
from .observe import SANDBOX_SELECTOR, NetworkPolicyRecord, network_policy_record, pod_record
from .ports import Body, Cluster, Feed, NameFindings, Observer, SandboxSetup, SourceFindings, Timing
from .reconcile_accepted import AcceptedReconciler
from .reconcile_approval import ApprovalReconciler
from .reconcile_run import RunReconciler
from .reconcile_skill import SkillReconciler
from .records import (
    ApprovalRecord,
    SkillRecord,
    agent_record,
    approval_record,
    key_of,
    policy_record,
    run_record,
    skill_record,
)
from .requeue import Key, Requeue, namespace_of
from .status import locked_names
from .store import Store
from .strays import StrayCatcher
from .table import Name, Table
from .workqueue import WorkQueue

log = structlog.get_logger(__name__)

#: Skills that are looked at before others get their turn on the loop.
_AT_ONCE = 100

#: What is watched and listed, and with which label selector at the server.
WATCHED: dict[Kind, str] = {
    Kind.NAMESPACE: "",
    Kind.CLUSTER_PACKAGE_POLICY: "",
    Kind.PACKAGE_POLICY: "",
    Kind.AGENT: "",
    Kind.PACKAGE_APPROVAL: "",
    Kind.NETWORK_POLICY: "",
    Kind.SKILL: "",
    Kind.SKILL_RUN: "",
    Kind.POD: SANDBOX_SELECTOR,
}
SKILL, RUN, AGENT, POLICY, CLUSTER_POLICY, APPROVAL, STRAY = (
    "Skill",
    "SkillRun",
    "Agent",
    "PackagePolicy",
    "ClusterPackagePolicy",
    "PackageApproval",
    "Pod",
)


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
        # Of each kind: from where a watch may begin, and in which namespaces one has begun there.
        self._beginnings: dict[Kind, tuple[str, set[str | None]]] = {}
        # What watches brought of a kind while it is being listed, and at which version: it may be newer.
        self._overtaken: dict[Kind, dict[Name, str]] = {}
        self._listing = asyncio.Lock()

    # -- life ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """List the world once in full; nothing is judged before, nor until this operator leads."""
        await self.relist()
        self._parts.store.primed = True

    async def lead(self) -> None:
        """Start the workers: from now on this operator acts.

        Every key that it knows is in the queue: nobody has taken any since the first list.
        """
        await self._parts.skills.prime()
        self._revision = self._parts.feed.revision
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{n}") for n in range(self._workers)]
        self._tasks.append(asyncio.create_task(self._resync(), name="resync"))
        self._tasks.append(asyncio.create_task(self._follow_advisories(), name="advisories"))
        if self._parts.marker is not None:
            self._tasks.append(asyncio.create_task(self._parts.marker.run(), name="marks"))
        if self._parts.canary is not None:
            self._tasks.append(asyncio.create_task(self._parts.canary.run(), name="canary"))

    def isolation_changed(self) -> None:
        """Queue every skill: what is known of the network's isolation is another than before."""
        self._skills(self._parts.store.skills.values())

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

    async def relist(self) -> None:
        """Replace the whole store by lists of our own, and queue every key."""
        async with self._listing:
            for kind in WATCHED:
                await self._list(kind, changed_only=False)

    async def begin_watch(self, kind: Kind, namespace: str | None) -> str:
        """Return the resource version from which a watch may begin: the store holds what was before it.

        A watch is told nothing of an object that was deleted while it was away (DESIGN 6), so where it was
        away its kind is listed anew.
        """
        version, begun = self._beginnings.get(kind, ("", set()))
        if not version or namespace in begun:
            async with self._listing:
                version = await self._list(kind, changed_only=True)
            begun = self._beginnings[kind][1]
        begun.add(namespace)
        return version

    async def _list(self, kind: Kind, *, changed_only: bool) -> str:
        """Replace what is known of a kind; queue every key, or those that were found to be otherwise."""
        table, project = self._table(kind)

        def record_of(body: Body) -> tuple[Name, Any, Any]:
            key = key_of(body)
            known = table.get(name := (key.namespace, key.name))
            current = known is not None and recency.holds(known, body)
            return name, known, known if current else project(body)

        overtaken = self._overtaken[kind] = {}
        try:
            listing = await self._parts.cluster.project(kind, record_of, label_selector=WATCHED[kind])
        finally:
            del self._overtaken[kind]
        at = listing.resource_version
        before = {name: table.get(name) for name in table}
        # A watch's last words may come late, and are older than the list: no later event would correct them.
        newer = {name for name, version in overtaken.items() if not recency.at_most(version, at)}
        records = {name: before[name] for name in newer if name in before}
        for name, known, record in listing.items:
            if name in newer:
                continue
            now = before.get(name)
            later = now is not None and not recency.at_most(recency.recorded_version(now), at)
            written = now is not known and later
            # A status that we wrote while the list came in is newer than what the list says.
            records[name] = now if written else record
        self._replace(kind, before, records, changed_only=changed_only)
        self._beginnings[kind] = (listing.resource_version, set())
        return listing.resource_version

    def _replace(
        self, kind: Kind, before: dict[Name, Any], records: dict[Name, Any], *, changed_only: bool
    ) -> None:
        table, _ = self._table(kind)
        gone = table.replace(records)
        if kind is Kind.POD:
            for name in sorted(gone):
                # As for a watch's DELETED: it may only have lost its label.
                self.queue.add((STRAY, *name))
        for name in (*sorted(gone), *records):
            old, new = before.get(name), table.get(name)
            if not (changed_only and unchanged(old, new)):
                self._concerns(kind, name, old, new)

    def _table(self, kind: Kind) -> tuple[Table[Any], Callable[[Body], Any]]:
        store, parts = self._parts.store, self._parts
        match kind:
            case Kind.SKILL:
                return store.skills, lambda body: skill_record(
                    body, name_findings=parts.name_findings, source_findings=parts.source_findings
                )
            case Kind.SKILL_RUN:
                return store.runs, run_record
            case Kind.PACKAGE_POLICY:
                return store.policies, lambda body: policy_record("PackagePolicy", body)
            case Kind.CLUSTER_PACKAGE_POLICY:
                return store.cluster_policies, lambda body: policy_record("ClusterPackagePolicy", body)
            case Kind.AGENT:
                return store.agents, agent_record
            case Kind.PACKAGE_APPROVAL:
                return store.approvals, approval_record
            case Kind.NAMESPACE:
                return store.namespaces, lambda body: dict(body["metadata"].get("labels") or {})
            case Kind.NETWORK_POLICY:
                return store.network_policies, network_policy_record
            case Kind.POD:
                return store.pods, lambda body: pod_record(body, seal_key=parts.setup.seal_key)
            case _:
                raise ValueError(f"{kind} is not watched")

    def backlog(self) -> int:
        """Count the keys that wait for a worker; an operator that only watches owes no work."""
        return len(self.queue) if self._tasks else 0

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
        """Take one observation of a watch.

        Parameters
        ----------
        kind
            Of the object.
        event
            ``ADDED``, ``MODIFIED`` or ``DELETED``.
        body
            The object.
        """
        table, project = self._table(kind)
        key = key_of(body)
        name = (key.namespace, key.name)
        before = table.get(name)
        version = recency.version_of(body)
        if recency.at_most(version, self._beginnings.get(kind, ("",))[0]):
            # The list that the store was replaced by holds it, and what came after it.
            return
        if kind in self._overtaken:
            self._overtaken[kind][name] = version
        late = before is not None and recency.earlier(version, before)
        if event == "DELETED":
            if late and not recency.is_of(before, body):
                # kopf hands over two objects of one name in any order: the end of the first is no news.
                return
            table.drop(name)
            if kind is Kind.POD:
                # It may only have lost its label: then it still runs.
                self.queue.add((STRAY, *name))
            self._concerns(kind, name, before, None)
            return
        if late:
            return
        record = project(body)
        table.put(name, record)
        self._concerns(kind, name, before, record)

    def _concerns(self, kind: Kind, name: Name, before: Any, after: Any) -> None:  # noqa: PLR0912 - a table
        """Queue every key that an observation bears on."""
        namespace = name[0]
        match kind:
            case Kind.SKILL:
                self._left_behind(SKILL, before, after)
                self._skill(name)
                # Who asks for a request is told by the skills' status.
                named = [requests_of(record) for record in (before, after) if record is not None]
                for request in frozenset().union(*named):
                    self.queue.add((APPROVAL, namespace, request))
                for run in self._parts.store.runs.grouped(name):
                    self.queue.add((RUN, run.key.namespace, run.key.name))
            case Kind.SKILL_RUN:
                self._left_behind(RUN, before, after)
                self.queue.add((RUN, *name))
            case Kind.AGENT:
                if _moved(before, after):
                    self._skills(self._parts.store.skills.grouped(namespace))
                self.queue.add((AGENT, *name))
            case Kind.PACKAGE_APPROVAL:
                if _decision(before) != _decision(after):
                    self._skills(self._parts.store.skills.grouped(namespace))
                self.queue.add((APPROVAL, *name))
                for other in self._parts.store.approvals.grouped(namespace):
                    # One that asks for more takes the effect from another.
                    self.queue.add((APPROVAL, namespace, other.key.name))
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
                if after is not None or (before is not None and not before.owner.name):
                    # One that had lost its owner leaves what only its namespace can be tidied of.
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
            if before is not None and before.ours and before.owner_name:
                # Its skill may have been seen to go before this lost it: then nobody else would look.
                self._skill((namespace, before.owner_name))

    def _left_behind(self, kind: str, before: Any, after: Any) -> None:
        """Queue the Pods of an owner that is gone, or is another one by now: nobody else would look."""
        if before is not None and (after is None or after.key.uid != before.key.uid):
            for pod in self._parts.store.pods_of(kind, before.key):
                self.queue.add((STRAY, pod.namespace, pod.pod.name))

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
                self._skills(touched)
            elif self._parts.feed.synced_at != synced_at:
                # The same advisories, looked at later: it matters only to those that they were too old for.
                self._skills(record for record in self._parts.store.skills.values() if _was_stale(record))
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


def _moved(before: Any, after: Any) -> bool:
    """Whether a policy says something else than before: its status alone does not count."""
    if before is None or after is None:
        return before is not after
    return (before.uid, before.generation) != (after.uid, after.generation)


def _decision(record: ApprovalRecord | None) -> object:
    return record.request.decision if record is not None and record.request is not None else None


def unchanged(before: Any, after: Any) -> bool:
    """Whether two records of one object say the same."""
    if isinstance(before, NetworkPolicyRecord) and isinstance(after, NetworkPolicyRecord):
        return before.facts == after.facts
    return bool(before == after)

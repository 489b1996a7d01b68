"""Reconcile of one Skill: observe, decide, execute, say so.

The governing rule: nothing here asks what woke it. It is called with a key, looks at the whole world of that
key, and brings it nearer to what it should be; called again on an unchanged world it writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from ..domain.assess import Assessment, Failure
from ..domain.conditions import ConditionDraft
from ..domain.decide import Plan, decide, missing
from ..domain.lock import Lock
from ..domain.package import PackageId
from ..domain.skill import Mode, SkillKey
from ..domain.world import SkillWorld, Surroundings
from ..kube.kinds import Kind
from .children import wanted_of
from .facts import decision_facts, skill_facts
from .judge import Judged, network_condition
from .ports import Body
from .records import SkillRecord
from .requeue import Requeue
from .sources import read_source
from .status import differs, skill_status
from .tools import Tools
from .write_status import write_status

log = structlog.get_logger(__name__)

#: The verdict and its reason, for whom, and about which bytes (lock, content).
Decision = tuple[str, str, str, str, str]


@dataclass(slots=True)
class _Progress:
    """When an in-progress status that is not written yet began to stand."""

    since: datetime
    phase: str


@dataclass(frozen=True, slots=True)
class _Untold:
    """A decision that is on record, and whose status is not known to be written."""

    decided: Decision
    before: Decision


class SkillReconciler:
    """Reconciles Skills.

    Parameters
    ----------
    tools
        Its collaborators.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._progress: dict[str, _Progress] = {}
        self._launch_failures: dict[str, Failure] = {}
        # uid of a skill -> its Pods that could not be prepared.
        self._unprepared: dict[str, set[str]] = {}
        self._untold: dict[str, _Untold] = {}

    async def prime(self) -> None:
        """Learn what stands that no watch tells of, in one list instead of a request for each Skill."""
        await self._tools.executor.learn_accounts()

    async def reconcile(self, namespace: str, name: str, requeue: Requeue) -> None:
        """Bring one Skill nearer to what it should be."""
        record = self._tools.store.skills.get((namespace, name))
        if record is None:
            await self._forget(namespace, name)
            return
        self._tools.waits.begin(record)
        judged = await self._tools.judge.judge(record, network=self.network(record.key))
        world, pods = self._observe(record, judged)
        plan = decide(world)
        # First of all: nothing that the API server may refuse stands before the removal of what must not run.
        await self._tools.executor.remove(namespace, plan.remove, facts=skill_facts(record.key))
        asked = await self._tools.requests.ask(record, judged.assessment.verdict)
        if asked.trouble:
            judged = replace(judged, assessment=judged.assessment.with_remark(asked.trouble))
            requeue.retry()
        if self._tools.judge.pursue(record, judged, waiter=requeue.soon):
            log.debug("a stage was started", skill=str(record.key), job=str(plan.job))
        if plan.fetch:
            self._fetch(record, judged.assessment, requeue)
        self._doubt_depot(world, record, requeue)
        failed = world.launch_failure is not None
        ensured = await self._ensured(record, plan, requeue)
        if ensured and plan.launch:
            await self._launch(record, judged, plan, pods, requeue)
        elif ensured:
            # What was refused is not asked for any more.
            self._launch_failures.pop(record.key.uid, None)
        if plan.launch or failed or not ensured or asked.trouble:
            world, _ = self._observe(record, judged)
            plan = decide(world)
        await self._write_status(record, judged, plan, world, requeue, approvals=asked.names)
        self.come_back(judged, requeue)

    # -- observe ---------------------------------------------------------------------------------------

    def network(self, key: SkillKey) -> ConditionDraft:
        """Return the condition NetworkIsolated of a skill."""
        return network_condition(
            self._tools.isolation,
            labels=self._tools.children.labels(key),
            others=self._tools.children.openers(key),
        )

    def surroundings(
        self, record: SkillRecord, assessment: Assessment, input_digest: str | None = None
    ) -> Surroundings:
        """Return what stands of what a Pod of this skill needs."""
        artefacts: bool | Failure | None = None
        if assessment.lock is not None and assessment.content_digest is not None:
            artefacts = self._tools.stages.fetched(assessment.lock, assessment.content_digest, input_digest)
        return self._tools.children.surroundings(record, artefacts=artefacts)

    def _observe(self, record: SkillRecord, judged: Judged) -> tuple[SkillWorld, dict[str, Body]]:
        assessment, platform = judged.assessment, judged.evidence.platform
        spec = record.spec
        service = spec is not None and spec.mode is Mode.SERVICE
        bodies: dict[str, Body] = {}
        if service and assessment.allowed and platform is not None:
            bodies = self._tools.children.service_pods(record, assessment, platform)
        world = SkillWorld(
            assessment=assessment,
            mode=spec.mode if spec else Mode.TASK,
            sandbox=spec.sandbox if spec else None,
            network=self.network(record.key),
            surroundings=self.surroundings(record, assessment),
            pods=tuple(item.pod for item in self._tools.store.pods_of("Skill", record.key)),
            wanted=wanted_of(bodies),
            launch_failure=self._launch_failures.get(record.key.uid),
        )
        return world, bodies

    # -- execute ---------------------------------------------------------------------------------------

    async def _ensured(self, record: SkillRecord, plan: Plan, requeue: Requeue) -> bool:
        """Make what a Pod needs; say whether it stands, or remember why the API server refuses it."""
        failure = await self._tools.executor.ensure(record, plan.ensure)
        if failure is not None:
            self._launch_failures[record.key.uid] = failure
            requeue.retry()
        return failure is None

    def _fetch(self, record: SkillRecord, assessment: Assessment, requeue: Requeue) -> None:
        lock, content = assessment.lock, assessment.content_digest
        if lock is None or content is None:
            return
        if not self._tools.stages.fetch_due(lock, content, None, requeue.soon):
            return
        self._tools.stages.fetch(
            lock,
            content,
            None,
            deliver=lambda: self.deliver(record, content),
            namespace=record.key.namespace,
            waiter=requeue.soon,
        )

    def _doubt_depot(self, world: SkillWorld, record: SkillRecord, requeue: Requeue) -> None:
        """Ask the depot again, once for each Pod that could not be prepared: it may have lost something."""
        uid, assessment = record.key.uid, world.assessment
        failed = {pod.uid for pod in world.pods if pod.init_failure}
        new = failed - self._unprepared.get(uid, set())
        if failed:
            self._unprepared[uid] = failed
        else:
            self._unprepared.pop(uid, None)
        if new and assessment.lock is not None and assessment.content_digest is not None:
            self._tools.stages.forget_fetched(assessment.lock.digest, assessment.content_digest)
            requeue.soon()

    async def deliver(self, record: SkillRecord, content_digest: str) -> None:
        """Have the depot hold a skill's files, as they were judged."""
        if await self._tools.stages.depot.get_content(content_digest) is None:
            packed = await read_source(
                self._tools.cluster, self._tools.sources, record.key, digest=content_digest
            )
            await self._tools.stages.depot.put_content(packed)

    async def _launch(
        self, record: SkillRecord, judged: Judged, plan: Plan, pods: dict[str, Body], requeue: Requeue
    ) -> None:
        live = await self._tools.judge.judge_live(record, network=self.network(record.key))
        if not same_judgement(judged, live):
            log.info("the world moved on before a launch", skill=str(record.key))
            requeue.retry()
            return
        if missing(self.surroundings(record, live.assessment)):
            requeue.soon()
            return
        facts = skill_facts(record.key) | decision_facts(live)
        for name in plan.launch:
            failure = await self._tools.executor.launch(pods[name], facts=facts)
            if failure is not None:
                self._launch_failures[record.key.uid] = failure
                self._tools.children.forget(record.key)
                requeue.retry()
                return
        self._launch_failures.pop(record.key.uid, None)

    # -- say so ----------------------------------------------------------------------------------------

    async def _write_status(
        self,
        record: SkillRecord,
        judged: Judged,
        plan: Plan,
        world: SkillWorld,
        requeue: Requeue,
        *,
        approvals: Mapping[PackageId | None, str],
    ) -> None:
        assessment = judged.assessment
        status = skill_status(
            plan=plan,
            assessment=assessment,
            observed=record.status,
            generation=record.generation,
            sandbox=self._sandbox_status(record, world, assessment),
            now=self._tools.now(),
            approvals=approvals,
        )
        if not differs(status, record.status):
            self._progress.pop(record.key.uid, None)
            await self._tell(record.key, judged)
            return
        if self._too_early(record, plan, requeue):
            return
        self._progress.pop(record.key.uid, None)
        if assessment.verdict is not None:
            self._record(record, judged, _decision(status))
        tools = self._tools
        if not await write_status(
            tools.cluster,
            Kind.SKILL,
            record.key,
            status,
            record=record,
            table=tools.store.skills,
            requeue=requeue,
        ):
            return
        tools.waits.told(record, status)
        await self._tell(record.key, judged)

    def _record(self, record: SkillRecord, judged: Judged, decided: Decision) -> None:
        """Put a decision on record before its status is written, for whoever writes may be ended in between.

        Of one that cannot be written at once there is one record all the same.
        """
        uid, before = record.key.uid, _decision(record.status)
        untold = self._untold.get(uid)
        if decided == before or (untold is not None and untold.decided == decided):
            return
        self._tools.notifier.verdict_changed(record.key, judged, before=before[0])
        self._untold[uid] = _Untold(decided, before)

    async def _tell(self, key: SkillKey, judged: Judged) -> None:
        """Tell people what was decided, now that the status says it, be it that the answer got lost."""
        untold = self._untold.pop(key.uid, None)
        if untold is not None:
            await self._tools.notifier.tell(key, judged, before=untold.before[:2])

    def _sandbox_status(
        self, record: SkillRecord, world: SkillWorld, assessment: Assessment
    ) -> dict[str, Any]:
        labels = self._tools.children.labels(record.key)
        status: dict[str, Any] = {
            "ready": sum(1 for pod in world.pods if pod.ready and not pod.deleting),
            "selector": ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        }
        runtime_class = assessment.verdict.runtime_class if assessment.verdict else None
        return status | ({"runtimeClass": runtime_class} if runtime_class else {})

    def _too_early(self, record: SkillRecord, plan: Plan, requeue: Requeue) -> bool:
        """Whether an in-progress status should wait: most progress is over before anyone could read it.

        The very first status of a Skill is written at once, so that its author sees that somebody is at it.
        """
        if plan.job is None or not record.status:
            return False
        phase, now = plan.phase.value, self._tools.now()
        seen = self._progress.get(record.key.uid)
        if seen is None or seen.phase != phase:
            seen = self._progress[record.key.uid] = _Progress(now, phase)
        left = self._tools.timing.progress_delay - (now - seen.since)
        if left.total_seconds() <= 0:
            return False
        requeue.after(left.total_seconds())
        return True

    def come_back(self, judged: Judged, requeue: Requeue) -> None:
        """Ask to be called again when time alone, or something that is not watched, may change a verdict."""
        verdict = judged.assessment.verdict
        if verdict is not None and verdict.revisit_at is not None:
            requeue.after((verdict.revisit_at - self._tools.now()).total_seconds() + 1)
        if judged.assessment.retry and judged.evidence.source_failure is not None:
            requeue.after(self._tools.timing.source_poll.total_seconds())
        if judged.unsure:
            requeue.after(self._tools.timing.guard_retry.total_seconds())

    async def _forget(self, namespace: str, name: str) -> None:
        """Drop what is remembered of a Skill that is gone; its children go by ownerReferences."""
        log.debug("skill is gone", skill=f"{namespace}/{name}")
        self._tools.requests.forget(namespace, name)
        await self._tools.executor.tidy(namespace)
        remembered: tuple[dict[str, Any], ...] = (
            self._progress,
            self._launch_failures,
            self._unprepared,
            self._untold,
        )
        if not any(remembered) and not len(self._tools.waits):
            return
        living = {record.key.uid for record in self._tools.store.skills.values()}
        self._tools.waits.forget(living)
        for memory in remembered:
            for uid in [uid for uid in memory if uid not in living]:
                del memory[uid]


def same_judgement(observed: Judged, live: Judged) -> bool:
    """Whether the live world still allows exactly what was decided on the observed one."""

    def digest(judged: Judged) -> str | None:
        lock: Lock | None = judged.assessment.lock
        return lock.digest if lock else None

    left, right = observed.assessment, live.assessment
    return (
        right.allowed
        and digest(observed) == digest(live)
        and left.content_digest == right.content_digest
        and left.verdict is not None
        and right.verdict is not None
        and left.verdict.runtime_class == right.verdict.runtime_class
    )


def _decision(status: Mapping[str, Any]) -> Decision:
    """Return what a status says was decided."""
    conditions = status.get("conditions") or ()
    reasons = [str(item.get("reason")) for item in conditions if item.get("type") == "Compliant"]
    return (
        str(status.get("verdict") or ""),
        next(iter(reasons), ""),
        str(status.get("maturity") or ""),
        str((status.get("lock") or {}).get("digest") or ""),
        str(status.get("contentDigest") or ""),
    )

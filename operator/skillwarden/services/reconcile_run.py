"""Reconcile of one SkillRun: one Pod for one execution, and its outcome kept in the status."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from ..api.v1alpha1 import parse
from ..domain.assess import Failure, agent_remark
from ..domain.conditions import (
    ConditionDraft,
    ConditionType,
    RunAcceptedReason,
    RunCompleteReason,
    Status,
    timestamp,
)
from ..domain.decide import missing
from ..domain.decide_run import RunPlan, decide_run
from ..domain.errors import UnavailableError
from ..domain.skill import SkillKey
from ..domain.world import ObservedPod, RunPhase, RunWorld, Surroundings
from ..kube.errors import ApiError
from ..kube.kinds import Kind
from .facts import decision_facts, skill_facts
from .judge import Judged
from .ports import Body
from .reconcile_skill import SkillReconciler, same_judgement
from .records import RunRecord, SkillRecord
from .requeue import Requeue
from .status import differs, run_conditions
from .tools import Tools
from .write_status import write_status

log = structlog.get_logger(__name__)

#: Name of the skill's container in every Pod that we build.
CONTAINER = "skill"
LOG_LINES = 50
LOG_BYTES = 4096


class RunReconciler:
    """Reconciles SkillRuns.

    Parameters
    ----------
    tools
        Its collaborators.
    skills
        Knows a skill's surroundings and brings its files to the depot.
    """

    def __init__(self, tools: Tools, *, skills: SkillReconciler) -> None:
        self._tools = tools
        self._skills = skills
        self._launch_failures: dict[str, Failure] = {}

    async def reconcile(self, namespace: str, name: str, requeue: Requeue) -> None:
        """Bring one SkillRun nearer to its end."""
        run = self._tools.store.runs.get((namespace, name))
        if run is None:
            # Its Pod may have been the last that the namespace's deny-all stood for.
            await self._tools.executor.tidy(namespace)
            if self._launch_failures:
                living = {record.key.uid for record in self._tools.store.runs.values()}
                for uid in [uid for uid in self._launch_failures if uid not in living]:
                    del self._launch_failures[uid]
            return
        skill = self._tools.store.skills.get((namespace, run.spec.skill)) if run.spec else None
        ended = RunPhase(run.status.get("phase") or "Pending").ended
        judged = await self._judged(run, skill) if skill is not None and not ended else None
        body = self._body(run, skill, judged)
        world = self._observe(run, skill, judged, body)
        plan = decide_run(world)
        await self._tools.executor.remove(namespace, plan.remove, facts=_facts(run, skill))
        if plan.delete_run:
            await self._tools.cluster.delete(Kind.SKILL_RUN, name=name, namespace=namespace, uid=run.key.uid)
            return
        if plan.revisit_at is not None:
            requeue.after((plan.revisit_at - self._tools.now()).total_seconds() + 0.5)
        if ended:
            return
        if skill is not None and judged is not None:
            self._tools.judge.pursue(skill, judged, waiter=requeue.soon)
            self._skills.come_back(judged, requeue)
            ensured = await self._prepare(run, skill, judged, plan, requeue)
            if ensured and plan.launch and body is not None:
                await self._launch(run, skill, judged, body, requeue)
            if plan.launch or not ensured:
                world = self._observe(run, skill, judged, body)
                plan = decide_run(world)
            refused = plan.complete.reason == RunCompleteReason.NOT_ALLOWED and world.pod is None
            if refused and await self._moved_on(run, skill):
                requeue.retry()
                return
        await self._write_status(run, world, plan, judged, requeue)

    async def _judged(self, run: RunRecord, skill: SkillRecord) -> Judged:
        agent = run.spec.agent if run.spec else None
        return await self._tools.judge.judge(skill, network=self._skills.network(skill.key), run_agent=agent)

    async def _moved_on(self, run: RunRecord, skill: SkillRecord) -> bool:
        """Whether the live world says otherwise than the observed one, on which a run would end for good.

        A run that is applied together with its skill or a policy may be seen before them.
        """
        body = await self._tools.cluster.get(Kind.SKILL, name=skill.key.name, namespace=skill.key.namespace)
        meta = (body or {}).get("metadata") or {}
        if (meta.get("uid"), meta.get("generation")) != (skill.key.uid, skill.generation):
            return True
        agent = run.spec.agent if run.spec else None
        live = await self._tools.judge.judge_live(
            skill, network=self._skills.network(skill.key), run_agent=agent
        )
        world = self._observe(run, skill, live, self._body(run, skill, live))
        return not decide_run(world).phase.ended

    # -- observe ---------------------------------------------------------------------------------------

    def _body(self, run: RunRecord, skill: SkillRecord | None, judged: Judged | None) -> Body | None:
        if (
            skill is None
            or judged is None
            or judged.evidence.platform is None
            or not judged.assessment.allowed
        ):
            return None
        return self._tools.children.run_pod(run, skill, judged.assessment, judged.evidence.platform)

    def _observe(
        self, run: RunRecord, skill: SkillRecord | None, judged: Judged | None, body: Body | None
    ) -> RunWorld:
        pods = [record.pod for record in self._tools.store.pods_of("SkillRun", run.key)]
        name = run.status.get("podName") or (body["metadata"]["name"] if body else "")
        pod, strays = _own(pods, name)
        status = run.status
        finished = status.get("completionTime")
        return RunWorld(
            phase=RunPhase(status.get("phase") or "Pending"),
            finished_at=datetime.fromisoformat(finished) if finished else None,
            ttl_seconds=run.spec.ttl_seconds_after_finished if run.spec else None,
            accepted=self._accepted(run, skill, judged),
            skill_mode=skill.spec.mode if skill and skill.spec else None,
            suspended=bool(skill and skill.spec and skill.spec.sandbox.suspend),
            assessment=judged.assessment if judged else None,
            surroundings=self._surroundings(run, skill, judged),
            pod=pod,
            strays=strays,
            pod_name=name,
            launch_failure=self._launch_failures.get(run.key.uid),
            now=self._tools.now(),
        )

    def _surroundings(self, run: RunRecord, skill: SkillRecord | None, judged: Judged | None) -> Surroundings:
        if skill is None or judged is None:
            return Surroundings()
        around = self._skills.surroundings(skill, judged.assessment, run.input_digest)
        lock, content, artefacts = judged.assessment.lock, judged.assessment.content_digest, around.artefacts
        if not isinstance(artefacts, Failure) or artefacts.retryable or lock is None or content is None:
            return around
        # A run ends by such a failure for good, so not by one of before that may be mended by now.
        due = self._tools.stages.fetch_due(lock, content, run.input_digest)
        return replace(around, artefacts=None) if due else around

    def _accepted(self, run: RunRecord, skill: SkillRecord | None, judged: Judged | None) -> ConditionDraft:
        def draft(status: Status, reason: str, message: str) -> ConditionDraft:
            return ConditionDraft(ConditionType.ACCEPTED, status, reason, message)

        if run.spec is None:
            text = run.spec_failure.text if run.spec_failure else "spec cannot be read."
            return draft(Status.FALSE, RunAcceptedReason.INVALID_SPEC, text)
        if skill is None:
            text = f"There is no Skill {run.spec.skill} in this namespace. Apply it, or name another."
            return draft(Status.FALSE, RunAcceptedReason.SKILL_NOT_FOUND, text)
        if run.spec.agent is not None and judged is not None:
            reason, text = agent_remark(judged.evidence.agent)
            if text:
                return draft(Status.TRUE, reason, text)
        return draft(Status.TRUE, RunAcceptedReason.VALID, "The run can be worked with.")

    # -- execute ---------------------------------------------------------------------------------------

    async def _prepare(
        self, run: RunRecord, skill: SkillRecord, judged: Judged, plan: RunPlan, requeue: Requeue
    ) -> bool:
        """Have made and fetched what the Pod needs; say whether nothing of it was refused."""
        failure = await self._tools.executor.ensure(skill, plan.ensure)
        if failure is not None:
            self._launch_failures[run.key.uid] = failure
            requeue.retry()
            return False
        if plan.ensure:
            requeue.soon()
        self._fetch(run, skill, judged, plan, requeue)
        return True

    def _fetch(
        self, run: RunRecord, skill: SkillRecord, judged: Judged, plan: RunPlan, requeue: Requeue
    ) -> None:
        lock, content = judged.assessment.lock, judged.assessment.content_digest
        wanted = plan.fetch or (plan.complete.reason == "Waiting" and judged.assessment.allowed)
        if wanted and lock is not None and content is not None:
            if not self._tools.stages.fetch_due(lock, content, run.input_digest, requeue.soon):
                return

            async def deliver() -> None:
                await self._skills.deliver(skill, content)
                await self._deliver_input(run)

            self._tools.stages.fetch(
                lock,
                content,
                run.input_digest,
                deliver=deliver,
                namespace=run.key.namespace,
                waiter=requeue.soon,
            )

    async def _deliver_input(self, run: RunRecord) -> None:
        if run.input_digest is None or await self._tools.stages.depot.get_input(run.input_digest) is not None:
            return
        body = await self._tools.cluster.get(Kind.SKILL_RUN, name=run.key.name, namespace=run.key.namespace)
        if body is None or body["metadata"].get("uid") != run.key.uid:
            raise UnavailableError(f"SkillRun {run.key} is gone.")
        model = parse("SkillRun", body)
        await self._tools.stages.depot.put_input((model.to_domain().input or "").encode())

    async def _launch(
        self, run: RunRecord, skill: SkillRecord, judged: Judged, body: Body, requeue: Requeue
    ) -> None:
        agent = run.spec.agent if run.spec else None
        network = self._skills.network(skill.key)
        live = await self._tools.judge.judge_live(skill, network=network, run_agent=agent)
        if not same_judgement(judged, live):
            requeue.retry()
            return
        if missing(self._skills.surroundings(skill, live.assessment, run.input_digest)):
            requeue.soon()
            return
        facts = _facts(run, skill) | decision_facts(live)
        failure = await self._tools.executor.launch(body, facts=facts)
        if failure is not None:
            self._launch_failures[run.key.uid] = failure
            self._tools.children.forget(skill.key)
            requeue.retry()
            return
        self._launch_failures.pop(run.key.uid, None)

    # -- say so ----------------------------------------------------------------------------------------

    async def _write_status(
        self, run: RunRecord, world: RunWorld, plan: RunPlan, judged: Judged | None, requeue: Requeue
    ) -> None:
        status = await self._status(run, world, plan, judged)
        if not differs(status, run.status):
            return
        tools = self._tools
        if not await write_status(
            tools.cluster,
            Kind.SKILL_RUN,
            run.key,
            status,
            record=run,
            table=tools.store.runs,
            requeue=requeue,
        ):
            return
        if plan.phase.ended:
            if plan.collect is not None and plan.collect.init_failure:
                # The depot may have lost something: the next run must not believe that it has it.
                pod = plan.collect
                self._tools.stages.forget_fetched(pod.lock_digest, pod.content_digest, run.input_digest)
            requeue.soon()
            kind = "Normal" if plan.phase is RunPhase.SUCCEEDED else "Warning"
            complete = plan.complete
            skill = self._tools.store.skills.get((run.key.namespace, run.spec.skill)) if run.spec else None
            if complete.reason == RunCompleteReason.NOT_ALLOWED and skill is not None and judged is not None:
                self._tools.notifier.run_refused(skill.key, run.key.name, judged, why=complete.message)
            await self._tools.notifier.event(
                "SkillRun", run.key, kind=kind, reason=str(complete.reason), note=complete.message
            )

    async def _status(
        self, run: RunRecord, world: RunWorld, plan: RunPlan, judged: Judged | None
    ) -> dict[str, Any]:
        now = self._tools.now()
        status: dict[str, Any] = {
            "observedGeneration": run.generation,
            "phase": plan.phase.value,
            "conditions": run_conditions(
                (world.accepted, plan.complete), observed=run.status, generation=run.generation, now=now
            ),
        }
        pod = world.pod
        kept = {field: run.status[field] for field in _KEPT if field in run.status}
        if pod is not None:
            kept |= {"podName": pod.name, "lockDigest": pod.lock_digest, "contentDigest": pod.content_digest}
            kept |= {"startTime": pod.started_at} if pod.started_at else {}
        status |= kept
        if plan.phase.ended:
            status["completionTime"] = (pod.finished_at if pod else None) or timestamp(now)
            if plan.collect is not None:
                status |= await self._outcome(run, plan.collect)
        return status

    async def _outcome(self, run: RunRecord, pod: ObservedPod) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if pod.exit_code is not None:
            result["exitCode"] = pod.exit_code
        if pod.output:
            result["output"] = pod.output
        if pod.started_at:
            tail = await self._log_tail(run, pod)
            if tail:
                result["logTail"] = tail
        return result

    async def _log_tail(self, run: RunRecord, pod: ObservedPod) -> str:
        try:
            text = await self._tools.cluster.pod_log(
                run.key.namespace, pod.name, CONTAINER, tail_lines=LOG_LINES
            )
        except ApiError as error:
            log.warning("a run's log cannot be read", run=str(run.key), error=str(error))
            return ""
        data = text.encode()[-LOG_BYTES:]
        return data.decode(errors="replace").replace("\x00", "\ufffd")


def _facts(run: RunRecord, skill: SkillRecord | None) -> dict[str, Any]:
    """Return which skill and run an audit record is about; the skill may be gone."""
    name = run.spec.skill if run.spec else ""
    key = skill.key if skill is not None else SkillKey(run.key.namespace, name, "")
    return skill_facts(key, run=run.key.name)


_KEPT = ("podName", "lockDigest", "contentDigest", "startTime")


def _own(pods: list[ObservedPod], name: str) -> tuple[ObservedPod | None, tuple[ObservedPod, ...]]:
    """Tell a run's one Pod from others that claim to be it: the named one, else the only sealed one."""
    named = [pod for pod in pods if pod.name == name]
    if not named:
        named = sorted((pod for pod in pods if not pod.tampered), key=lambda pod: pod.name)[:1]
    own = named[0] if named else None
    return own, tuple(pod for pod in pods if pod is not own)

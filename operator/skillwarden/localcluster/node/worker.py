"""One Pod's life on this node: planned, prepared, run, restarted, ended, cleaned."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skillwarden.localcluster.node.bwrap import HostTools
from skillwarden.localcluster.node.cgroups import CgroupTree, PodCgroup
from skillwarden.localcluster.node.client import KubeClient
from skillwarden.localcluster.node.config import NodeConfig
from skillwarden.localcluster.node.logs import ContainerLog
from skillwarden.localcluster.node.plan import ContainerPlan, NodeFacts, PodPlan, Refusal, Restart, plan_pod
from skillwarden.localcluster.node.reporter import UNREACHABLE, Reporter, now
from skillwarden.localcluster.node.sandbox import Exit, Sandbox, Surroundings
from skillwarden.localcluster.node.status import (
    ContainerState,
    Phase,
    PodState,
    Running,
    Terminated,
    Waiting,
)
from skillwarden.localcluster.node.volumes import PodFiles, VolumeUnusable, read_termination

_log = logging.getLogger(__name__)

Object = Mapping[str, Any]

# What a termination message takes from the log where the container left none (the API's documented bound).
_FALLBACK_BYTES, _FALLBACK_LINES = 2048, 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What all workers of a node share; ``tools`` None: nothing is run, for ``simulated``'s reason."""

    config: NodeConfig
    facts: NodeFacts
    client: KubeClient
    tools: HostTools | None
    simulated: str
    cgroups: CgroupTree | None
    relay_script: Path
    policies: Callable[[], Iterable[Object]]


class PodWorker:
    """Runs one Pod. Call `start` once; `terminate` ends it."""

    def __init__(self, pod: Object, services: Services) -> None:
        self.uid: str = pod["metadata"]["uid"]
        self._pod = pod
        self._services = services
        self._reporter = Reporter(services.client, pod, node=services.facts.name)
        self._files = PodFiles(services.config.work_dir / "pods" / self.uid, as_root=services.facts.as_root)
        self._state = _first_state(pod, simulated=services.simulated if services.tools is None else "")
        self._logs: dict[tuple[str, int], ContainerLog] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._cgroup: PodCgroup | None = None
        self._halt = asyncio.Event()
        self._replan = asyncio.Event()
        self._dirty = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._terminating = False

    def start(self) -> None:
        """Begin, in a task of its own."""
        self._task = asyncio.create_task(self._run(), name=f"pod {self.uid}")

    def policies_changed(self) -> None:
        """A refused Pod is planned anew."""
        self._replan.set()

    async def terminate(self, grace_seconds: float) -> None:
        """End every process, and wait until all is cleaned up. May be called again with a shorter grace."""
        self._terminating = True
        self._halt.set()
        await asyncio.gather(*(each.stop(grace_seconds) for each in list(self._sandboxes.values())))
        if self._task is not None:
            await asyncio.wait({self._task})
            await self._files.remove()

    async def report_deleted(self) -> None:
        """Tell the API server that the Pod has ended, until it knows."""
        pause = self._services.config.timings.reconnect_initial
        await self._reporter.publish(self._state)
        while not await self._reporter.delete():
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._services.config.timings.reconnect_max)

    def log(self, container: str, *, previous: bool) -> ContainerLog:
        """The log of a container's current or previous start.

        Raises
        ------
        LookupError
            There is no such container, or no such start yet.
        """
        name = self._pod["metadata"]["name"]
        try:
            restarts = self._state.get(container).restarts
        except KeyError:
            raise LookupError(f"container {container} is not valid for pod {name}") from None
        starts = [attempt for known, attempt in self._logs if known == container]
        wanted = restarts - 1 if previous else max(starts, default=0)
        if (container, wanted) in self._logs:
            return self._logs[(container, wanted)]
        if previous:
            raise LookupError(f'previous terminated container "{container}" in pod "{name}" not found')
        match self._state.get(container).state:
            case Waiting(reason=reason):
                raise LookupError(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
        raise LookupError(
            f'container "{container}" in pod "{name}" ran nothing on this node, so it has no log'
        )

    async def _run(self) -> None:
        publisher = asyncio.create_task(self._publish_changes())
        self._dirty.set()
        try:
            await self._live()
        except Exception:
            # A fault of the node must show on the Pod, not only in the node's own log.
            _log.exception("pod %s", self.uid)
            self._state.ended = (Phase.FAILED, "NodeFault", "the node failed to run this Pod: see its log")
        finally:
            await self._clean()
            self._dirty.set()
            publisher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publisher
            await self._publish_to_the_end()

    async def _live(self) -> None:
        if self._state.ended is not None:
            return
        plan = await self._planned()
        if plan is None:
            return
        if self._services.tools is None:
            await self._walk(plan)
            return
        if not await self._prepared(plan):
            return
        running = asyncio.create_task(self._run_containers(plan))
        watch = asyncio.create_task(self._watch_usage(plan))
        try:
            await self._until_deadline(running, plan)
        finally:
            watch.cancel()
            self._halt.set()
            await asyncio.gather(*(each.stop(0) for each in self._sandboxes.values()))
            await asyncio.wait({running, watch})
        running.result()

    async def _until_deadline(self, running: asyncio.Task[None], plan: PodPlan) -> None:
        seconds = None
        if plan.deadline_seconds is not None:
            began = datetime.fromisoformat(self._state.start_time.replace("Z", "+00:00"))
            seconds = max(0.0, plan.deadline_seconds - (datetime.now(UTC) - began).total_seconds())
        done, _ = await asyncio.wait({running}, timeout=seconds)
        if not done:
            message = "Pod was active on the node longer than the specified deadline"
            await self._end("DeadlineExceeded", message)

    async def _end(self, reason: str, message: str) -> None:
        self._state.ended = (Phase.FAILED, reason, message)
        self._halt.set()
        await self._reporter.event(reason, message, warning=True)

    async def _planned(self) -> PodPlan | None:
        while not self._halt.is_set():
            self._replan.clear()
            outcome = plan_pod(self._pod, self._services.policies(), facts=self._services.facts)
            match outcome:
                case PodPlan():
                    for reason, message in outcome.notes:
                        await self._reporter.event(reason, message)
                    return outcome
                case Refusal():
                    self._show_waiting(outcome.reason, outcome.message, container=outcome.container)
                    await self._reporter.event(outcome.event, outcome.message, warning=True)
                    await _first_of(self._replan, self._halt)
        return None

    def _show_waiting(self, reason: str, message: str, *, container: str | None = None) -> None:
        for each in (*self._state.init, *self._state.main):
            if container in {None, each.name}:
                self._state.update(each.name, state=Waiting(reason=reason, message=message))
        self._dirty.set()

    async def _prepared(self, plan: PodPlan) -> bool:
        """Make the Pod's files and cgroup; a missing ConfigMap may still come."""
        pause = self._services.config.timings.reconnect_initial
        hostname = self._pod["metadata"]["name"]
        self._show_ready_to_start()
        while not self._halt.is_set():
            try:
                if self._services.cgroups is not None and self._cgroup is None:
                    self._cgroup = await asyncio.to_thread(
                        self._services.cgroups.pod, self.uid, pids=self._services.facts.pids
                    )
                await self._files.prepare(plan, hostname=hostname, fetch=self._reporter.fetch)
            except (VolumeUnusable, *UNREACHABLE) as error:
                await self._reporter.event("FailedMount", str(error), warning=True)
                await self._pause(pause)
                pause = min(pause * 2, self._services.config.timings.reconnect_max)
            else:
                return True
        return False

    def _show_ready_to_start(self) -> None:
        reason = "PodInitializing" if self._state.init else "ContainerCreating"
        for each in self._state.init:
            self._state.update(each.name, state=Waiting(reason="PodInitializing"))
        for each in self._state.main:
            self._state.update(each.name, state=Waiting(reason=reason))
        self._dirty.set()

    async def _run_containers(self, plan: PodPlan) -> None:
        for each in plan.init:
            again = Restart.NEVER if plan.restart is Restart.NEVER else Restart.ON_FAILURE
            if not await self._supervise(each, restart=again):
                if not self._halt.is_set():
                    self._state.ended = (Phase.FAILED, "", "")
                return
        async with asyncio.TaskGroup() as group:
            for each in plan.main:
                group.create_task(self._supervise(each, restart=plan.restart))

    async def _supervise(self, plan: ContainerPlan, *, restart: Restart) -> bool:
        """Run a container as often as its restart policy wants; True: its last end was a success."""
        timings = self._services.config.timings
        pause = 0.0
        while True:
            began = time.monotonic()
            ended = await self._run_once(plan)
            if self._halt.is_set():
                return False
            if ended is not None:
                good = ended.exit_code == 0
                if restart is Restart.NEVER or (good and restart is Restart.ON_FAILURE):
                    return good
            if time.monotonic() - began > timings.backoff_reset:
                pause = 0.0
            if pause > 0 or ended is None:
                await self._back_off(plan, max(pause, timings.backoff_initial), ended=ended)
            pause = min(max(pause * 2, timings.backoff_initial), timings.backoff_max)
            if self._halt.is_set():
                return False
            if ended is not None:
                restarts = self._state.get(plan.name).restarts + 1
                self._state.update(plan.name, restarts=restarts, last=ended)

    async def _back_off(self, plan: ContainerPlan, seconds: float, *, ended: Terminated | None) -> None:
        pod = self._pod["metadata"]
        if ended is not None:
            message = f"back-off {seconds:g}s restarting failed container={plan.name} pod={pod['name']}"
            waiting = Waiting(reason="CrashLoopBackOff", message=message)
            self._state.update(plan.name, state=waiting, last=ended)
            self._dirty.set()
            await self._reporter.event(
                "BackOff", f"Back-off restarting failed container {plan.name}", warning=True
            )
        await self._pause(seconds)

    async def _run_once(self, plan: ContainerPlan) -> Terminated | None:
        """One start of a container, to its end; None: it could not be started."""
        attempt = self._state.get(plan.name).restarts
        started = now()
        log = ContainerLog(
            await asyncio.to_thread(self._files.log_path, plan.name, attempt),
            limit=self._services.config.log_bytes,
        )
        message_file = await asyncio.to_thread(self._files.new_termination_file, plan.name, attempt)
        try:
            self._check_depot(plan)
            sandbox = await Sandbox.start(plan, self._surroundings(log, attempt, message_file))
        except (VolumeUnusable, OSError) as error:
            self._state.update(plan.name, state=Waiting(reason="CreateContainerError", message=str(error)))
            self._dirty.set()
            await self._reporter.event("Failed", f"container {plan.name}: {error}", warning=True)
            return None
        self._logs[(plan.name, attempt)] = log
        self._sandboxes[plan.name] = sandbox
        if self._halt.is_set():
            sandbox.kill()
        self._state.update(plan.name, state=Running(started=started))
        self._dirty.set()
        await self._reporter.event("Started", f"Started container {plan.name}", once=False)
        exited = await sandbox.wait()
        del self._sandboxes[plan.name]
        ended = await self._terminated(plan, exited, log=log, file=message_file, started=started)
        self._state.update(plan.name, state=ended)
        self._dirty.set()
        return ended

    def _surroundings(self, log: ContainerLog, attempt: int, message_file: Path) -> Surroundings:
        if self._services.tools is None:
            raise RuntimeError("a simulated node starts nothing")
        return Surroundings(
            tools=self._services.tools,
            files=self._files,
            cgroup=self._cgroup,
            relay_script=self._services.relay_script,
            log=log,
            attempt=attempt,
            termination_file=message_file,
        )

    def _check_depot(self, plan: ContainerPlan) -> None:
        if plan.relay is None:
            return
        try:
            mode = os.stat(plan.relay.socket_path).st_mode  # noqa: PTH116
        except OSError as error:
            raise VolumeUnusable(
                f"the depot's socket {plan.relay.socket_path} is not there: {error}"
            ) from error
        if not stat.S_ISSOCK(mode) or (self._services.facts.as_root and not mode & stat.S_IWOTH):
            raise VolumeUnusable(
                f"the depot's socket {plan.relay.socket_path} must be a socket that every user may write to: "
                "a sandbox connects as its own user"
            )

    async def _terminated(
        self, plan: ContainerPlan, exited: Exit, *, log: ContainerLog, file: Path, started: str
    ) -> Terminated:
        message = await asyncio.to_thread(read_termination, file)
        if not exited.started:
            reason = "StartError"
            message = await log.tail(_FALLBACK_BYTES, lines=_FALLBACK_LINES)
        elif exited.out_of_memory:
            reason = "OOMKilled"
        else:
            reason = "Completed" if exited.code == 0 else "Error"
        if not message and plan.logs_on_error and exited.code != 0:
            message = await log.tail(_FALLBACK_BYTES, lines=_FALLBACK_LINES)
        return Terminated(
            exit_code=exited.code, reason=reason, message=message, started=started, finished=now()
        )

    async def _watch_usage(self, plan: PodPlan) -> None:
        """Evict a Pod that holds more than it may; without cgroups, end a container over its memory."""
        limits = {each.name: each.size_bytes for each in plan.volumes if each.writable}
        on_disk = {each.name for each in plan.volumes if each.writable and not each.in_memory}
        while True:
            await asyncio.sleep(self._services.config.timings.usage_interval)
            used = await asyncio.to_thread(self._files.usage)
            over = [name for name, size in limits.items() if used.get(name, 0) > size]
            total = sum(size for name, size in used.items() if name in on_disk or not name)
            if over:
                message = f'Usage of EmptyDir volume "{over[0]}" exceeds the limit "{limits[over[0]]}".'
                await self._evict(message)
            elif plan.storage_bytes is not None and total > plan.storage_bytes:
                limit = plan.storage_bytes
                message = f"Pod ephemeral local storage usage exceeds the total limit of containers {limit}."
                await self._evict(message)
            if self._cgroup is None:
                await self._end_over_memory()

    async def _evict(self, message: str) -> None:
        await self._end("Evicted", message)
        for each in self._sandboxes.values():
            each.kill()

    async def _end_over_memory(self) -> None:
        for each in list(self._sandboxes.values()):
            limit = each.plan.limits.memory_bytes
            if limit is not None and await each.memory_bytes() > limit:
                each.kill(over_memory=True)

    async def _walk(self, plan: PodPlan) -> None:
        """Only walk the phases: nothing runs where no sandbox can be made, and the status says so."""
        done = Terminated(
            exit_code=0, reason="Simulated", started=now(), finished=now(), message="nothing was run"
        )
        await self._reporter.event(
            "Simulated", f"nothing is run on this node: {self._state.simulated}", warning=True
        )
        for each in plan.init:
            self._state.update(each.name, state=done)
        for each in plan.main:
            self._state.update(each.name, state=Running(started=now()))
        self._dirty.set()
        if plan.restart is Restart.ALWAYS:
            await self._halt.wait()
        for each in plan.main:
            self._state.update(each.name, state=done)

    async def _clean(self) -> None:
        self._halt.set()
        if self._cgroup is not None:
            await asyncio.to_thread(self._cgroup.remove)
        await self._files.remove_volumes()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._halt.wait()

    async def _publish_changes(self) -> None:
        pause = self._services.config.timings.reconnect_initial
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not await self._reporter.publish(self._state):
                self._dirty.set()
                await asyncio.sleep(pause)

    async def _publish_to_the_end(self) -> None:
        """The last status of a Pod that ended by itself must arrive; another is tried once."""
        pause = self._services.config.timings.reconnect_initial
        while not await self._reporter.publish(self._state):
            if self._terminating:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._services.config.timings.reconnect_max)


def _first_state(pod: Object, *, simulated: str) -> PodState:
    """What is known of a Pod when its worker begins; a predecessor's containers have ended with it."""
    spec, status = pod["spec"], pod.get("status") or {}
    policy = Restart(spec.get("restartPolicy", "Always"))
    state = PodState(
        start_time=status.get("startTime") or now(),
        restarts_all=policy is Restart.ALWAYS,
        restarts_failed=policy is not Restart.NEVER,
        simulated=simulated,
    )
    before = {
        each["name"]: each
        for each in (*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or []))
    }
    for container in spec.get("initContainers") or []:
        state.init.append(_first_container(container, before, init=True))
    for container in spec["containers"]:
        state.main.append(_first_container(container, before, init=False))
    lost = [each for each in (*state.init, *state.main) if each.last is not None]
    if lost and policy is Restart.NEVER:
        for each in lost:
            if each.last is not None:
                state.update(each.name, state=each.last, last=None)
        state.ended = (Phase.FAILED, "NodeRestarted", "the node was restarted while the Pod ran")
    return state


def _first_container(container: Object, before: Mapping[str, Object], *, init: bool) -> ContainerState:
    old = before.get(container["name"]) or {}
    running = (old.get("state") or {}).get("running")
    restarts = int(old.get("restartCount", 0))
    last = None
    if running is not None:
        restarts += 1
        last = Terminated(
            exit_code=137,
            reason="ContainerStatusUnknown",
            message="the node was restarted while the container ran",
            started=running.get("startedAt") or now(),
            finished=now(),
        )
    reason = "PodInitializing" if init else "ContainerCreating"
    return ContainerState(
        name=container["name"],
        image=container["image"],
        state=Waiting(reason=reason),
        last=last,
        restarts=restarts,
        init=init,
    )


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(each.wait()) for each in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()

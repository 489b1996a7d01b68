"""The node: registers itself, claims Pods, gives each a worker, answers for their logs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from skillwarden.localcluster.node import cgroups, host
from skillwarden.localcluster.node.client import ApiError, KubeClient
from skillwarden.localcluster.node.config import ApiConnection, NodeConfig
from skillwarden.localcluster.node.logs import LogOptions
from skillwarden.localcluster.node.plan import NodeFacts
from skillwarden.localcluster.node.reflector import Key, Reflector
from skillwarden.localcluster.node.registration import node_labels, node_object, schedulable
from skillwarden.localcluster.node.reporter import UNREACHABLE, Reporter, now
from skillwarden.localcluster.node.volumes import remove_folder
from skillwarden.localcluster.node.worker import PodWorker, Services

_log = logging.getLogger(__name__)

Object = Mapping[str, Any]

_DEFAULT_SCHEDULER = "default-scheduler"
_DEFAULT_GRACE_SECONDS = 30


class LogsUnavailable(LookupError):  # noqa: N818 (it says what is the case)
    """There is no such log, or not yet; its text says why."""


class NodeBusyError(RuntimeError):
    """Another node holds the work folder."""


class Node:
    """A node of a cluster that has no kubelet.

    It speaks to the API server over HTTP alone, so the server may be the embedded one or a real one.

    Parameters
    ----------
    config
        What it may run and its limits.
    api
        The server.
    logs
        Made before the server and handed to it, where the server must exist before the node.
    """

    def __init__(self, config: NodeConfig, api: ApiConnection, *, logs: NodeLogs | None = None) -> None:
        self._config = config
        self._client = KubeClient(api)
        self._lock: int | None = None
        self._tree: cgroups.CgroupTree | None = None
        self._services: Services | None = None
        self._workers: dict[Key, PodWorker] = {}
        self._ending: dict[Key, int] = {}
        self._background: set[asyncio.Task[None]] = set()
        timings = config.timings
        self._pods = Reflector(self._client, "/api/v1/pods", changed=self._pod_changed, timings=timings)
        self._policies = Reflector(
            self._client,
            "/apis/networking.k8s.io/v1/networkpolicies",
            changed=self._policy_changed,
            timings=timings,
        )
        self._reflectors: list[asyncio.Task[None]] = []
        self.simulated = ""
        self.logs = logs if logs is not None else NodeLogs()
        self.logs.attach(self)

    @property
    def name(self) -> str:
        return self._config.name

    async def start(self) -> None:
        """Probe the machine, clear what a killed predecessor left, register, and begin.

        Raises
        ------
        NodeBusyError
            Another node runs in this work folder.
        ApiError or aiohttp.ClientError or OSError
            The API server does not take the node, or the work folder cannot be made.
        """
        self._lock = await asyncio.to_thread(_lock_folder, self._config.work_dir)
        try:
            await remove_folder(self._config.work_dir / "pods")
            self._services = await self._prepare()
            await self._client.open()
            await self._register(self._services)
        except BaseException:
            await self.stop()
            raise
        self._reflectors = [
            asyncio.create_task(self._policies.run()),
            asyncio.create_task(self._follow_pods()),
        ]

    async def stop(self) -> None:
        """End every process that it started, remove mounts, cgroups and files, let the work folder go."""
        for task in self._reflectors:
            task.cancel()
        await asyncio.gather(*self._reflectors, return_exceptions=True)
        self._reflectors = []
        workers = list(self._workers.values())
        self._workers = {}
        await asyncio.gather(*(each.terminate(0) for each in workers), return_exceptions=True)
        for background in list(self._background):
            background.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._client.close()
        if self._tree is not None:
            await asyncio.to_thread(self._tree.clear)
        await remove_folder(self._config.work_dir / "pods")
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def worker_of(self, namespace: str, pod: str) -> PodWorker:
        """The worker of a Pod.

        Raises
        ------
        LogsUnavailable
            This node does not run it.
        """
        worker = self._workers.get((namespace, pod))
        if worker is None:
            raise LogsUnavailable(
                f"pod {namespace}/{pod} is not on node {self.name}, or was there before it restarted"
            )
        return worker

    async def _prepare(self) -> Services:
        config = self._config
        if config.cgroup_parent is not None and not config.force_simulated:
            tree = await asyncio.to_thread(cgroups.open_tree, config.cgroup_parent, work_dir=config.work_dir)
            if isinstance(tree, str):
                _log.info("limits by rlimits and a watch: %s", tree)
            else:
                self._tree = tree
        if config.force_simulated:
            capability = host.Capability(None, "the node was told to simulate")
        else:
            capability = await host.probe(cgroups=self._tree is not None)
        if capability.tools is None:
            self.simulated = capability.reason
            _log.warning("nothing will be run: %s", capability.reason)
        relay = config.work_dir / "relay.py"
        await asyncio.to_thread(_copy_relay, relay)
        return Services(
            config=config,
            facts=NodeFacts(
                name=config.name,
                as_root=os.geteuid() == 0,
                images=config.images,
                depot=config.depot,
                pids=config.pod_pids_limit,
                default_volume_bytes=config.default_volume_bytes,
            ),
            client=self._client,
            tools=capability.tools,
            simulated=self.simulated,
            cgroups=self._tree,
            relay_script=relay,
            policies=self._known_policies,
        )

    def _known_policies(self) -> Iterable[Object]:
        # Asked anew each time: a relist replaces the whole table.
        return self._policies.objects.values()

    async def _register(self, services: Services) -> None:
        body = node_object(
            self.name,
            simulated=self.simulated,
            cgroups=services.cgroups is not None,
            pids=services.facts.pids,
            now=now(),
        )
        try:
            await self._client.request("POST", "/api/v1/nodes", body=body)
        except ApiError as error:
            if error.status != 409:
                raise
            await self._client.merge(
                f"/api/v1/nodes/{self.name}", {"metadata": {"labels": body["metadata"]["labels"]}}
            )
        await self._client.merge(f"/api/v1/nodes/{self.name}/status", {"status": body["status"]})

    async def _follow_pods(self) -> None:
        # A Pod judged before the policies are known would count as one without policies.
        await self._policies.listed.wait()
        await self._pods.run()

    def _policy_changed(self, _: Key) -> None:
        for worker in self._workers.values():
            worker.policies_changed()

    def _pod_changed(self, key: Key) -> None:
        pod, worker = self._pods.objects.get(key), self._workers.get(key)
        if worker is not None and (pod is None or pod["metadata"]["uid"] != worker.uid):
            self._end(key, worker, grace=0, report=False)
            return
        if pod is None or self._services is None:
            return
        spec, metadata = pod["spec"], pod["metadata"]
        if not spec.get("nodeName"):
            if "deletionTimestamp" not in metadata and _is_ours_to_schedule(spec):
                self._spawn(self._bind(pod))
        elif spec["nodeName"] == self.name:
            self._sync(key, pod, worker)

    def _sync(self, key: Key, pod: Object, worker: PodWorker | None) -> None:
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata:
            grace = int(metadata.get("deletionGracePeriodSeconds", _DEFAULT_GRACE_SECONDS))
            if worker is not None:
                self._end(key, worker, grace=grace, report=True)
            elif key not in self._ending:
                self._spawn(self._confirm_deleted(pod))
        elif worker is None and self._services is not None and _is_unfinished(pod):
            self._workers[key] = PodWorker(pod, self._services)
            self._workers[key].start()

    def _end(self, key: Key, worker: PodWorker, *, grace: int, report: bool) -> None:
        """End a Pod in the background; a second call counts only with a shorter grace period."""
        if self._ending.get(key, grace + 1) <= grace:
            return
        first = key not in self._ending
        self._ending[key] = grace
        self._spawn(self._finish(key, worker, grace, report) if first else worker.terminate(grace))

    async def _finish(self, key: Key, worker: PodWorker, grace: int, report: bool) -> None:
        await worker.terminate(grace)
        if report:
            await worker.report_deleted()
        self._workers.pop(key, None)
        self._ending.pop(key, None)
        # A Pod of the same name may have come in between.
        self._pod_changed(key)

    async def _confirm_deleted(self, pod: Object) -> None:
        await Reporter(self._client, pod, node=self.name).delete()

    async def _bind(self, pod: Object) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if not schedulable(pod["spec"], node_labels(self.name)):
            await self._report_unschedulable(pod, path)
            return
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.name},
        }
        try:
            await self._client.request("POST", f"{path}/binding", body=body)
        except ApiError as error:
            # Another node was faster, or the Pod is gone.
            if error.status not in {404, 409}:
                _log.warning("binding %s/%s: %s", metadata["namespace"], metadata["name"], error)
        except UNREACHABLE as error:
            _log.warning("binding %s/%s: %s", metadata["namespace"], metadata["name"], error)

    async def _report_unschedulable(self, pod: Object, path: str) -> None:
        message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
        old = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or []}
        if old.get("PodScheduled", {}).get("reason") == "Unschedulable":
            return
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        body = {"status": {"conditions": [{**condition, "lastTransitionTime": now()}]}}
        with contextlib.suppress(*UNREACHABLE):
            await self._client.merge(f"{path}/status", body)
        await Reporter(self._client, pod, node=self.name).event("FailedScheduling", message, warning=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("a task of the node failed", exc_info=task.exception())


class NodeLogs:
    """The protocol by which an API server reads container logs."""

    def __init__(self) -> None:
        self._node: Node | None = None

    def attach(self, node: Node) -> None:
        """Read from this node."""
        self._node = node

    async def open(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        """A container's log.

        Raises
        ------
        LogsUnavailable
            At the first byte: there is no such log, or not yet.
        """
        if self._node is None:
            raise LogsUnavailable("the node has not been started yet")
        worker = self._node.worker_of(namespace, pod)
        try:
            log = worker.log(container, previous=previous)
        except LookupError as error:
            raise LogsUnavailable(str(error)) from error
        since = None if since_seconds is None else datetime.now(UTC) - timedelta(seconds=since_seconds)
        options = LogOptions(
            follow=follow,
            tail_lines=tail_lines,
            since=since,
            timestamps=timestamps,
            limit_bytes=limit_bytes,
        )
        async for chunk in log.read(options):
            yield chunk


def _is_ours_to_schedule(spec: Object) -> bool:
    return spec.get("schedulerName", _DEFAULT_SCHEDULER) == _DEFAULT_SCHEDULER and not spec.get(
        "schedulingGates"
    )


def _is_unfinished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase", "Pending") in {"Pending", "Running"}


def _lock_folder(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise NodeBusyError(
            f"another node runs in {folder}: stop it, or give this one a folder of its own"
        ) from None
    return descriptor


def _copy_relay(target: Path) -> None:
    shutil.copyfile(Path(__file__).with_name("relay.py"), target)
    # A sandbox reads it as its own user, whatever this process's umask was.
    target.chmod(0o644)

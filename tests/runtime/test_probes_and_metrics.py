"""What the kubelet and Prometheus are told: readiness, a liveness that notices what is stuck, and metrics."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from skillwarden.domain.finding import ScannerName
from skillwarden.kube.kinds import Kind
from skillwarden.runtime.metrics import Metrics
from skillwarden.runtime.probes import Probes
from skillwarden.scan.protocol import failed
from skillwarden.services.operator import Operator, Parts
from skillwarden.services.ports import Timing
from skillwarden.services.store import Store

LIMIT = timedelta(milliseconds=50)
KEY = ("Skill", "team", "demo")


class Hanging:
    """A reconciler that does not come back, however often it is told to."""

    def __init__(self, *, deaf: bool) -> None:
        self.started = asyncio.Event()
        self.ended = 0
        self.deaf = deaf

    async def prime(self) -> None:
        return None

    async def reconcile(self, *_: Any) -> None:
        self.started.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.ended += 1
                if not self.deaf:
                    raise


async def nothing(*_: Any, **__: Any) -> Any:
    return SimpleNamespace(items=[], resource_version="1")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def make_core(skills: Hanging, metrics: Metrics) -> Operator:
    unused: Any = None
    parts = Parts(
        store=Store(),
        cluster=SimpleNamespace(project=nothing),  # type: ignore[arg-type]
        skills=skills,  # type: ignore[arg-type]
        runs=unused,
        accepted=unused,
        approvals=unused,
        strays=unused,
        feed=SimpleNamespace(revision="r1", synced_at=None),  # type: ignore[arg-type]
        setup=unused,
        timing=Timing(reconcile_limit=LIMIT),
        name_findings=lambda _: (),
        source_findings=lambda *_: (),
        observer=metrics,
    )
    return Operator(parts, workers=1)


async def until(look: Callable[[], Any], what: str) -> Any:
    async with asyncio.timeout(30):
        while not (seen := look()):
            await asyncio.sleep(0.01)
    assert seen, what
    return seen


async def test_a_reconcile_that_hangs_is_ended_and_tried_again(metrics: Metrics) -> None:
    skills = Hanging(deaf=False)
    core = make_core(skills, metrics)
    await core.start()
    await core.lead()
    core.queue.add(KEY)
    await until(lambda: skills.ended, "it was ended")
    await until(lambda: core.queue.failures(KEY), "it is tried again")
    assert core.stuck() == ""
    await core.stop()


async def test_a_worker_that_does_not_come_back_is_stuck(metrics: Metrics) -> None:
    skills = Hanging(deaf=True)
    core = make_core(skills, metrics)
    await core.start()
    await core.lead()
    assert core.stuck() == "", "an idle operator is alive"
    core.queue.add(KEY)
    why = await until(core.stuck, "it is noticed")
    assert "a worker has been on Skill/team/demo for" in why
    skills.deaf = False
    await core.stop()


async def test_a_worker_that_ended_is_noticed(metrics: Metrics) -> None:
    core = make_core(Hanging(deaf=False), metrics)
    await core.start()
    await core.lead()
    worker = next(task for task in core._tasks if task.get_name() == "worker-0")
    worker.cancel()
    await asyncio.wait([worker])
    assert core.stuck() == "worker-0 ended"
    await core.stop()


class Pod:
    """What a kubelet asks."""

    def __init__(self) -> None:
        self.ready, self.stuck, self.port = False, "", 0

    async def get(self, path: str) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
        ):
            return answer.status, await answer.text()


@pytest.fixture
async def pod(metrics: Metrics) -> AsyncIterator[Pod]:
    pod = Pod()
    probes = Probes(registry=metrics.registry, ready=lambda: pod.ready, stuck=lambda: pod.stuck)
    pod.port = await probes.start("127.0.0.1:0")
    yield pod
    await probes.stop()


async def test_probes(pod: Pod) -> None:
    assert await pod.get("/healthz") == (200, "ok\n")
    assert await pod.get("/readyz") == (503, "not yet\n")
    pod.ready, pod.stuck = True, "a worker has been on it"
    assert await pod.get("/readyz") == (200, "ok\n")
    assert await pod.get("/healthz") == (500, "stuck: a worker has been on it\n")


async def test_metrics_count_what_happened(pod: Pod, metrics: Metrics) -> None:
    metrics.reconciled("Skill", 0.1, "ok")
    metrics.waited(0.2)
    metrics.staged("resolve", 3, "retry")
    metrics.scanned(failed(ScannerName.OSV, "down", retryable=True), 0.5)
    metrics.requested("create", "Pod", 201)
    metrics.watch_skills(lambda: {("Allowed", "Ready"): 3}, lambda: {("Scanned", "False"): 2})
    metrics.watch_advisories(lambda: 7.0, lambda: "sha256:" + "a" * 64)
    metrics.watch_audit(["file"])
    metrics.reused("scan")
    metrics.had_verdict(3)
    metrics.was_ready(4)
    metrics.reviewed("Skill", 0.002, "warned")
    metrics.watch_leader(lambda: True)
    _, text = await pod.get("/metrics")
    for line in (
        'skillwarden_reconcile_seconds_count{kind="Skill",outcome="ok"} 1.0',
        "skillwarden_queue_wait_seconds_sum 0.2",
        'skillwarden_stage_seconds_sum{outcome="retry",stage="resolve"} 3.0',
        'skillwarden_scanner_seconds_count{scanner="osv",state="error"} 1.0',
        'skillwarden_api_requests_total{kind="Pod",status="201",verb="create"} 1.0',
        'skillwarden_skills{reason="Ready",verdict="Allowed"} 3.0',
        'skillwarden_conditions{status="False",type="Scanned"} 2.0',
        'skillwarden_advisories_info{revision="aaaaaaaaaaaa"} 1.0',
        'skillwarden_stage_reused_total{stage="scan"} 1.0',
        'skillwarden_audit_lost_total{sink="file"} 0.0',
        "skillwarden_apply_to_verdict_seconds_sum 3.0",
        "skillwarden_apply_to_ready_seconds_sum 4.0",
        'skillwarden_admission_seconds_count{answer="warned",kind="Skill"} 1.0',
        "skillwarden_leader 1.0",
    ):
        assert line in text


def test_the_page_of_metrics_is_that_of_the_code(watched_metrics: Metrics, repo_root: Path) -> None:
    page = (repo_root / "docs" / "operations" / "metrics.md").read_text()
    rows = re.findall(r"^\| (`skillwarden_.*?) \|", page, flags=re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    families = watched_metrics.registry.collect()
    assert named == {
        f"{family.name}_total" if family.type == "counter" else family.name for family in families
    }


async def test_skills_are_counted_by_their_status(metrics: Metrics) -> None:
    core = make_core(Hanging(deaf=False), metrics)
    status = {"verdict": "Denied", "conditions": [{"type": "Ready", "status": "False", "reason": "Refused"}]}
    for name, given in (("a", status), ("b", {}), ("c", status)):
        meta = {"name": name, "namespace": "team", "uid": name, "resourceVersion": "1"}
        core.observe(Kind.SKILL, "ADDED", {"metadata": meta, "spec": {}, "status": given})
    assert core.outcomes() == {("Denied", "Refused"): 2, ("", ""): 1}
    assert core.conditions() == {("Ready", "False"): 2}

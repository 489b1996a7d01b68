"""Wires the operator together: the one place that knows every part."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

import structlog

from .. import __version__
from ..advisories.feed import AdvisoryFeed
from ..audit.sinks import FileSink, Sink, StreamSink
from ..audit.trail import Trail
from ..builders.pod import Images
from ..depot.client import DepotClient
from ..depot.reading import malware_detector_of, reader_of
from ..depot.tokens import operator_token
from ..domain.errors import SkillwardenError
from ..handlers.watch import Watcher, WatchPlan
from ..kube.gateway import Gateway
from ..kube.kinds import Kind
from ..scan.factory import default_scanners
from ..scan.names import name_findings
from ..scan.runner import ScanRunner
from ..services.admission import Admission
from ..services.approvals import Requests
from ..services.canary import CanaryPlan, CanaryProber
from ..services.children import Children
from ..services.execute import Executor
from ..services.fence import Fenced
from ..services.guard import APPROVAL_PROBE, Guard
from ..services.isolation import Isolation
from ..services.judge import Judge
from ..services.marks import Marker
from ..services.notify import Notifier
from ..services.operator import Operator, Parts
from ..services.ports import Audit, Cluster, SandboxSetup, Timing
from ..services.reconcile_accepted import AcceptedReconciler
from ..services.reconcile_approval import ApprovalReconciler
from ..services.reconcile_run import RunReconciler
from ..services.reconcile_skill import SkillReconciler
from ..services.sources import ConfigMapSources
from ..services.stages import Stages
from ..services.store import Store
from ..services.strays import StrayCatcher
from ..services.tools import Tools
from ..services.waits import Waits
from ..services.watched import WATCHED
from ..source.look import remembered_source_findings
from .advisories import AdvisoryKeeper
from .configured import closure_resolver, project_ages, sandbox_setup, utc_now
from .kinds import KindFollower
from .leadership import Leadership
from .metrics import Metrics
from .probes import Probes
from .settings import Settings
from .webhook import Webhook

log = structlog.get_logger(__name__)


@asynccontextmanager
async def operator(settings: Settings, *, timing: Timing | None = None) -> AsyncIterator[Operator]:
    """Run the operator for as long as the context is open.

    Raises
    ------
    SkillwardenError, ValueError
        Where the settings do not suffice, or the API server or its CRDs are not there.
    """
    timing = timing or Timing()
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        cluster = await Gateway.connect(
            kubeconfig=settings.kubeconfig,
            context=settings.context,
            user_agent=f"skillwarden/{__version__}",
            on_request=metrics.requested,
            namespaces=settings.watch_namespaces,
        )
        stack.push_async_callback(cluster.close)
        key = settings.depot.read_key()
        depot = await stack.enter_async_context(
            DepotClient(
                settings.depot.url,
                operator_token=operator_token(key),
                unix_socket=settings.depot.unix_socket,
            )
        )
        feed = AdvisoryFeed(settings.advisories)
        scans = ScanRunner(
            default_scanners(
                feed,
                read_facts=reader_of(depot),
                detect_malware=malware_detector_of(depot),
                ask_first_seen=project_ages(settings).of,
                memory_limit_bytes=settings.tool_memory_bytes,
            ),
            deadline_seconds=settings.scan_deadline,
            max_concurrency=4,
            on_report=metrics.scanned,
        )
        stack.push_async_callback(scans.close)
        stages = Stages(
            resolver=closure_resolver(settings),
            scans=scans,
            depot=depot,
            now=utc_now,
            retry=timing.retry,
            retry_limit=timing.retry_limit,
            concurrency=settings.stage_concurrency,
            on_end=metrics.staged,
            on_reuse=metrics.reused,
        )
        stack.push_async_callback(stages.close)
        setup = sandbox_setup(settings, key=key)
        trail = _trail(settings, metrics)
        trail.start()
        stack.push_async_callback(asyncio.to_thread, trail.close)
        leadership = _leadership(settings, cluster)
        core, admission = _wire(
            Fenced(cluster, held=lambda: leadership.held) if leadership else cluster,
            stages=stages,
            feed=feed,
            setup=setup,
            timing=timing,
            settings=settings,
            metrics=metrics,
            audit=trail,
        )
        metrics.watch_queue(core.backlog)
        metrics.watch_advisories(lambda: feed.age_seconds(utc_now()), lambda: feed.revision)
        metrics.watch_skills(core.outcomes, core.conditions)
        if settings.advisories_source:
            keeper = AdvisoryKeeper(
                settings.advisories_source, into=settings.advisories, interval=settings.advisories_interval
            )
            stack.push_async_callback(keeper.stop)
            keeper.start()
        metrics.watch_leader(lambda: leadership is None or leadership.held)
        await core.start()
        if leadership is not None:
            stack.push_async_callback(leadership.release)
        renewing = await stack.enter_async_context(AsyncExitStack())
        stack.push_async_callback(core.stop)
        watcher = Watcher(
            WatchPlan(
                selectors=WATCHED,
                observe=core.observe,
                begin=core.begin_watch,
                loop=asyncio.get_running_loop(),
                connection=cluster.connection_details,
                silence=timing.watch_silence.total_seconds(),
                namespaces=settings.watch_namespaces,
            )
        )
        watcher.start()
        stack.push_async_callback(watcher.stop)
        kinds = KindFollower(
            partial(cluster.served, Kind.SKILL.group, Kind.SKILL.version),
            returned=watcher.restart,
            look_seconds=timing.kinds_poll.total_seconds(),
        )
        kinds.start()
        stack.push_async_callback(kinds.stop)
        ready = partial(_watching, core, watcher)
        await _listen(stack, settings, core=core, ready=ready, metrics=metrics, admission=admission)
        log.info("the operator runs", version=__version__, advisories=feed.revision or "none")
        if leadership is None:
            await core.lead()
        else:
            task = asyncio.create_task(_lead(core, leadership), name="leadership")
            # Renewed until everything else has ended: what is written meanwhile is written by the holder.
            renewing.push_async_callback(_cancelled, task)
        yield core


def _watching(core: Operator, watcher: Watcher) -> bool:
    return core.primed and watcher.watching


async def _listen(
    stack: AsyncExitStack,
    settings: Settings,
    *,
    core: Operator,
    ready: Callable[[], bool],
    metrics: Metrics,
    admission: Admission,
) -> None:
    """Open the ports of this process."""
    if settings.metrics_address:
        probes = Probes(registry=metrics.registry, ready=ready, stuck=core.stuck)
        await probes.start(settings.metrics_address)
        stack.push_async_callback(probes.stop)
    if settings.webhook_address:
        webhook = Webhook(admission, certificates=settings.webhook_certificates, on_answer=metrics.reviewed)
        await webhook.start(settings.webhook_address)
        stack.push_async_callback(webhook.stop)


def _trail(settings: Settings, metrics: Metrics) -> Trail:
    sinks: list[Sink] = []
    if settings.audit_stdout:
        sinks.append(StreamSink(sys.stdout.fileno()))
    if settings.audit_file is not None:
        sinks.append(FileSink(settings.audit_file))
    metrics.watch_audit(sink.name for sink in sinks)
    return Trail(
        sinks,
        now=utc_now,
        about={"actor": "skillwarden"},
        always={"operator": socket.gethostname(), "version": __version__},
        on_written=metrics.audited,
        on_lost=metrics.audit_lost,
    )


def _leadership(settings: Settings, cluster: Gateway) -> Leadership | None:
    if not settings.lease:
        return None
    namespace, _, name = settings.lease.partition("/")
    # The Pod's name, for a reader; the rest tells this process from the one before it in the same Pod.
    identity = f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"
    return Leadership(
        cluster, namespace=namespace, name=name, identity=identity, seconds=settings.lease_seconds
    )


async def _lead(core: Operator, leadership: Leadership) -> None:
    """Act once the lease is held, until it is lost."""
    try:
        await leadership.lead(core.lead)
    except* SkillwardenError as errors:
        log.error("this operator cannot lead", error="; ".join(map(str, errors.exceptions)))
    except* Exception:
        log.exception("leading broke")
    finally:
        # Whatever ended it: a new process begins anew.
        core.lost.set()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _wire(
    cluster: Cluster,
    *,
    stages: Stages,
    feed: AdvisoryFeed,
    setup: SandboxSetup,
    timing: Timing,
    settings: Settings,
    metrics: Metrics,
    audit: Audit,
) -> tuple[Operator, Admission]:
    store = Store()
    isolation = Isolation(settings.network_enforced)
    metrics.watch_isolation(lambda: isolation.seen, lambda: isolation.pids)
    sources = ConfigMapSources(cluster, look=remembered_source_findings)
    requests = Requests(store=store, cluster=cluster, now=utc_now)
    approval_guard = Guard(
        cluster, trust=settings.trust_approvals, timing=timing, now=utc_now, probe=APPROVAL_PROBE
    )
    notifier = Notifier(cluster, now=utc_now, reporter=socket.gethostname(), audit=audit)
    children = Children(store=store, setup=setup, isolation=isolation)
    judge = Judge(
        store=store,
        cluster=cluster,
        stages=stages,
        feed=feed,
        guard=Guard(cluster, trust=settings.trust_agent_refs, timing=timing, now=utc_now),
        approval_guard=approval_guard,
        sources=sources,
        setup=setup,
        now=utc_now,
    )
    executor = Executor(cluster=cluster, store=store, children=children, setup=setup, audit=audit)
    tools = Tools(
        store=store,
        cluster=cluster,
        stages=stages,
        judge=judge,
        requests=requests,
        children=children,
        executor=executor,
        notifier=notifier,
        sources=sources,
        isolation=isolation,
        waits=Waits(time.monotonic, on_verdict=metrics.had_verdict, on_ready=metrics.was_ready),
        setup=setup,
        timing=timing,
        now=utc_now,
    )
    skills = SkillReconciler(tools)
    parts = Parts(
        store=store,
        cluster=cluster,
        skills=skills,
        runs=RunReconciler(tools, skills=skills),
        accepted=AcceptedReconciler(
            store=store,
            cluster=cluster,
            now=utc_now,
            audit=audit,
            cluster_policies=not settings.watch_namespaces,
        ),
        approvals=ApprovalReconciler(
            store=store,
            cluster=cluster,
            now=utc_now,
            requests=requests,
            guard=approval_guard,
            timing=timing,
            notifier=notifier,
            audit=audit,
        ),
        strays=StrayCatcher(store=store, cluster=cluster, executor=executor, setup=setup),
        feed=feed,
        setup=setup,
        timing=timing,
        name_findings=name_findings,
        source_findings=remembered_source_findings,
        observer=metrics,
        canary=_canary(settings, cluster, setup, isolation),
        marker=Marker(
            store,
            stages.depot,
            holder=settings.lease or f"operator on {socket.gethostname()}",
            interval=timing.mark_interval,
            retry=timing.retry,
            on_usage=metrics.depot_used,
        ),
    )
    core = Operator(parts, workers=settings.workers)
    isolation.on_change = core.isolation_changed
    return core, Admission(judge, name_findings=name_findings)


def _canary(
    settings: Settings, cluster: Cluster, setup: SandboxSetup, isolation: Isolation
) -> CanaryProber | None:
    if not settings.canary_namespace:
        return None
    images = Images(
        runtime="",
        operator=setup.operator_image,
        pull_policy=setup.pull_policy,
        pull_secrets=settings.canary_pull_secrets,
    )
    plan = CanaryPlan(
        namespace=settings.canary_namespace,
        images=images,
        target=setup.depot,
        interval=timedelta(seconds=settings.canary_interval),
        owner=settings.canary_owner,
    )
    return CanaryProber(cluster, plan, isolation)

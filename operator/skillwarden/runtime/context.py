"""Wires the operator together: the one place that knows every part."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import structlog

from .. import __version__
from ..advisories.feed import AdvisoryFeed
from ..builders.network_policy import DepotEndpoint
from ..depot.client import DepotClient
from ..depot.tokens import issue, operator_token
from ..handlers.watch import Watcher, WatchPlan
from ..kube.gateway import Gateway
from ..kube.kinds import Kind
from ..resolve.python import PythonResolver
from ..resolve.settings import ResolverSettings
from ..scan.factory import default_scanners
from ..scan.runner import ScanRunner
from ..scan.typosquat import typosquat_findings
from ..services.children import Children
from ..services.execute import Executor
from ..services.guard import Guard
from ..services.judge import Judge
from ..services.notify import Notifier
from ..services.operator import WATCHED, Operator, Parts
from ..services.ports import SandboxSetup, Timing
from ..services.reconcile_accepted import AcceptedReconciler
from ..services.reconcile_run import RunReconciler
from ..services.reconcile_skill import SkillReconciler
from ..services.sources import ConfigMapSources
from ..services.stages import Stages
from ..services.store import Store
from ..services.strays import StrayCatcher
from ..services.tools import Tools
from .advisories import AdvisoryKeeper
from .kinds import KindFollower
from .metrics import Metrics
from .probes import Probes
from .settings import Settings

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """Return the wall clock, aware, in UTC."""
    return datetime.now(UTC)


def resolver_settings(settings: Settings) -> ResolverSettings:
    """Return what the resolver needs of the settings."""
    return ResolverSettings(
        index_url=settings.index_url,
        index_username=settings.index_username,
        index_password=settings.index_password.get_secret_value(),
        netrc=settings.index_netrc,
        deadline_seconds=settings.resolve_deadline,
        cache_dir=settings.state_dir / "cache" / "uv",
        allowed_hosts=frozenset(settings.index_hosts),
    )


def sandbox_setup(settings: Settings, *, key: bytes) -> SandboxSetup:
    """Return what the settings say about every sandbox."""
    depot = settings.depot
    endpoint = DepotEndpoint(
        host=depot.sandbox_address(),
        port=depot.sandbox_port,
        target_port=depot.sandbox_target_port,
        in_cluster=depot.cidr is None,
        selector=depot.selector,
        namespace_labels={"kubernetes.io/metadata.name": depot.namespace},
        cidr=depot.cidr,
    )

    def token(lock_digest: str, content_digest: str, input_digest: str | None) -> str:
        return issue(key, lock_digest=lock_digest, content_digest=content_digest, input_digest=input_digest)

    return SandboxSetup(
        runtimes=settings.runtimes,
        default_version=settings.default_python,
        operator_image=settings.operator_image,
        pull_policy=settings.pull_policy,
        pull_secrets=settings.pull_secrets,
        libc=settings.libc,
        arch=settings.arch,
        depot=endpoint,
        host_users=settings.host_users,
        network_enforced=settings.network_enforced,
        token=token,
        seal_key=key,
    )


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
        stages = Stages(
            resolver=PythonResolver(resolver_settings(settings)),
            scans=ScanRunner(
                default_scanners(feed),
                deadline_seconds=settings.scan_deadline,
                max_concurrency=4,
            ),
            depot=depot,
            now=utc_now,
            retry=timing.retry,
            retry_limit=timing.retry_limit,
            concurrency=settings.stage_concurrency,
        )
        stack.push_async_callback(stages.close)
        setup = sandbox_setup(settings, key=key)
        core = _wire(
            cluster, stages=stages, feed=feed, setup=setup, timing=timing, settings=settings, metrics=metrics
        )
        metrics.watch_queue(partial(len, core.queue))
        metrics.watch_advisories(partial(_age, feed))
        if settings.advisories_source:
            keeper = AdvisoryKeeper(
                settings.advisories_source, into=settings.advisories, interval=settings.advisories_interval
            )
            stack.push_async_callback(keeper.stop)
            keeper.start()
        await core.start()
        stack.push_async_callback(core.stop)
        watcher = Watcher(
            WatchPlan(
                selectors=WATCHED,
                observe=core.observe,
                restarted=core.relist_soon,
                loop=asyncio.get_running_loop(),
                connection=cluster.connection_details,
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
        if settings.metrics_address:
            probes = Probes(registry=metrics.registry, ready=lambda: core.primed and watcher.watching)
            await probes.start(settings.metrics_address)
            stack.push_async_callback(probes.stop)
        log.info("the operator runs", version=__version__, advisories=feed.revision or "none")
        yield core


def _wire(
    cluster: Gateway,
    *,
    stages: Stages,
    feed: AdvisoryFeed,
    setup: SandboxSetup,
    timing: Timing,
    settings: Settings,
    metrics: Metrics,
) -> Operator:
    store = Store()
    sources = ConfigMapSources(cluster)
    children = Children(store=store, setup=setup)
    judge = Judge(
        store=store,
        cluster=cluster,
        stages=stages,
        feed=feed,
        guard=Guard(cluster, trust=settings.trust_agent_refs, timing=timing, now=utc_now),
        sources=sources,
        setup=setup,
        now=utc_now,
    )
    executor = Executor(cluster=cluster, store=store, children=children, setup=setup)
    tools = Tools(
        store=store,
        cluster=cluster,
        stages=stages,
        judge=judge,
        children=children,
        executor=executor,
        notifier=Notifier(cluster, now=utc_now, reporter=socket.gethostname(), version=__version__),
        sources=sources,
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
        accepted=AcceptedReconciler(store=store, cluster=cluster, now=utc_now),
        strays=StrayCatcher(store=store, cluster=cluster, executor=executor, setup=setup),
        feed=feed,
        setup=setup,
        timing=timing,
        name_findings=typosquat_findings,
        observer=metrics,
    )
    return Operator(parts, workers=settings.workers)


def _age(feed: AdvisoryFeed) -> float:
    synced = feed.synced_at
    return (utc_now() - synced).total_seconds() if synced else math.nan

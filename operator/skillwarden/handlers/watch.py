"""kopf watches, and nothing more (DESIGN 6).

Only ``on.event`` handlers are registered: change handlers, timers and delete handlers would add a finalizer
and bookkeeping annotations to users' objects. kopf runs in a thread and a loop of its own, because its watch
can die or hang in ways that only a new loop recovers from; when it does, it is started anew.

kopf's own first list of a kind would hand over thousands of objects, each through a task of its own, after we
have listed them ourselves. So a watch of ours begins with our list: kopf asks ``WatchPlan.begin``
for the resource version at which to begin, and brings only what happened since.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import kopf
import structlog
from kopf._cogs.clients import watching

from ..domain.errors import SkillwardenError
from ..kube.auth import ConnectionDetails
from ..kube.kinds import Kind

log = structlog.get_logger(__name__)

#: What kopf calls itself; of no consequence, for it has no peers here.
IDENTITY: Any = "skillwarden"
#: kopf ends by itself within this many seconds of being cancelled, or is left behind with its loop.
CANCEL_SECONDS = 3.0
CANCEL_ROUNDS = 3
#: The pause before kopf is started again; doubled up to the second.
RESTART_SECONDS, RESTART_LIMIT_SECONDS = 0.5, 30.0

Observe = Callable[[Kind, str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPlan:
    """What to watch, and whom to tell.

    Attributes
    ----------
    selectors
        Label selector by kind, applied at the server; ``""`` for none.
    observe
        Called on ``loop`` with kind, event type and body.
    begin
        Awaited on ``loop`` with kind and namespace (``None``: all): lists what there is, and returns the
        resource version at which a watch of it begins; raises ``SkillwardenError`` where it cannot be listed.
    loop
        The operator's own.
    connection
        Where the API server is, and with which credentials.
    silence
        Seconds after which a watch that brings nothing counts as dead.
    namespaces
        The only ones in which namespaced kinds are watched; empty: all.
    """

    selectors: Mapping[Kind, str]
    observe: Observe
    begin: Callable[[Kind, str | None], Coroutine[Any, Any, str]]
    loop: asyncio.AbstractEventLoop
    connection: Callable[[], Awaitable[ConnectionDetails]] = field(repr=False)
    silence: float
    namespaces: Sequence[str] = ()


#: Whose watches run in this context; kopf's other uses keep kopf's own lists.
_PLAN: ContextVar[WatchPlan] = ContextVar("plan")


async def begin_with_our_list(
    *, settings: kopf.OperatorSettings, resource: Any, namespace: str | None, logger: Any
) -> AsyncIterator[tuple[list[Any], str]]:
    """Stand in for ``fetch_objs`` of kopf's watches: no objects, and where the watch begins."""
    plan = _PLAN.get(None)
    if plan is None:
        async for chunk in _KOPF_LISTS.fetch_objs(
            settings=settings, resource=resource, namespace=namespace, logger=logger
        ):
            yield chunk
        return
    kind = next(kind for kind in plan.selectors if _is(kind)(resource))
    pause = RESTART_SECONDS
    while True:
        try:
            listed = asyncio.run_coroutine_threadsafe(plan.begin(kind, namespace), plan.loop)
            version = await asyncio.wrap_future(listed)
            break
        except SkillwardenError as error:
            log.warning("a kind cannot be listed", kind=kind.kind, error=str(error), pause=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, RESTART_LIMIT_SECONDS)
    yield [], version


_KOPF_LISTS: Any = vars(watching)["fetching"]
# kopf has no setting for this. With a kopf whose watches do not ask here, tests/operator fail at once.
vars(watching)["fetching"] = SimpleNamespace(fetch_objs=begin_with_our_list)


def build_registry(plan: WatchPlan) -> kopf.OperatorRegistry:
    """Return a registry with one event handler a kind, and a login."""
    registry = kopf.OperatorRegistry()

    async def login(**_: Any) -> kopf.ConnectionInfo:
        details = await plan.connection()
        return kopf.ConnectionInfo(**details.as_arguments())

    kopf.on.login(id="login", registry=registry)(login)
    for kind in plan.selectors:
        _watch(registry, plan, kind)
    return registry


def _watch(registry: kopf.OperatorRegistry, plan: WatchPlan, kind: Kind) -> None:
    async def forward(event: Mapping[str, Any], **_: Any) -> None:
        body = dict(event["object"])
        # The loop may be closing: then nobody wants to know any more.
        with contextlib.suppress(RuntimeError):
            plan.loop.call_soon_threadsafe(plan.observe, kind, event["type"], body)

    kopf.on.event(kind.group, kind.version, kind.plural, id=f"observe-{kind.plural}", registry=registry)(
        forward
    )


def build_settings(selectors: Mapping[Kind, str], *, silence: float) -> kopf.OperatorSettings:
    """Return kopf's settings, as measured (DESIGN 6)."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.queueing.worker_limit = 100
    settings.queueing.idle_timeout = 0.1
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = silence
    settings.process.ultimate_exiting_timeout = None
    for kind, selector in selectors.items():
        if selector:
            settings.watching.label_selectors[_is(kind)] = selector
    return settings


def _is(kind: Kind) -> Callable[[Any], bool]:
    return lambda resource: (resource.group, resource.plural) == (kind.group, kind.plural)


class Watcher:
    """Keeps kopf running in a thread of its own."""

    def __init__(self, plan: WatchPlan) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[Any]] = []
        self._watching = threading.Event()

    @property
    def watching(self) -> bool:
        """Whether kopf has started and has not ended since."""
        return self._watching.is_set()

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    async def stop(self) -> None:
        """Stop watching; returns once the thread has ended or its time is over."""
        self._stop.set()
        self.restart()
        await asyncio.to_thread(self._thread.join, CANCEL_SECONDS * 2)

    def restart(self) -> None:
        """Have kopf end and start anew: it never watches a kind again that it once found missing."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _run(self) -> None:
        pause = RESTART_SECONDS
        while not self._stop.is_set():
            loop = self._loop = asyncio.new_event_loop()
            started = loop.time()
            try:
                loop.run_until_complete(self._watch_once())
            except Exception:
                log.exception("the watch broke")
            finally:
                self._close(loop)
            if self._stop.is_set():
                return
            pause = RESTART_SECONDS if loop.time() - started > RESTART_LIMIT_SECONDS else pause * 2
            self._stop.wait(min(pause, RESTART_LIMIT_SECONDS))

    async def _watch_once(self) -> None:
        """Run kopf until the first of its tasks ends, which it should not; then end the others."""
        _PLAN.set(self._plan)
        tasks = await kopf.spawn_tasks(
            registry=build_registry(self._plan),
            settings=build_settings(self._plan.selectors, silence=self._plan.silence),
            standalone=True,
            clusterwide=not self._plan.namespaces,
            namespaces=tuple(self._plan.namespaces),
            # Else kopf asks for the user's name, and a container's uid need not have one.
            identity=IDENTITY,
            ready_flag=self._watching,
        )
        self._tasks = list(tasks)
        try:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    log.warning("a watch ended", task=task.get_name(), error=str(error))
        finally:
            self._cancel()
            await asyncio.wait(self._tasks, timeout=CANCEL_SECONDS)

    def _close(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watching.clear()
        self._tasks = []
        self._loop = None
        with contextlib.suppress(Exception):
            # What is cancelled may wait for others once more while it ends, or start them.
            for _ in range(CANCEL_ROUNDS):
                leftover = asyncio.all_tasks(loop)
                if not leftover:
                    break
                for task in leftover:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(leftover, timeout=CANCEL_SECONDS / CANCEL_ROUNDS))
            loop.run_until_complete(loop.shutdown_asyncgens())
        with contextlib.suppress(Exception):
            loop.close()

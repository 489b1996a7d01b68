"""One operator acts at a time: whoever holds a Lease. The others watch, and wait for it to end.

No clock but one's own is trusted: a candidate takes a Lease over once it has seen no renewal for the whole
term, and a holder counts as such for a part of the term, from the moment before it asked for its last
renewal. What is left of the term is for requests that are still under way when the holder gives up.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from ..domain.errors import SkillwardenError
from ..kube.errors import AlreadyExists, Conflict
from ..kube.kinds import Kind

log = structlog.get_logger(__name__)

Body = dict[str, Any]
MANAGER = "skillwarden-lease"
#: Shares of the term: after which a holder renews, and after which it no longer counts as one.
RENEW_SHARE, HELD_SHARE = 0.2, 0.65


class Leases(Protocol):
    """What is needed of the Kubernetes API."""

    async def get(self, kind: Kind, *, name: str, namespace: str | None = None) -> Body | None:
        """Return one object, or ``None``."""
        ...

    async def create(self, kind: Kind, body: Body) -> Body:
        """Create an object."""
        ...

    async def merge(
        self, kind: Kind, body: Body, *, name: str, namespace: str | None = None, manager: str = ""
    ) -> Body:
        """Merge a patch into an object."""
        ...


def boot_clock() -> float:
    """Return seconds since some moment; they pass while the process or the machine is stopped, too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leadership:
    """One candidate for one Lease.

    Parameters
    ----------
    leases
        The API server.
    namespace, name
        Of the Lease.
    identity
        Who this is; no two processes may have the same.
    seconds
        The term: how long after a holder's last renewal another may take over.
    clock
        Seconds, of this process alone.
    """

    def __init__(
        self,
        leases: Leases,
        *,
        namespace: str,
        name: str,
        identity: str,
        seconds: float,
        clock: Callable[[], float] = boot_clock,
    ) -> None:
        self._leases = leases
        self._namespace, self._name = namespace, name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._held_until = -math.inf
        # What was last seen of another's Lease, and since when it stands.
        self._seen: Body = {}
        self._seen_at = -math.inf

    @property
    def held(self) -> bool:
        """Whether nobody else can be the holder now."""
        return self._clock() < self._held_until

    async def acquire(self) -> None:
        """Wait until the Lease is ours, however long that takes."""
        while not await self.attempt(self._seconds):  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(self._seconds * RENEW_SHARE)
        log.info("this operator leads", lease=f"{self._namespace}/{self._name}", identity=self._identity)

    async def lead(self, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the Lease, begin to act, and renew it from the start; returns once it is lost.

        What begins may take longer than the term, as where it lists much from an API server that is slow.

        Raises
        ------
        ExceptionGroup
            Of what ``begin`` raised.
        """
        await self.acquire()
        async with asyncio.TaskGroup() as group:
            beginning = group.create_task(begin())
            keeping = group.create_task(self.keep())
            keeping.add_done_callback(lambda _: beginning.cancel())

    async def keep(self) -> None:
        """Renew the Lease; returns once it is lost."""
        while self.held:
            await asyncio.sleep(self._seconds * RENEW_SHARE)
            await self.attempt(self._held_until - self._clock())
        log.error("the lease is lost", lease=f"{self._namespace}/{self._name}", identity=self._identity)

    async def release(self) -> None:
        """Let the Lease go, so that another need not wait for the end of the term."""
        if not self.held:
            return
        self._held_until = -math.inf
        try:
            body = await self._leases.get(Kind.LEASE, name=self._name, namespace=self._namespace)
            if body is not None and _spec(body).get("holderIdentity") == self._identity:
                await self._write(body, {"holderIdentity": "", "leaseDurationSeconds": 1})
        except SkillwardenError as error:
            log.warning("the lease could not be let go; it ends by itself", error=str(error))

    async def attempt(self, seconds: float) -> bool:
        """Try once to take or renew it within some seconds; return whether it is ours."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                return await self._try()
        except Conflict:
            return False  # somebody else was faster
        except (SkillwardenError, TimeoutError) as error:
            log.warning("the lease cannot be asked for", error=str(error) or "no answer in time")
            return False

    async def _try(self) -> bool:
        body = await self._leases.get(Kind.LEASE, name=self._name, namespace=self._namespace)
        asked = self._clock()
        if body is None:
            try:
                await self._leases.create(Kind.LEASE, self._body(self._terms(acquired=True, transitions=0)))
            except AlreadyExists:
                return False
        else:
            spec = _spec(body)
            mine = spec.get("holderIdentity") == self._identity
            if not mine and not self._over(spec):
                self._held_until = -math.inf
                return False
            transitions = int(spec.get("leaseTransitions") or 0) + (not mine)
            await self._write(body, self._terms(acquired=not mine, transitions=transitions))
        self._held_until = asked + self._seconds * HELD_SHARE
        return True

    def _over(self, spec: Body) -> bool:
        """Whether another's Lease was let go, or was not renewed for its whole term under our eyes."""
        if not spec.get("holderIdentity"):
            return True
        if spec != self._seen:
            self._seen, self._seen_at = spec, self._clock()
            return False
        term = max(self._seconds, float(spec.get("leaseDurationSeconds") or 0))
        return self._clock() - self._seen_at >= term

    async def _write(self, body: Body, spec: Body) -> None:
        meta = {"resourceVersion": body["metadata"]["resourceVersion"]}
        await self._leases.merge(
            Kind.LEASE,
            {"metadata": meta, "spec": spec},
            name=self._name,
            namespace=self._namespace,
            manager=MANAGER,
        )

    def _body(self, spec: Body) -> Body:
        return {"metadata": {"name": self._name, "namespace": self._namespace}, "spec": spec}

    def _terms(self, *, acquired: bool, transitions: int) -> Body:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._seconds),
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        return spec | ({"acquireTime": now} if acquired else {})


def _spec(body: Body) -> Body:
    return dict(body.get("spec") or {})

"""Sends canary Pods, and reads what they saw: isolation is probed, not assumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from ..builders.canary import CLOSED, CONTAINER, OPEN, POLICY_NAME, SELECTOR, canary_pod, canary_policy
from ..builders.network_policy import DepotEndpoint
from ..builders.pod import Images
from ..domain.errors import SkillwardenError
from ..kube.errors import AlreadyExists
from ..kube.kinds import Kind
from .isolation import Isolation, Sighting
from .ports import Body, Cluster

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryPlan:
    """Where canaries go and how often.

    Attributes
    ----------
    namespace
        The operator's own.
    images, target
        What they run, and what they try to reach.
    owner
        ``NAME/UID`` of the Pod with which they go: an operator that is uninstalled can clear nothing.
    interval, retry
        Between two probes, after one that could tell and one that could not.
    patience, poll
        How long two Pods may take altogether, and how often they are looked at.
    """

    namespace: str
    images: Images
    target: DepotEndpoint
    owner: str = ""
    interval: timedelta = timedelta(minutes=30)
    retry: timedelta = timedelta(minutes=2)
    patience: timedelta = timedelta(minutes=3)
    poll: timedelta = timedelta(seconds=2)


class CanaryProber:
    """Probes again and again; only the operator that leads does.

    Parameters
    ----------
    cluster, plan
        The API server, and where canaries go.
    isolation
        Told what they saw.
    """

    def __init__(self, cluster: Cluster, plan: CanaryPlan, isolation: Isolation) -> None:
        self._cluster = cluster
        self._plan = plan
        self._isolation = isolation

    async def run(self) -> None:
        """Probe for ever; a failure to is logged and stops nothing."""
        while True:
            try:
                sighting = await self.probe()
            except Exception:
                log.exception("probing the network's isolation broke")
                sighting = None
            told = sighting is not None and sighting.enforced is not None
            pause = self._plan.interval if told else self._plan.retry
            await asyncio.sleep(pause.total_seconds())

    async def probe(self) -> Sighting | None:
        """Send one canary of each kind and return what they saw; ``None``: they could not tell."""
        try:
            await self._clear()
            sighting = await self._look()
        except SkillwardenError as error:
            log.warning("the network's isolation cannot be probed", error=str(error))
            return None
        finally:
            await self._clear_quietly()
        if sighting is None or sighting.enforced is None:
            log.warning(
                "canary Pods could not tell whether NetworkPolicies are enforced",
                why="they did not end in time"
                if sighting is None
                else "the one that nothing should isolate could not reach the depot either",
            )
        elif sighting.enforced:
            log.info("NetworkPolicies are enforced", pids=sighting.pids)
        else:
            log.error("NetworkPolicies are not enforced", pids=sighting.pids)
        self._isolation.saw(sighting)
        return sighting

    async def _look(self) -> Sighting | None:
        plan = self._plan
        try:
            await self._cluster.create(Kind.NETWORK_POLICY, canary_policy(plan.namespace, owner=plan.owner))
        except AlreadyExists:
            log.debug("the canaries' policy stands")
        names = {}
        # The policy before the Pod, as for a sandbox.
        for which in (CLOSED, OPEN):
            body = canary_pod(plan.namespace, which, images=plan.images, target=plan.target, owner=plan.owner)
            made = await self._cluster.create(Kind.POD, body)
            names[which] = str(made["metadata"]["name"])
        try:
            async with asyncio.timeout(plan.patience.total_seconds()):
                seen = {which: await self._ended(name) for which, name in names.items()}
        except TimeoutError:
            return None
        if None in seen.values():
            return None
        closed, opened = seen[CLOSED] or {}, seen[OPEN] or {}
        pids = closed.get("pids")
        return Sighting(
            open_reached=opened.get("reached") is True,
            closed_reached=closed.get("reached") is True,
            pids=pids if type(pids) is int else None,
        )

    async def _ended(self, name: str) -> Mapping[str, Any] | None:
        """Wait for a canary's end and return what it wrote; ``None``: nothing that can be read."""
        while True:
            body = await self._cluster.get(Kind.POD, name=name, namespace=self._plan.namespace)
            if body is None:
                return None
            phase = (body.get("status") or {}).get("phase")
            if phase in {"Succeeded", "Failed"}:
                return _message(body)
            await asyncio.sleep(self._plan.poll.total_seconds())

    async def _clear(self) -> None:
        """Remove every canary, also those of an operator that was killed among them."""
        found = await self._cluster.list(Kind.POD, namespace=self._plan.namespace, label_selector=SELECTOR)
        for body in found.items:
            meta = body["metadata"]
            await self._cluster.delete(
                Kind.POD, name=meta["name"], namespace=meta["namespace"], uid=meta["uid"], grace_seconds=0
            )

    async def _clear_quietly(self) -> None:
        namespace = self._plan.namespace
        try:
            await self._clear()
            await self._cluster.delete(Kind.NETWORK_POLICY, name=POLICY_NAME, namespace=namespace)
        except SkillwardenError as error:
            log.warning("canary Pods are left", namespace=namespace, error=str(error))


def _message(body: Body) -> Mapping[str, Any] | None:
    for status in (body.get("status") or {}).get("containerStatuses") or []:
        ended = (status.get("state") or {}).get("terminated")
        if status.get("name") == CONTAINER and ended is not None:
            try:
                record = json.loads(ended.get("message") or "")
            except ValueError:
                return None
            return record if isinstance(record, dict) and type(record.get("reached")) is bool else None
    return None

"""Whether naming an agent takes the verb ``use`` here: tried, not assumed.

The admission policy of ``manifests/admission`` always refuses one reserved agent name. A dry-run create of a
Skill that names it tells whether the policy is in force in a namespace, whoever the operator is.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

from ..api.v1alpha1 import GROUP, VERSION
from ..api.v1alpha1.skill import GUARD_PROBE_AGENT
from ..kube.errors import ApiError, Forbidden, Invalid
from ..kube.kinds import Kind
from .ports import Body, Cluster, Now, Timing

log = structlog.get_logger(__name__)


def probe_skill(namespace: str) -> Body:
    """Return the Skill that only a missing guard would let pass."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Skill",
        "metadata": {"generateName": "guard-probe-", "namespace": namespace},
        "spec": {
            "agentRef": {"name": GUARD_PROBE_AGENT},
            "source": {"files": [{"path": "probe.py", "content": ""}]},
            "entrypoint": {"command": ["python", "probe.py"]},
        },
    }


class Guard:
    """Probes and remembers, by namespace.

    Parameters
    ----------
    cluster
        The API server.
    trust
        The setting ``trustAgentRefs``: nobody but one user can write there at all (the embedded cluster).
    timing, now
        How long an answer is believed, by which clock.
    """

    def __init__(self, cluster: Cluster, *, trust: bool, timing: Timing, now: Now) -> None:
        self._cluster = cluster
        self._trust = trust
        self._timing = timing
        self._now = now
        self._answers: dict[str, tuple[bool | None, datetime]] = {}

    async def in_force(self, namespace: str) -> bool | None:
        """Return whether the guard is in force; ``None``: could not be found out, which counts as no."""
        if self._trust:
            return True
        known = self._answers.get(namespace)
        if known is not None and self._now() < known[1]:
            return known[0]
        answer = await self._probe(namespace)
        ttl: timedelta = self._timing.guard_ttl if answer else self._timing.guard_retry
        self._answers[namespace] = (answer, self._now() + ttl)
        return answer

    async def _probe(self, namespace: str) -> bool | None:
        try:
            await self._cluster.create(Kind.SKILL, probe_skill(namespace), dry_run=True)
        except (Forbidden, Invalid) as error:
            # Only the policy names the reserved agent; a refusal for another reason proves nothing.
            if GUARD_PROBE_AGENT in error.message:
                return True
            log.warning("the agent guard cannot be probed", namespace=namespace, error=str(error))
            return None
        except ApiError as error:
            log.warning("the agent guard cannot be probed", namespace=namespace, error=str(error))
            return None
        return False

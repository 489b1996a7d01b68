"""Whether admission policies that we rely on are in force in a namespace: tried, not assumed.

The one on agents always refuses one reserved agent name, the one on approvals one reserved package. A dry-run
create of an object that names it tells whether the policy is in force, whoever the operator is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from ..api.v1alpha1 import GROUP, VERSION
from ..api.v1alpha1.package_approval import APPROVAL_PROBE_PACKAGE
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


def probe_approval(namespace: str) -> Body:
    """Return the PackageApproval that only a missing guard would let pass."""
    package = {"ecosystem": "PyPI", "name": APPROVAL_PROBE_PACKAGE, "version": "0"}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "PackageApproval",
        "metadata": {"generateName": "guard-probe-", "namespace": namespace},
        "spec": {
            "package": package,
            "artefacts": [{**package, "digest": "sha256:" + "0" * 64}],
            "policies": [{"kind": "ClusterPackagePolicy", "name": APPROVAL_PROBE_PACKAGE}],
            "minMaturity": "Student",
        },
    }


@dataclass(frozen=True, slots=True)
class Probe:
    """What is tried.

    Attributes
    ----------
    kind, make
        The object that must be refused.
    reserved
        The name that the policy's refusal holds.
    what
        For the log.
    """

    kind: Kind
    make: Callable[[str], Body]
    reserved: str
    what: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was found out.

    Attributes
    ----------
    in_force
        ``None``: it could not be found out.
    until
        When it is asked again.
    lapses_at
        Of a yes that got no answer when it was asked again: until when it counts all the same.
    """

    in_force: bool | None
    until: datetime
    lapses_at: datetime | None = None


AGENT_PROBE = Probe(Kind.SKILL, probe_skill, GUARD_PROBE_AGENT, "agent guard")
APPROVAL_PROBE = Probe(Kind.PACKAGE_APPROVAL, probe_approval, APPROVAL_PROBE_PACKAGE, "approval guard")


class Guard:
    """Probes and remembers, by namespace.

    Parameters
    ----------
    cluster
        The API server.
    probe
        What is tried.
    trust
        The setting ``trustAgentRefs`` or ``trustApprovals``: nobody but one user can write there at all (the
        embedded cluster).
    timing, now
        How long an answer is believed, by which clock.
    """

    def __init__(
        self, cluster: Cluster, *, trust: bool, timing: Timing, now: Now, probe: Probe = AGENT_PROBE
    ) -> None:
        self._cluster = cluster
        self._asked = probe
        self._trust = trust
        self._timing = timing
        self._now = now
        self._answers: dict[str, _Answer] = {}

    async def in_force(self, namespace: str) -> bool | None:
        """Return whether the guard is in force; ``None``: could not be found out, which is no yes.

        A yes stands for ``guard_ttl`` more once no answer came when it was asked again.
        """
        if self._trust:
            return True
        known = self._answers.get(namespace)
        if known is not None and self._now() < known.until:
            return known.in_force
        found = await self._probe(namespace)
        answer = self._answers[namespace] = self._answer(found, self._answers.get(namespace))
        return answer.in_force

    def last_answer(self, namespace: str) -> bool | None:
        """Return what was last found out, without asking; ``None``: nothing yet."""
        known = self._answers.get(namespace)
        return True if self._trust else known.in_force if known else None

    def unsure(self, namespace: str) -> bool:
        """Whether the last question did not bring a yes: no watch tells when another would."""
        known = self._answers.get(namespace)
        return known is not None and (known.in_force is not True or known.lapses_at is not None)

    def _answer(self, found: bool | None, before: _Answer | None) -> _Answer:
        """Return what a probe comes to: one without an answer takes back no yes for some time (ADR 6)."""
        now, timing = self._now(), self._timing
        if found:
            return _Answer(True, now + timing.guard_ttl)
        again = now + timing.guard_retry
        if found is None and before is not None and before.in_force:
            lapses_at = before.lapses_at or now + timing.guard_ttl
            if now < lapses_at:
                return _Answer(True, min(again, lapses_at), lapses_at)
        return _Answer(found, again)

    async def _probe(self, namespace: str) -> bool | None:
        asked = self._asked
        try:
            await self._cluster.create(asked.kind, asked.make(namespace), dry_run=True)
        except (Forbidden, Invalid) as error:
            # Only the policy names what is reserved; a refusal for another reason proves nothing.
            if asked.reserved in error.message:
                return True
            log.warning(f"the {asked.what} cannot be probed", namespace=namespace, error=str(error))
            return None
        except ApiError as error:
            log.warning(f"the {asked.what} cannot be probed", namespace=namespace, error=str(error))
            return None
        return False

"""What a Skill itself brings to its assessment: the part of the evidence that is the same on every road."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..domain.assess import AgentView, Evidence, Failure
from ..domain.content import invocation_digest
from ..domain.lock import Platform
from ..domain.policy import Policy
from ..domain.skill import Sandbox
from .records import SkillRecord


def evidence_of(
    record: SkillRecord,
    *,
    agent: AgentView,
    now: datetime,
    platform: Platform | None = None,
    runtime_failure: Failure | None = None,
    policies: Sequence[Policy] = (),
    policy_failures: Sequence[str] = (),
) -> Evidence:
    """Return the evidence on a Skill before anything of it was resolved, scanned or approved.

    Parameters
    ----------
    record
        The Skill; what was found in its files is taken from here, too.
    agent, now, platform, runtime_failure, policies, policy_failures
        As in ``Evidence``.
    """
    return Evidence(
        declared=record.declared,
        refusals=record.refusals,
        name_findings=record.name_findings,
        spec_failure=record.spec_failure,
        source_failure=record.source_failure,
        source_findings=record.source_findings,
        runtime_failure=runtime_failure,
        content_digest=record.content_digest,
        invocation_digest=invocation_digest(record.spec.invocation) if record.spec else "",
        pins=record.pins,
        platform=platform,
        agent=agent,
        policies=tuple(policies),
        policy_failures=tuple(policy_failures),
        sandbox=record.spec.sandbox if record.spec else Sandbox(),
        now=now,
    )

"""Status: what a Skill's and a SkillRun's say, and whether it is worth a write.

A status is written only when what a reader would act on changes: a new scan time or advisory revision that
decides the same is not (DESIGN 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..api.v1alpha1 import GROUP, VERSION
from ..api.v1alpha1.skill_status import MAX_LOCK_PACKAGES, MAX_PENDING_APPROVALS
from ..domain.assess import Assessment, verdict_word
from ..domain.conditions import ConditionDraft, merge, shorten, timestamp
from ..domain.decide import Plan
from ..domain.explain import counts
from ..domain.finding import FACTS, Finding, Severity
from ..domain.lock import Lock
from ..domain.merge import merge_findings
from ..domain.package import Ecosystem, PackageId
from ..domain.skill import SkillKey
from ..domain.verdict import Reason, Verdict

TOP = 10
#: Characters of the lock's list and of all lists of what waits. An object may have 1.5 MiB in the store, its
#: spec takes its part, and the whole of either is in ``skillwarden report``.
LOCK_CHARACTERS = 512 * 1024
PENDING_CHARACTERS = 128 * 1024
_SEVERITY_ORDER = {severity: rank for rank, severity in enumerate(Severity)}
#: Paths of a status that alone are no reason to write it.
QUIET = (("scan",),)


def skill_status(
    *,
    plan: Plan,
    assessment: Assessment,
    observed: Mapping[str, Any],
    generation: int,
    sandbox: Mapping[str, Any],
    now: datetime,
    approvals: Mapping[PackageId | None, str] | None = None,
) -> dict[str, Any]:
    """Return the whole status that a Skill should have."""
    verdict, lock, scan = assessment.verdict, assessment.lock, assessment.scan
    findings = counted(merge_findings(scan.reports)) if scan else ()
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "phase": plan.phase.value,
        "verdict": verdict_word(assessment),
        "maturity": assessment.maturity.value,
        "conditions": merge(
            plan.drafts, observed=observed.get("conditions") or [], generation=generation, now=now
        ),
        "sandbox": dict(sandbox),
    }
    if assessment.content_digest:
        status["contentDigest"] = assessment.content_digest
    if lock is not None:
        status["packages"] = len(lock.packages)
        status["lock"] = {
            "digest": lock.digest,
            "platform": str(lock.platform),
            **_pins(lock),
        }
    if scan is not None or (lock is not None and not lock.packages):
        status["findings"] = counts(findings).to_json()
    if scan is not None:
        status["topFindings"] = top_findings(findings, assessment)
        status["scan"] = {
            "completedAt": timestamp(scan.completed_at),
            "advisoryRevision": scan.advisory_revision,
        }
    if verdict is not None:
        status |= verdict_status(verdict, approvals or {})
    return status


def _pins(lock: Lock) -> dict[str, list[str]]:
    """Return what is locked, by language; npm's list is left out where it is empty."""
    python = (p.id for p in lock.packages if p.id.ecosystem is Ecosystem.PYPI)
    node = (p.id for p in lock.packages if p.id.ecosystem is Ecosystem.NPM)
    share = LOCK_CHARACTERS // len(lock.ecosystems or (0,))
    pins = {"python": fitting((f"{id_.name}=={id_.version}" for id_ in python), share)}
    if Ecosystem.NPM in lock.ecosystems:
        pins["node"] = fitting((f"{id_.name}@{id_.version}" for id_ in node), share)
    return pins


def verdict_status(verdict: Verdict, names: Mapping[PackageId | None, str]) -> dict[str, Any]:
    """Return the part of a status that a verdict makes; ``names`` are the objects to be decided."""
    pending = verdict.pending[:MAX_PENDING_APPROVALS]
    share = PENDING_CHARACTERS // max(1, len(pending))
    return {
        "pendingApprovals": [
            {
                "name": names.get(item.declared, ""),
                "declared": item.title,
                "packages": fitting((str(package) for package in item.packages), share),
                "minMaturity": item.min_maturity.value,
            }
            for item in pending
        ],
        "decidedBy": [{"policy": str(policy), "rule": rule} for policy, rule in verdict.decided_by[:50]],
        "reasons": [shorten(reason.text) for reason in verdict.reasons[:TOP]],
    }


def fitting(items: Iterable[str], characters: int) -> list[str]:
    """Return as many of the first items as fit, and at least one if there is one."""
    taken: list[str] = []
    for item in items:
        characters -= len(item) + len('"",')
        if taken and (characters < 0 or len(taken) == MAX_LOCK_PACKAGES):
            break
        taken.append(item)
    return taken


def counted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return the findings that count as such: facts become grounds by a policy alone."""
    return tuple(finding for finding in findings if finding.kind not in FACTS)


def top_findings(findings: Sequence[Finding], assessment: Assessment) -> list[dict[str, Any]]:
    """Return the ten that matter most, worst first."""
    paths = assessment.lock.paths if assessment.lock else {}
    fixes = _fixes(assessment.verdict.reasons if assessment.verdict else ())
    ranked = sorted(findings, key=lambda item: (_SEVERITY_ORDER[item.severity], item.package, item.id))
    return [
        {
            "id": finding.id,
            "kind": finding.kind.value,
            "severity": finding.severity.value,
            "package": str(finding.package),
            "path": shorten(" > ".join(paths.get(finding.package, (finding.package.name,)))),
            "fix": fixes.get((finding.package, finding.id)) or _fixed_in(finding),
        }
        for finding in ranked[:TOP]
    ]


def _fixes(reasons: Sequence[Reason]) -> dict[tuple[object, str], str]:
    return {(r.finding.package, r.finding.id): r.fix for r in reasons if r.finding is not None}


def _fixed_in(finding: Finding) -> str:
    versions = ", ".join(finding.fixed_versions[:3])
    return f"Fixed in {versions}." if versions else "No fixed version is known."


def differs(wanted: Mapping[str, Any], observed: Mapping[str, Any]) -> bool:
    """Whether a status is worth a write."""

    def loud(status: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in status.items() if (key,) not in QUIET}

    return loud(wanted) != loud(observed)


def apply_body(kind: str, key: SkillKey, resource_version: str, status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a server-side apply of a status.

    The resourceVersion goes with it always: an apply to ``/status`` ignores a wrong uid, but honours this.
    """
    metadata = {"name": key.name, "resourceVersion": resource_version, "uid": key.uid}
    if key.namespace:
        metadata["namespace"] = key.namespace
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": kind, "metadata": metadata, "status": dict(status)}


def run_conditions(
    drafts: Sequence[ConditionDraft], *, observed: Mapping[str, Any], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return the conditions of a SkillRun."""
    return merge(drafts, observed=observed.get("conditions") or [], generation=generation, now=now)


def locked_names(status: Mapping[str, Any]) -> frozenset[tuple[Ecosystem, str]] | None:
    """Return the names of the packages that a status says are locked.

    Empty where there is no lock; ``None`` where there are more than it names: a long closure is shortened.
    """
    lock = status.get("lock") or {}
    python = {(Ecosystem.PYPI, pin.partition("==")[0]) for pin in lock.get("python") or ()}
    node = {(Ecosystem.NPM, pin.rpartition("@")[0]) for pin in lock.get("node") or ()}
    shown = len(lock.get("python") or ()) + len(lock.get("node") or ())
    return frozenset(python | node) if shown == status.get("packages", 0) else None

"""What audit records say of a skill and of a decision: the same fields under the same names everywhere."""

from __future__ import annotations

from typing import Any

from ..domain.assess import verdict_word
from ..domain.skill import SkillKey
from .judge import Judged


def skill_facts(key: SkillKey, *, run: str | None = None) -> dict[str, Any]:
    """Return which skill, and which run of it, a record is about."""
    return {"namespace": key.namespace, "skill": key.name, "uid": key.uid, "run": run}


def decision_facts(judged: Judged) -> dict[str, Any]:
    """Return what was decided, for whom, about which bytes, and on what grounds."""
    evidence, assessment = judged.evidence, judged.assessment
    verdict, lock, scan = assessment.verdict, assessment.lock, assessment.scan
    rules: dict[str, list[str]] = {}
    for ref, rule in verdict.decided_by if verdict else ():
        rules.setdefault(str(ref), []).append(rule)
    return {
        "agent": evidence.agent.name,
        "maturity": assessment.maturity.value,
        "verdict": verdict_word(assessment),
        "reason": str(assessment.compliant.reason),
        "reasons": [item.message for item in verdict.reasons] if verdict else [],
        "policies": [
            {
                "policy": str(policy.ref),
                "generation": policy.generation,
                "rules": rules.get(str(policy.ref), []),
            }
            for policy in evidence.policies
        ],
        "approvals": _used(judged),
        "lock": lock.digest if lock else None,
        "content": assessment.content_digest,
        "advisories": scan.advisory_revision if scan else None,
    }


def _used(judged: Judged) -> list[str]:
    """Return the names of the decisions of people that are about these bytes, or about a declared name."""
    assessment = judged.assessment
    bytes_ = {package.artefact.digest for package in assessment.lock.packages} if assessment.lock else set()
    bytes_ |= {assessment.content_digest} if assessment.content_digest else set()
    names = {(package.ecosystem, package.name) for package in judged.evidence.declared}
    return sorted(
        item.name for item in judged.evidence.approvals if item.artefacts & bytes_ or item.looks_up in names
    )

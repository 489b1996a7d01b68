"""For code scanning: SARIF 2.1.0 (OASIS), with the fields that GitHub's upload asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import PurePath, PurePosixPath
from typing import Any
from urllib.parse import quote

from ... import __version__
from ...domain.explain import Explanation
from ...domain.finding import Severity
from ...domain.grounds import one_line
from ...domain.policy import Action
from ...domain.verdict import ComplianceReason, Reason
from .problem import Problem

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Action.DENY: "error", Action.REQUIRE_APPROVAL: "warning", Action.ALLOW: "note"}
#: Numbers in the middle of CVSS's bands: code scanning sorts by ``security-severity``, a number as text.
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}
_TITLES = {
    ComplianceReason.APPROVAL_REQUIRED: "A package needs approval",
    ComplianceReason.DENIED: "A policy denies what the skill asks for",
    ComplianceReason.BANNED: "A package is banned",
    ComplianceReason.MATURITY_TOO_LOW: "The agent's maturity is too low",
    ComplianceReason.NO_POLICY: "No policy applies",
    ComplianceReason.NO_VERDICT: "The skill could not be judged",
    ComplianceReason.ALLOWED: "Allowed",
}


def render_sarif(explanation: Explanation, artifact_uri: str, *, problems: Sequence[Problem] = ()) -> str:
    """Return the explanation as a SARIF log: one result a ground, those of policies in audit as notes.

    Parameters
    ----------
    explanation
        What to report.
    artifact_uri
        The skill's manifest or SKILL.md, relative to the repository's root.
    problems
        What keeps the skill from being judged: a result each.
    """
    grounds = [(reason, _LEVELS[reason.action]) for reason in explanation.reasons]
    grounds += [(reason, "note") for reason in explanation.audit]
    rules = sorted({_rule_id(reason): reason for reason, _ in reversed(grounds)}.items())
    described = [_rule(identity, reason) for identity, reason in rules]
    described += [_problem_rule(reason) for reason in sorted({problem.reason for problem in problems})]
    places = {rule["id"]: index for index, rule in enumerate(described)}
    uri = quote(PurePath(artifact_uri).as_posix())
    # A skill at fault was looked at to the end; one that could not be judged was not.
    judged = explanation.reason is not ComplianceReason.NO_VERDICT or bool(problems)
    judged = judged and all(problem.definite for problem in problems)
    results = [_result(reason, level, places, uri) for reason, level in grounds]
    results += [_problem_result(problem, places, uri) for problem in problems]
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "skillwarden",
                        "semanticVersion": __version__,
                        "rules": described,
                    }
                },
                "invocations": [{"executionSuccessful": judged}],
                "results": results,
                "properties": {"headline": explanation.headline, "lockDigest": explanation.lock_digest},
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule_id(reason: Reason) -> str:
    """A finding is a rule of its own, so that one advisory can be followed or dismissed as one."""
    if reason.source_finding is not None:
        return f"source-{reason.source_finding.rule}"
    return one_line(reason.finding.id, 120) if reason.finding else reason.code.value


def _rule(identity: str, reason: Reason) -> dict[str, Any]:
    finding = reason.finding
    title = _TITLES[reason.code]
    if reason.source_finding is not None:
        title = f"The skill's own files: {reason.source_finding.rule}"
    if finding is not None:
        title = one_line(finding.summary, 200) or f"{finding.kind.value} {identity}"
    properties: dict[str, Any] = {"tags": ["security", finding.kind.value if finding else "governance"]}
    if finding is not None and finding.severity in _SCORES:
        properties["security-severity"] = _SCORES[finding.severity]
    return {
        "id": identity,
        "name": _name(identity),
        "shortDescription": {"text": title},
        "fullDescription": {"text": title},
        "help": {"text": "The result's message says what would fix it."},
        "defaultConfiguration": {"level": _LEVELS[reason.action]},
        "properties": properties,
    }


def _name(identity: str) -> str:
    return "".join(char for char in identity if char.isalnum()) or "Finding"


def _result(reason: Reason, level: str, places: dict[str, int], uri: str) -> dict[str, Any]:
    identity = _rule_id(reason)
    return {
        "ruleId": identity,
        "ruleIndex": places[identity],
        "level": level,
        "message": {"text": reason.text},
        "locations": _reason_locations(reason, uri),
        "partialFingerprints": {"skillwarden/v1": _fingerprint(reason, level)},
        "properties": {
            "package": reason.package.purl if reason.package else None,
            "path": list(reason.path),
            "policy": str(reason.policy) if reason.policy else None,
            "rule": reason.rule,
        },
    }


def _locations(uri: str, line: int | None = None) -> list[dict[str, Any]]:
    """A manifest has no line for a package that another pulled in: a result is about the file."""
    return [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line or 1}}}]


def _reason_locations(reason: Reason, uri: str) -> list[dict[str, Any]]:
    """A finding in a folder's own file is about that file; in a manifest, the files stand in it."""
    found = reason.source_finding
    if found is None or PurePosixPath(uri).name.lower() != "skill.md":
        return _locations(uri)
    return _locations(_beside(uri, found.path), found.line)


def _beside(uri: str, file: str) -> str:
    """Return the URI of a file of the folder whose SKILL.md has the URI."""
    return str(PurePosixPath(uri).parent / quote(file)) if file else uri


def _problem_rule(reason: str) -> dict[str, Any]:
    text = "The skill cannot be judged before this is mended"
    return {
        "id": reason,
        "name": _name(reason),
        "shortDescription": {"text": text},
        "fullDescription": {"text": text},
        "help": {"text": "The result's message says what would fix it."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", "governance"]},
    }


def _problem_result(problem: Problem, places: dict[str, int], uri: str) -> dict[str, Any]:
    return {
        "ruleId": problem.reason,
        "ruleIndex": places[problem.reason],
        "level": "error",
        "message": {"text": f"{problem.message} {problem.fix}".strip()},
        "locations": _locations(_beside(uri, problem.file), problem.line),
        "partialFingerprints": {
            "skillwarden/v1": _hash((problem.reason, problem.field or problem.file, problem.code))
        },
        "properties": {"field": problem.field or None, "code": problem.code or None},
    }


def _fingerprint(reason: Reason, level: str) -> str:
    """What makes this result the same one in the next run: not the version, which an upgrade changes."""
    parts: Sequence[str] = (
        level,
        reason.code.value,
        reason.package.name if reason.package else "",
        str(reason.policy or ""),
        reason.rule,
        reason.finding.id if reason.finding else "",
        f"{reason.source_finding.rule} {reason.source_finding.path}" if reason.source_finding else "",
    )
    return _hash(parts)


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()

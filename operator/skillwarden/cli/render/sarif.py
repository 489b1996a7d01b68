"""For code scanning: SARIF 2.1.0 (OASIS), with the fields that GitHub's upload asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ... import __version__
from ...domain.explain import Explanation
from ...domain.finding import Severity
from ...domain.grounds import one_line
from ...domain.policy import Action
from ...domain.verdict import ComplianceReason, Reason

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


def render_sarif(explanation: Explanation, artifact_uri: str) -> str:
    """Return the explanation as a SARIF log: one result a ground, those of policies in audit as notes.

    Parameters
    ----------
    explanation
        What to report.
    artifact_uri
        The skill's manifest or SKILL.md, relative to the repository's root.
    """
    grounds = [(reason, _LEVELS[reason.action]) for reason in explanation.reasons]
    grounds += [(reason, "note") for reason in explanation.audit]
    rules = sorted({_rule_id(reason): reason for reason, _ in reversed(grounds)}.items())
    places = {identity: index for index, (identity, _) in enumerate(rules)}
    uri = quote(PurePath(artifact_uri).as_posix())
    judged = explanation.reason is not ComplianceReason.NO_VERDICT
    log = {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "skillwarden",
                        "semanticVersion": __version__,
                        "rules": [_rule(identity, reason) for identity, reason in rules],
                    }
                },
                "invocations": [{"executionSuccessful": judged}],
                "results": [_result(reason, level, places, uri) for reason, level in grounds],
                "properties": {"headline": explanation.headline, "lockDigest": explanation.lock_digest},
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule_id(reason: Reason) -> str:
    """A finding is a rule of its own, so that one advisory can be followed or dismissed as one."""
    return one_line(reason.finding.id, 120) if reason.finding else reason.code.value


def _rule(identity: str, reason: Reason) -> dict[str, Any]:
    finding = reason.finding
    title = _TITLES[reason.code]
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
        "message": {"text": f"{reason.message} {reason.fix}".strip()},
        # A manifest has no line for a package that another pulled in: the result is about the file.
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}}],
        "partialFingerprints": {"skillwarden/v1": _fingerprint(reason, level)},
        "properties": {
            "package": reason.package.purl if reason.package else None,
            "path": list(reason.path),
            "policy": str(reason.policy) if reason.policy else None,
            "rule": reason.rule,
        },
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
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

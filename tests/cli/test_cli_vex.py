"""What is exported as accepted: what counts at the time, and nothing that was denied, void or over."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from skillwarden.cli.vex import vex_of

AT = datetime(2026, 11, 27, 8, tzinfo=UTC)
DIGEST = "ab" * 32


def approval(name: str = "one", *, effect: str = "Approved", **decision: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": "requests", "version": "2.0"}
    made = {"verdict": "Approved", "approver": "dana", "reason": "not reachable", **decision}
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": "PackageApproval",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "package": package,
            "artefacts": [{**package, "digest": f"sha256:{DIGEST}"}],
            "findings": [
                {
                    **package,
                    "kind": "vulnerability",
                    "id": "CVE-2026-1",
                    "severity": "High",
                    "summary": "a hole",
                },
                {**package, "kind": "typosquat", "id": "request", "severity": "Unknown"},
            ],
            "policies": [{"kind": "PackagePolicy", "name": "rules"}],
            "minMaturity": "Supervised",
        },
        "status": {
            **({"decision": made} if made["verdict"] else {}),
            "conditions": [
                {
                    "type": "Effective",
                    "status": "True",
                    "reason": effect,
                    "lastTransitionTime": "2026-11-01T00:00:00Z",
                }
            ],
        },
    }


def test_an_accepted_advisory_is_a_statement_about_the_very_artefact() -> None:
    document, left_out = vex_of([approval(expiresAt="2027-01-01T00:00:00Z")], at=AT, author="Security")
    assert (document["@context"], document["author"]) == ("https://openvex.dev/ns/v0.2.0", "Security")
    assert document["timestamp"] == "2026-11-27T08:00:00Z"
    [statement] = document["statements"]
    assert statement["vulnerability"]["name"] == "CVE-2026-1"
    [product] = statement["products"]
    assert (product["@id"], product["hashes"]) == ("pkg:pypi/requests@2.0", {"sha-256": DIGEST})
    # Accepted is not "not affected": whoever reads it must not take the hole for closed.
    assert statement["status"] == "affected"
    for words in ("dana", "Supervised", "until 2027-01-01", "not reachable"):
        assert words in statement["action_statement"]
    assert "team/one" in statement["status_notes"]
    assert left_out == {"accepted finding(s) that are no advisories": 1}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (approval(verdict="Denied", effect="Denied"), "denied request(s)"),
        (approval(verdict=""), "undecided request(s)"),
        (approval(expiresAt="2026-11-27T08:00:00Z"), "expired approval(s)"),
        (approval(effect="NewFinding"), "approval(s) that the operator does not count"),
        (approval(effect="Unguarded"), "approval(s) that the operator does not count"),
        (approval(expiresAt="soon"), "approval(s) that cannot be read"),
    ],
)
def test_what_accepts_nothing_is_left_out_and_counted(made: dict[str, Any], why: str) -> None:
    document, left_out = vex_of([made], at=AT, author="Security")
    assert (document["statements"], left_out) == ([], {why: 1})


def test_the_order_of_the_list_does_not_matter() -> None:
    items = [approval(f"a{number}") for number in range(9)]
    mixed = random.Random(7).sample(items, len(items))
    assert vex_of(items, at=AT, author="x") == vex_of(mixed, at=AT, author="x")
    assert vex_of(items, at=AT, author="x")[0]["@id"] != vex_of(items[1:], at=AT, author="x")[0]["@id"]

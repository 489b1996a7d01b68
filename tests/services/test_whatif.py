"""What a policy would change is claimed only where the record leads to what the cluster says today."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from skillwarden.domain.lock import Lock, Platform
from skillwarden.services.records import approval_record, policy_record, skill_record
from skillwarden.services.whatif import Outlook, Recorded, _evidence, outlook

NOW = datetime(2026, 11, 27, 8, tzinfo=UTC)
API = "skillwarden.io/v1alpha1"


def policy(name: str = "rules", **spec: Any) -> Any:
    body = {"apiVersion": API, "kind": "PackagePolicy", "metadata": {"name": name, "namespace": "team"}}
    return policy_record("PackagePolicy", {**body, "spec": {"rules": [], **spec}})


def seen(*, verdict: str = "Denied", packages: tuple[str, ...] = ("left",), **changes: Any) -> Recorded:
    """A Student's skill that a maturity ceiling denies by names alone."""
    body = {
        "apiVersion": API,
        "kind": "Skill",
        "metadata": {"name": "demo", "namespace": "team", "uid": "u", "generation": 2},
        "spec": {
            "source": {"files": [{"path": "main.py", "content": "pass"}]},
            "packages": {"python": list(packages)},
            "entrypoint": {"command": ["python", "main.py"]},
        },
        "status": {
            "observedGeneration": 2,
            "verdict": verdict,
            "maturity": "Student",
            "conditions": [{"type": "Accepted", "status": "True", "reason": "Valid"}],
            **changes.pop("status", {}),
        },
    }
    record = skill_record(body, name_findings=lambda _: (), source_findings=lambda *_: ())
    made = Recorded(
        record=record,
        lock=None,
        scan=None,
        source_findings=(),
        approvals=(),
        policies=(policy(maturity={"Student": "Deny"}),),
    )
    return replace(made, **changes)


def look(of: Recorded, *policies: Any) -> Outlook:
    return outlook(of, policies, now=NOW)


def test_the_same_policies_change_nothing() -> None:
    of = seen()
    found = look(of, *of.policies)
    assert (found.before, found.after, found.changes, found.obstacle) == ("Denied", "Denied", False, "")


def test_what_would_have_to_be_resolved_first_is_not_judged() -> None:
    found = look(seen(), policy(unlisted="Allow"))
    assert not found.changes
    assert "it has no lock" in found.obstacle


def test_a_record_that_leads_elsewhere_than_the_cluster_is_not_judged() -> None:
    """Such as a feed that is too old, which only the operator knows: claiming a change would be a guess."""
    found = look(seen(verdict="Allowed"), policy("strict", maturity={"Student": "Deny"}))
    assert not found.changes
    assert "by what is on record it is Denied today" in found.obstacle


def test_a_change_that_the_operator_has_not_looked_at_is_not_judged() -> None:
    found = look(seen(status={"observedGeneration": 1}), policy(unlisted="Allow"))
    assert "has not looked at its last change" in found.obstacle


def test_no_policy_decides_about_what_is_no_skill() -> None:
    refused = {"conditions": [{"type": "Accepted", "status": "False", "reason": "InvalidPackage"}]}
    of = seen(verdict="Unknown", packages=("git+https://x",), status=refused)
    found = look(of, policy(bans=[{"ecosystem": "PyPI", "names": ["*"]}]))
    assert (found.changes, found.obstacle) == (False, "")


def test_no_policy_left_is_a_denial() -> None:
    empty = Lock(platform=Platform(python="3.12"), packages=())
    of = seen(verdict="Allowed", packages=(), lock=empty, policies=(policy(),))
    assert look(of, policy()).changes is False
    found = look(of)
    assert (found.after, found.reason, found.changes) == ("Denied", "NoPolicy", True)


@pytest.mark.parametrize(("effect", "counts"), [("Approved", True), ("Unguarded", False)])
def test_an_approval_that_nobody_proves_does_not_count_here_either(effect: str, counts: bool) -> None:
    digest = "sha256:" + "ab" * 32
    package = {"ecosystem": "PyPI", "name": "left", "version": "1.0"}
    body = {
        "apiVersion": API,
        "kind": "PackageApproval",
        "metadata": {"name": "one", "namespace": "team"},
        "spec": {
            "package": package,
            "artefacts": [{**package, "digest": digest}],
            "policies": [{"kind": "PackagePolicy", "name": "rules"}],
            "minMaturity": "Student",
        },
        "status": {
            "decision": {"verdict": "Approved", "approver": "dana", "reason": "x"},
            "conditions": [{"type": "Effective", "status": "True", "reason": effect}],
        },
    }
    evidence = _evidence(seen(approvals=(approval_record(body),)), NOW)
    assert bool(evidence.approvals) is counts

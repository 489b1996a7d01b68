"""A verdict as a report, and the report as text."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from make_domain import (
    judge,
    judge_by_names,
    make_ban,
    make_finding,
    make_lock,
    make_policy,
    make_rule,
    make_scan,
)
from rich.console import Console

from skillwarden.cli.render import render_json, render_sarif, render_table
from skillwarden.domain.evaluate import merge_findings
from skillwarden.domain.explain import Explanation, SeverityCounts, counts, explain
from skillwarden.domain.finding import FindingKind, Severity
from skillwarden.domain.policy import Action, Enforcement, FindingRules, Maturity, Policy

ALLOW, ASK, DENY = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY
LOCK = make_lock("pandas 2.2 > numpy 2.1 > six 1.15")
CRITICAL = make_finding(
    "six 1.15", "GHSA-x", severity=Severity.CRITICAL, fixed_versions=("1.16",), summary="Runs [red]code[/red]"
)


def explained(*policies: Policy, findings: Any = (), lock: Any = LOCK, **changes: Any) -> Explanation:
    scan = make_scan(lock, *findings)
    verdict = judge(lock, *policies, scan=scan, **changes)
    merged = merge_findings(scan.reports)
    return explain(verdict, lock, merged, subject="team/csv", maturity=Maturity.SUPERVISED)


def denied() -> Explanation:
    watching = make_policy("watch", rules=(make_rule("pandas", DENY),), enforcement=Enforcement.AUDIT)
    base = make_policy(findings=FindingRules(), bans=(make_ban("numpy", message="use lists"),))
    return explained(base, watching, findings=[CRITICAL])


def as_text(explanation: Explanation, **console: Any) -> str:
    out = io.StringIO()
    console.setdefault("width", 120)
    render_table(explanation, Console(file=out, **console))
    return out.getvalue()


def test_counts_are_by_severity_and_only_of_advisories() -> None:
    findings = [
        make_finding("a 1", "1", severity=Severity.CRITICAL),
        make_finding("a 1", "2", severity=Severity.LOW),
        make_finding("a 1", "3", severity=Severity.LOW),
        make_finding("a 1", "4", severity=Severity.UNKNOWN),
        make_finding("a 1", "MAL-1", FindingKind.MALICIOUS),
        make_finding("a 1", "requests", FindingKind.TYPOSQUAT),
        make_finding("a 1", "released", FindingKind.RELEASE_AGE),
        make_finding("a 1", "firstSeen", FindingKind.PACKAGE_AGE),
    ]
    assert counts(findings) == SeverityCounts(critical=2, low=2, unknown=1)
    assert counts(findings).total == 5
    assert counts(findings).to_json() == {"critical": 2, "high": 0, "medium": 0, "low": 2, "unknown": 1}


@pytest.mark.parametrize(
    ("sentence", "explanation", "start", "parts"),
    [
        ("allowed", explained(make_policy()), "team/csv is allowed", ["3 package(s)"]),
        ("denied", denied(), "team/csv is denied (Banned)", ["numpy 2.1", "and 1 more"]),
        (
            "waiting",
            explained(make_policy(rules=(make_rule("six numpy", ASK),))),
            "team/csv waits for approval",
            ["numpy and six"],
        ),
        (
            "not judged",
            explained(make_policy(), advisories_synced_at=None),
            "team/csv cannot be judged",
            ["synced"],
        ),
    ],
)
def test_headline(sentence: str, explanation: Explanation, start: str, parts: list[str]) -> None:
    assert explanation.headline.startswith(start), sentence
    assert all(part in explanation.headline for part in parts)


def test_each_package_of_the_closure_has_its_path_and_outcome() -> None:
    lines = {line.package.id.name: line for line in denied().packages}
    assert {name: line.outcome.value for name, line in lines.items()} == {
        "pandas": "Allowed",
        "numpy": "Banned",
        "six": "Denied",
    }
    assert lines["six"].path == ("pandas", "numpy", "six")
    assert [finding.id for finding in lines["six"].findings] == ["GHSA-x"]


def test_a_verdict_by_names_has_no_closure() -> None:
    verdict = judge_by_names("numpy", policies=[make_policy(bans=(make_ban("numpy"),))])
    assert verdict is not None
    explanation = explain(verdict, None, subject="x", maturity=Maturity.STUDENT)
    assert (explanation.packages, explanation.lock_digest) == ((), None)
    assert "numpy" in as_text(explanation)


def test_json_says_everything_that_counts() -> None:
    record = json.loads(render_json(denied()))
    assert record["allowed"] is False
    assert record["reason"] == "Banned"
    assert record["lockDigest"] == LOCK.digest
    first = record["reasons"][0]
    assert first["package"] == {"name": "numpy", "version": "2.1"}
    assert first["path"] == ["pandas", "numpy"]
    assert (first["policy"], first["rule"]) == ("ClusterPackagePolicy base", "bans[0]")
    assert "use lists" in first["fix"]
    assert record["reasons"][1]["finding"]["id"] == "GHSA-x"
    assert record["audit"][0]["policy"] == "ClusterPackagePolicy watch"
    assert record["findings"]["critical"] == 1
    assert [line["purl"] for line in record["packages"]] == [
        "pkg:pypi/numpy@2.1",
        "pkg:pypi/pandas@2.2",
        "pkg:pypi/six@1.15",
    ]


def test_json_lists_what_is_pending_and_what_decided() -> None:
    record = json.loads(render_json(explained(make_policy(rules=(make_rule("six", ASK, name="ask"),)))))
    assert record["pendingApprovals"] == [
        {"declared": "pandas", "packages": ["pkg:pypi/six@1.15"], "minMaturity": "Supervised"}
    ]
    assert record["decidedBy"] == [{"policy": "ClusterPackagePolicy base", "rule": "ask"}]


def test_the_table_shows_reason_path_policy_fix_audit_and_closure() -> None:
    text = as_text(denied())
    for part in (
        "team/csv is denied (Banned)",
        "1 critical",
        "pandas > numpy > six",
        "ClusterPackagePolicy base, bans[0]",
        "use lists",
        "six>=1.16",
        "In audit only",
        "Closure: 3 package(s)",
        "GHSA-x (Critical)",
    ):
        assert part in text


def test_the_table_is_plain_where_there_is_no_terminal() -> None:
    text = as_text(denied())
    assert "\x1b" not in text
    assert text.isascii() or not any(char in text for char in "│─┃━╭")
    assert "\x1b[" in as_text(denied(), force_terminal=True, color_system="standard")


def test_markup_in_an_advisory_is_shown_as_it_is() -> None:
    assert "[red]code[/red]" in as_text(denied())


def test_the_table_lists_what_waits_and_what_allowed() -> None:
    waiting = as_text(explained(make_policy(rules=(make_rule("six", ASK),))))
    assert "pandas: six 1.15 (maturity Supervised or higher)" in waiting
    allowed = as_text(explained(make_policy(rules=(make_rule("*", name="all"),))))
    assert "ClusterPackagePolicy base, all" in allowed


@pytest.mark.parametrize("build", [denied, lambda: explained(make_policy()), explained])
def test_sarif_has_what_code_scanning_asks_for(build: Any) -> None:
    # The fields that GitHub's upload documentation requires, and the schema's own required ones.
    log = json.loads(render_sarif(build(), "skills/csv stats/skill.yaml"))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "skillwarden"
    identities = [rule["id"] for rule in driver["rules"]]
    assert len(identities) == len(set(identities))
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in {"error", "warning", "note"}
        assert len(rule["properties"]["tags"]) <= 20
        assert 0 < float(rule["properties"].get("security-severity", "1.0")) <= 10
    for result in run["results"]:
        assert identities[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in {"error", "warning", "note"}
        assert result["partialFingerprints"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == "skills/csv%20stats/skill.yaml"
        assert physical["region"]["startLine"] == 1


def test_sarif_results_are_the_grounds() -> None:
    run = json.loads(render_sarif(denied(), "skill.yaml"))["runs"][0]
    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("Banned", "error"),
        ("GHSA-x", "error"),
        ("Denied", "note"),
    ]
    advisory = next(rule for rule in run["tool"]["driver"]["rules"] if rule["id"] == "GHSA-x")
    assert float(advisory["properties"]["security-severity"]) >= 9
    assert "use lists" in run["results"][0]["message"]["text"]
    assert run["invocations"] == [{"executionSuccessful": True}]


def test_sarif_of_an_allowed_skill_has_no_results() -> None:
    run = json.loads(render_sarif(explained(make_policy()), "skill.yaml"))["runs"][0]
    assert run["results"] == []


def test_sarif_of_what_could_not_be_judged_is_no_success() -> None:
    run = json.loads(render_sarif(explained(make_policy(), advisories_synced_at=None), "s.yaml"))["runs"][0]
    assert run["invocations"] == [{"executionSuccessful": False}]
    assert run["results"]


def test_a_sarif_result_is_the_same_one_after_an_upgrade_that_does_not_help() -> None:
    def fingerprint(version: str) -> Any:
        lock = make_lock(f"six {version}")
        base = make_policy(bans=(make_ban("six"),))
        run = json.loads(render_sarif(explained(base, lock=lock), "s.yaml"))["runs"][0]
        return run["results"][0]["partialFingerprints"]

    assert fingerprint("1.15") == fingerprint("1.16")


def test_rendering_twice_gives_the_same_text() -> None:
    assert render_json(denied()) == render_json(denied())
    assert render_sarif(denied(), "s.yaml") == render_sarif(denied(), "s.yaml")
    assert as_text(denied()) == as_text(denied())

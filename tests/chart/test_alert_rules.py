"""Alert rules, held against series as the operator has them: ``alert_cases.yaml``, by promtool."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from skillwarden.depot.protocol import Usage
from skillwarden.domain.finding import ScannerName
from skillwarden.runtime.metrics import Metrics
from skillwarden.scan.protocol import failed

CASES = Path(__file__).parent / "alert_cases.yaml"


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    return list(yaml.safe_load(CASES.read_text())["tests"])


@pytest.fixture(scope="module")
def rules(repo_root: Path) -> Path:
    return repo_root / "charts" / "skillwarden" / "monitoring" / "alerts.yaml"


def series_of(metrics: Metrics) -> dict[str, set[str]]:
    """Return the labels of each series that an operator shows."""
    metrics.watch_audit(["file"])
    metrics.reconciled("Skill", 0.1, "ok")
    metrics.scanned(failed(ScannerName.OSV, "down", retryable=True), 0.5)
    metrics.requested("create", "Pod", 201)
    metrics.depot_used(Usage(used=1, limit=2, deleted=0, refused=0))
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(
    cases: list[dict[str, Any]], rules: Path
) -> None:
    groups = yaml.safe_load(rules.read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    fires = {
        check["alertname"] for case in cases for check in case["alert_rule_test"] if check.get("exp_alerts")
    }
    silent = {
        check["alertname"]
        for case in cases
        for check in case["alert_rule_test"]
        if not check.get("exp_alerts")
    }
    assert fires == silent == alerts


def test_cases_are_about_series_that_an_operator_has(
    cases: list[dict[str, Any]], watched_metrics: Metrics
) -> None:
    known = series_of(watched_metrics)
    for case in cases:
        for series in case["input_series"]:
            name, labels = re.fullmatch(r"(\w+)\{(.*)\}", series["series"]).groups()  # type: ignore[union-attr]
            own = set(re.findall(r'(\w+)="', labels)) - {"instance"}
            assert known.get(name) == own, series["series"]


def test_promtool_says_so(rules: Path, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool (of Prometheus) is not on PATH: the rules were not evaluated")
    for file in (rules, CASES):
        shutil.copy(file, tmp_path)
    done = subprocess.run(
        [promtool, "test", "rules", CASES.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

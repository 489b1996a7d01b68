"""Prometheus metrics, with bounded label values only: no package, skill or CVE names."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..depot.protocol import Usage
from ..domain.finding import ScannerReport

#: How many, by the values of labels.
Counts = Callable[[], Mapping[Any, int]]

#: Seconds; a resolution or a scan takes from moments to a minute.
SLOW = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120)
#: Seconds; from a known lock to a large closure on a busy cluster.
WAITS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
#: Seconds; somebody waits at a terminal.
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2)


class Metrics:
    """The operator's metrics in a registry of their own.

    Attributes
    ----------
    registry
        What ``/metrics`` shows.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Histogram(
            "skillwarden_reconcile_seconds",
            "Duration of a reconcile, by kind and outcome (ok, retry, timeout, error).",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self._waits = Histogram(
            "skillwarden_queue_wait_seconds",
            "How long keys waited for a worker.",
            registry=self.registry,
        )
        self._stages = Histogram(
            "skillwarden_stage_seconds",
            "Duration of a slow stage (resolve, scan, fetch), by outcome (ok, retry, failed).",
            ("stage", "outcome"),
            buckets=SLOW,
            registry=self.registry,
        )
        self._scanners = Histogram(
            "skillwarden_scanner_seconds",
            "Duration of one scanner over one lock, by how it ended (pass, findings, error).",
            ("scanner", "state"),
            buckets=SLOW,
            registry=self.registry,
        )
        self._requests = Counter(
            "skillwarden_api_requests_total",
            "Requests to the Kubernetes API, by verb, kind and status.",
            ("verb", "kind", "status"),
            registry=self.registry,
        )

        self._audited = Counter(
            "skillwarden_audit_records_total",
            "Audit records written, by sink (stdout, file).",
            ("sink",),
            registry=self.registry,
        )
        self._audit_lost = Counter(
            "skillwarden_audit_lost_total",
            "Audit records that were lost because the sink could not take them in time, by sink.",
            ("sink",),
            registry=self.registry,
        )
        self._reused = Counter(
            "skillwarden_stage_reused_total",
            "Results of a slow stage (resolve, scan) that the depot had: nothing was made anew.",
            ("stage",),
            registry=self.registry,
        )
        self._to_verdict = Histogram(
            "skillwarden_apply_to_verdict_seconds",
            "From when a Skill, or a change of it, was seen to its verdict.",
            buckets=WAITS,
            registry=self.registry,
        )
        self._to_ready = Histogram(
            "skillwarden_apply_to_ready_seconds",
            "From when a Skill, or a change of it, was seen to Ready, where it was allowed at once.",
            buckets=WAITS,
            registry=self.registry,
        )
        self._reviews = Histogram(
            "skillwarden_admission_seconds",
            "Duration of an admission review, by kind and answer (admitted, warned, refused, failed).",
            ("kind", "answer"),
            buckets=QUICK,
            registry=self.registry,
        )

        self._depot = {
            name: Gauge(f"skillwarden_depot_{name}", what, registry=self.registry)
            for name, what in (
                ("bytes", "Bytes that the depot holds."),
                ("limit_bytes", "Bytes that the depot may hold; NaN: there is no bound."),
                ("deleted_files", "Files that the depot deleted to make room since it started."),
                ("refused_writes", "Writes that the depot refused for want of room since it started."),
            )
        }

    def depot_used(self, usage: Usage) -> None:
        """Show how full the depot is."""
        self._depot["bytes"].set(usage.used)
        self._depot["limit_bytes"].set(_number(usage.limit))
        self._depot["deleted_files"].set(usage.deleted)
        self._depot["refused_writes"].set(usage.refused)

    def watch_audit(self, sinks: Iterable[str]) -> None:
        """Show what each sink lost from the start: of a counter that begins at 1 no rate sees an increase."""
        for sink in sinks:
            self._audited.labels(sink=sink)
            self._audit_lost.labels(sink=sink)

    def audited(self, sink: str) -> None:
        """Count an audit record that was written."""
        self._audited.labels(sink=sink).inc()

    def audit_lost(self, sink: str) -> None:
        """Count an audit record that was lost."""
        self._audit_lost.labels(sink=sink).inc()

    def reused(self, stage: str) -> None:
        """Count a result that the depot had."""
        self._reused.labels(stage=stage).inc()

    def had_verdict(self, seconds: float) -> None:
        """Note how long a Skill waited for its verdict."""
        self._to_verdict.observe(seconds)

    def was_ready(self, seconds: float) -> None:
        """Note how long a Skill waited to be Ready."""
        self._to_ready.observe(seconds)

    def reviewed(self, kind: str, seconds: float, answer: str) -> None:
        """Note an admission review."""
        self._reviews.labels(kind=kind, answer=answer).observe(seconds)

    def reconciled(self, kind: str, seconds: float, outcome: str) -> None:
        """Count a reconcile."""
        self._reconciles.labels(kind=kind, outcome=outcome).observe(seconds)

    def waited(self, seconds: float) -> None:
        """Note how long a key waited."""
        self._waits.observe(seconds)

    def staged(self, stage: str, seconds: float, outcome: str) -> None:
        """Note a slow stage."""
        self._stages.labels(stage=stage, outcome=outcome).observe(seconds)

    def scanned(self, report: ScannerReport, seconds: float) -> None:
        """Note how a scanner ended."""
        self._scanners.labels(scanner=report.scanner.value, state=report.state.value).observe(seconds)

    def requested(self, verb: str, kind: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(verb=verb, kind=kind, status=str(status)).inc()

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Show the length of the work queue."""
        self._watch("skillwarden_queue_keys", "Keys that wait for a worker.", length)

    def watch_skills(self, outcomes: Counts, conditions: Counts) -> None:
        """Show how many Skills have which verdict and reason of Ready, and which conditions."""
        what = "Skills by verdict and by the reason of Ready."
        self.registry.register(_Counted("skillwarden_skills", what, ("verdict", "reason"), outcomes))
        what = "Skills by the type and status of each of their conditions."
        self.registry.register(_Counted("skillwarden_conditions", what, ("type", "status"), conditions))

    def watch_leader(self, leads: Callable[[], bool]) -> None:
        """Show whether this operator acts: 1 in one replica, 0 in the others."""
        self._watch("skillwarden_leader", "Whether this operator leads.", leads)

    def watch_isolation(self, seen: Callable[[], bool | None], pids: Callable[[], int | None]) -> None:
        """Show what canary Pods saw; NaN where they could not tell, or none were sent."""
        what = "Whether canary Pods saw NetworkPolicies enforced: 1 yes, 0 no."
        self._watch("skillwarden_network_enforced", what, lambda: _number(seen()))
        what = "How many processes a canary Pod could start before it was refused."
        self._watch("skillwarden_pod_pids_limit", what, lambda: _number(pids()))

    def watch_advisories(self, age: Callable[[], float], revision: Callable[[], str]) -> None:
        """Show how old the advisories are, and which they are."""
        show_advisories(self.registry, age=age, revision=revision)

    def _watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Show what something is whenever it is asked for."""
        _show(self.registry, name, what, value)


def show_advisories(
    registry: CollectorRegistry, *, age: Callable[[], float], revision: Callable[[], str]
) -> None:
    """Show the age of the advisories in seconds, +Inf where there are none, and which they are."""
    registry.register(
        _Counted(
            "skillwarden_advisories_info",
            "Which advisories are at hand: the beginning of their revision.",
            ("revision",),
            lambda: {(revision().removeprefix("sha256:")[:12],): 1},
        )
    )
    what = "Seconds since the advisories were last synced."
    _show(registry, "skillwarden_advisories_age_seconds", what, age)


def _show(registry: CollectorRegistry, name: str, what: str, value: Callable[[], float]) -> None:
    Gauge(name, what, registry=registry).set_function(lambda: float(value()))


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


class _Counted(Collector):
    """Counts by labels when it is asked."""

    def __init__(self, name: str, what: str, labels: tuple[str, ...], counts: Counts) -> None:
        self._name, self._what, self._labels, self._counts = name, what, labels, counts

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(self._name, self._what, labels=self._labels)
        for labels, count in self._counts().items():
            family.add_metric(labels, count)
        yield family

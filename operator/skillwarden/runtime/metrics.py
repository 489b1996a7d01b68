"""Prometheus metrics, with bounded label values only: no package, skill or CVE names."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


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
            "Duration of a reconcile, by kind and outcome (ok, retry, error).",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self._requests = Counter(
            "skillwarden_api_requests_total",
            "Requests to the Kubernetes API, by verb, kind and status.",
            ("verb", "kind", "status"),
            registry=self.registry,
        )

    def reconciled(self, kind: str, seconds: float, outcome: str) -> None:
        """Count a reconcile."""
        self._reconciles.labels(kind=kind, outcome=outcome).observe(seconds)

    def requested(self, verb: str, kind: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(verb=verb, kind=kind, status=str(status)).inc()

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Show the length of the work queue."""
        gauge = Gauge("skillwarden_queue_keys", "Keys that wait for a worker.", registry=self.registry)
        gauge.set_function(lambda: float(length()))

    def watch_advisories(self, age: Callable[[], float]) -> None:
        """Show the age of the advisories in seconds; NaN where there are none."""
        gauge = Gauge(
            "skillwarden_advisories_age_seconds",
            "Seconds since the advisories were last synced.",
            registry=self.registry,
        )
        gauge.set_function(age)

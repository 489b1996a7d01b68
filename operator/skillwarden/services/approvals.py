"""Requests for approval: made where a verdict waits for a person, read where a verdict is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from ..api.v1alpha1 import GROUP, VERSION
from ..api.v1alpha1.package_approval import (
    MAX_ALIAS,
    MAX_ALIASES,
    MAX_ARTEFACTS,
    MAX_FINDINGS,
    MAX_POLICIES,
)
from ..domain.approval_request import request_name
from ..domain.approvals import names_to_accept
from ..domain.conditions import shorten
from ..domain.finding import Finding
from ..domain.package import PackageId
from ..domain.verdict import Approval, PendingApproval, Verdict
from ..kube.errors import AlreadyExists, ApiError, Conflict
from ..kube.kinds import Kind
from .ports import Body, Cluster, Now
from .records import ApprovalRecord, SkillRecord
from .store import Store

log = structlog.get_logger(__name__)
_MAX_SUMMARY = 1024


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked.

    Attributes
    ----------
    names
        The request's name, by declared package.
    trouble
        Why something could not be asked; empty: it could.
    """

    names: Mapping[PackageId | None, str]
    trouble: str = ""


class Requests:
    """Makes the objects that people decide.

    Parameters
    ----------
    store, cluster, now
        The observed world, the API server, a UTC clock.
    """

    def __init__(self, *, store: Store, cluster: Cluster, now: Now) -> None:
        self._store = store
        self._cluster = cluster
        self._now = now
        # namespace and skill -> the requests that its last verdict waits for: newer than any status.
        self._asked: dict[tuple[str, str], frozenset[str]] = {}

    async def ask(self, record: SkillRecord, verdict: Verdict | None) -> Asked:
        """Have a request stand for all that a verdict waits for; what the API server refuses is told."""
        names: dict[PackageId | None, str] = {}
        trouble = ""
        for pending in verdict.pending if verdict else ():
            if not pending.policies:
                continue
            about = str(pending.declared or "the skill's own files")
            if len(pending.policies) > MAX_POLICIES:
                trouble = (
                    f"Nobody can be asked for approval of {about}: {len(pending.policies)} policies want it,"
                    f" and one request names {MAX_POLICIES} at most. Have fewer policies ask."
                )
                continue
            try:
                names[pending.declared] = await self._stands(record.key.namespace, pending)
            except ApiError as error:
                trouble = f"Approval of {about} cannot be asked for now: {error.said}"
                log.warning("approval cannot be asked for", skill=str(record.key), error=str(error))
        self._remember(record, frozenset(names.values()))
        return Asked(names, trouble)

    def _remember(self, record: SkillRecord, names: frozenset[str]) -> None:
        place = (record.key.namespace, record.key.name)
        if names:
            self._asked[place] = names
        else:
            self._asked.pop(place, None)

    async def _stands(self, namespace: str, pending: PendingApproval) -> str:
        round_ = 0
        while True:
            name = request_name(pending, round_=round_)
            known = self._store.approvals.get((namespace, name))
            if known is None:
                await self._create(namespace, name, pending)
                return name
            if known.request is None or not known.request.spent(self._now()):
                return name
            round_ += 1

    async def _create(self, namespace: str, name: str, pending: PendingApproval) -> None:
        try:
            await self._cluster.create(Kind.PACKAGE_APPROVAL, request_body(namespace, name, pending))
        except (AlreadyExists, Conflict):
            return  # it stands already; the watch will tell
        log.info("approval asked for", namespace=namespace, approval=name)

    def forget(self, namespace: str, skill: str) -> None:
        """Forget what a skill that is gone waited for."""
        self._asked.pop((namespace, skill), None)

    def askers(self, namespace: str, name: str) -> tuple[str, ...]:
        """Return the skills that wait for a request, sorted: by their last verdict, else by their status."""
        return tuple(
            sorted(
                record.key.name
                for record in self._store.skills.grouped(namespace)
                if name in self._waits_for(record)
            )
        )

    def _waits_for(self, record: SkillRecord) -> Iterable[str]:
        known = self._asked.get((record.key.namespace, record.key.name))
        return known if known is not None else requests_of(record)


def requests_of(record: SkillRecord) -> frozenset[str]:
    """Return the requests that a skill's status names."""
    pending = record.status.get("pendingApprovals") or []
    return frozenset(str(item.get("name")) for item in pending if item.get("name"))


def request_body(namespace: str, name: str, pending: PendingApproval) -> Body:
    """Return the object of a request."""
    spec: dict[str, Any] = {
        **({"package": _package(pending.declared)} if pending.declared else {"source": _source(pending)}),
        "artefacts": [
            {**_package(package), "digest": digest} for package, digest in pending.artefacts[:MAX_ARTEFACTS]
        ],
        "findings": [
            {
                **_package(finding.package),
                "kind": finding.kind.value,
                "id": finding.id[:256],
                **({"aliases": _aliases(finding)} if finding.aliases else {}),
                "severity": finding.severity.value,
                "summary": shorten(finding.summary, limit=_MAX_SUMMARY),
            }
            for finding in pending.findings[:MAX_FINDINGS]
        ],
        "policies": [
            {"kind": "PackagePolicy" if policy.namespace else "ClusterPackagePolicy", "name": policy.name}
            for policy in pending.policies
        ],
        "minMaturity": pending.min_maturity.value,
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "PackageApproval",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _aliases(finding: Finding) -> list[str]:
    """Return what fits of a finding's other names, those first without which it is not accepted."""
    must = names_to_accept(finding)
    fitting = [name for name in finding.aliases if len(name) <= MAX_ALIAS]
    return sorted(fitting, key=lambda name: (name not in must, name))[:MAX_ALIASES]


def _source(pending: PendingApproval) -> dict[str, Any]:
    return {
        "digest": pending.content_digest,
        "findings": [
            {**finding_.to_json(), "summary": shorten(finding_.summary, limit=_MAX_SUMMARY)}
            for finding_ in pending.source_findings[:MAX_FINDINGS]
        ],
    }


def _package(package: PackageId) -> dict[str, str]:
    return {"ecosystem": package.ecosystem.value, "name": package.name, "version": package.version}


def decided(records: Iterable[ApprovalRecord]) -> tuple[Approval, ...]:
    """Return what was decided, as the evaluator takes it; what cannot be read counts for nothing."""
    found = (record.request.approval for record in records if record.request is not None)
    return tuple(approval for approval in found if approval is not None)


def denials(approvals: Iterable[Approval]) -> tuple[Approval, ...]:
    """Return what counts where nothing proves who decided: a denial does, whoever took it."""
    return tuple(approval for approval in approvals if not approval.approved)

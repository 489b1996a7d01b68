"""Keeps the store by lists of our own and by what watches bring, and says what was found to be otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..kube.kinds import Kind
from . import recency
from .concerns import Concerns, unchanged
from .observe import SANDBOX_SELECTOR, network_policy_record, pod_record
from .ports import Body, Cluster, NameFindings, SandboxSetup, SourceFindings
from .records import agent_record, approval_record, key_of, policy_record, run_record, skill_record
from .store import Store
from .table import Name, Table

#: What is watched and listed, and with which label selector at the server.
WATCHED: dict[Kind, str] = {
    Kind.NAMESPACE: "",
    Kind.CLUSTER_PACKAGE_POLICY: "",
    Kind.PACKAGE_POLICY: "",
    Kind.AGENT: "",
    Kind.PACKAGE_APPROVAL: "",
    Kind.NETWORK_POLICY: "",
    Kind.SKILL: "",
    Kind.SKILL_RUN: "",
    Kind.POD: SANDBOX_SELECTOR,
}


class Watched:
    """The observed world, kept up to date.

    Parameters
    ----------
    store
        What is kept.
    cluster
        Who lists.
    concerns
        Told what was found to be otherwise.
    name_findings, source_findings
        What a Skill's names and inline files say by themselves.
    setup
        Whose key our Pods are sealed with.
    """

    def __init__(
        self,
        *,
        store: Store,
        cluster: Cluster,
        concerns: Concerns,
        name_findings: NameFindings,
        source_findings: SourceFindings,
        setup: SandboxSetup,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._concerns = concerns
        self._name_findings = name_findings
        self._source_findings = source_findings
        self._setup = setup
        # Of each kind: from where a watch may begin, and in which namespaces one has begun there.
        self._beginnings: dict[Kind, tuple[str, set[str | None]]] = {}
        # What watches brought of a kind while it is being listed, and at which version: it may be newer.
        self._overtaken: dict[Kind, dict[Name, str]] = {}
        self._listing = asyncio.Lock()

    async def relist(self) -> None:
        """Replace the whole store by lists of our own, and queue every key."""
        async with self._listing:
            for kind in WATCHED:
                await self._list(kind, changed_only=False)

    async def begin_watch(self, kind: Kind, namespace: str | None) -> str:
        """Return the resource version from which a watch may begin: the store holds what was before it.

        A watch is told nothing of an object that was deleted while it was away (DESIGN 6), so where it was
        away its kind is listed anew.
        """
        version, begun = self._beginnings.get(kind, ("", set()))
        if not version or namespace in begun:
            async with self._listing:
                version = await self._list(kind, changed_only=True)
            begun = self._beginnings[kind][1]
        begun.add(namespace)
        return version

    def observe(self, kind: Kind, event: str, body: Body) -> None:
        """Take one observation of a watch.

        Parameters
        ----------
        kind
            Of the object.
        event
            ``ADDED``, ``MODIFIED`` or ``DELETED``.
        body
            The object.
        """
        table, project = self._table(kind)
        key = key_of(body)
        name = (key.namespace, key.name)
        before = table.get(name)
        version = recency.version_of(body)
        if recency.at_most(version, self._beginnings.get(kind, ("",))[0]):
            # The list that the store was replaced by holds it, and what came after it.
            return
        if kind in self._overtaken:
            self._overtaken[kind][name] = version
        late = before is not None and recency.earlier(version, before)
        if event == "DELETED":
            if late and not recency.is_of(before, body):
                # kopf hands over two objects of one name in any order: the end of the first is no news.
                return
            table.drop(name)
            if kind is Kind.POD:
                self._concerns.stray(name, before)
            self._concerns.changed(kind, name, before, None)
            return
        if late:
            return
        record = project(body)
        table.put(name, record)
        self._concerns.changed(kind, name, before, record)

    async def _list(self, kind: Kind, *, changed_only: bool) -> str:
        """Replace what is known of a kind; queue every key, or those that were found to be otherwise."""
        table, project = self._table(kind)

        def record_of(body: Body) -> tuple[Name, Any]:
            key = key_of(body)
            known = table.get(name := (key.namespace, key.name))
            current = known is not None and recency.holds(known, body)
            return name, known if current else project(body)

        asked = {name: table.get(name) for name in table}
        overtaken = self._overtaken[kind] = {}
        try:
            listing = await self._cluster.project(kind, record_of, label_selector=WATCHED[kind])
        finally:
            del self._overtaken[kind]
        at = listing.resource_version
        before = {name: table.get(name) for name in table}
        # A watch's last words may come late, and are older than the list: no later event would correct them.
        newer = {name for name, version in overtaken.items() if not recency.at_most(version, at)}
        records = {name: record for name, record in listing.items if name not in newer}
        for name, now in before.items():
            # What we wrote while the list came in, a status or a child, is newer than what the list says.
            written = now is not asked.get(name) and recency.recorded_after(now, at)
            if name in newer or written:
                records[name] = now
        self._replace(kind, before, records, changed_only=changed_only)
        self._beginnings[kind] = (listing.resource_version, set())
        return listing.resource_version

    def _replace(
        self, kind: Kind, before: dict[Name, Any], records: dict[Name, Any], *, changed_only: bool
    ) -> None:
        table, _ = self._table(kind)
        gone = table.replace(records)
        if kind is Kind.POD:
            for name in sorted(gone):
                self._concerns.stray(name, before.get(name))
        for name in (*sorted(gone), *records):
            old, new = before.get(name), table.get(name)
            if not (changed_only and unchanged(old, new)):
                self._concerns.changed(kind, name, old, new)

    def _table(self, kind: Kind) -> tuple[Table[Any], Callable[[Body], Any]]:
        store = self._store
        match kind:
            case Kind.SKILL:
                return store.skills, lambda body: skill_record(
                    body, name_findings=self._name_findings, source_findings=self._source_findings
                )
            case Kind.SKILL_RUN:
                return store.runs, run_record
            case Kind.PACKAGE_POLICY:
                return store.policies, lambda body: policy_record("PackagePolicy", body)
            case Kind.CLUSTER_PACKAGE_POLICY:
                return store.cluster_policies, lambda body: policy_record("ClusterPackagePolicy", body)
            case Kind.AGENT:
                return store.agents, agent_record
            case Kind.PACKAGE_APPROVAL:
                return store.approvals, approval_record
            case Kind.NAMESPACE:
                return store.namespaces, lambda body: dict(body["metadata"].get("labels") or {})
            case Kind.NETWORK_POLICY:
                return store.network_policies, network_policy_record
            case Kind.POD:
                return store.pods, lambda body: pod_record(body, seal_key=self._setup.seal_key)
            case _:
                raise ValueError(f"{kind} is not watched")

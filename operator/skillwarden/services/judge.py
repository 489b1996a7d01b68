"""Gathers the evidence on one skill and has it assessed: the one road to a verdict in the operator.

``domain.assess`` and ``domain.evaluate`` make the verdict; this module only brings what they need together,
from the store or, before a launch, live from the API server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..domain.assess import AgentView, Assessment, Evidence, Failure, Job, assess, why_fallen
from ..domain.conditions import ConditionDraft, ConditionType, NetworkReason, Status
from ..domain.evaluate import required_scanners
from ..domain.finding import ScanResult
from ..domain.lock import Lock, Platform
from ..domain.naming import LABEL_COMPONENT
from ..domain.pins import Pins
from ..domain.skill import ConfigMapSource, SkillKey
from ..domain.source_finding import SourceFinding
from ..domain.verdict import Approval
from ..kube.kinds import Kind
from ..resolve.lockfiles import read_pins
from .approvals import decided, denials
from .evidence import evidence_of
from .guard import Guard
from .isolation import Isolation
from .ports import Cluster, Feed, Now, SandboxSetup
from .records import ApprovalRecord, PolicyRecord, SkillRecord, agent_record, approval_record, policy_record
from .runtimes import choose_platform
from .sources import ConfigMapSources
from .stages import Stages, Waiter, Wanted
from .store import Store, applicable, readable


@dataclass(frozen=True, slots=True)
class Judged:
    """An assessment with the evidence that it rests on.

    Attributes
    ----------
    evidence, assessment
        What was known, and what follows.
    unscanned
        Locks that run while the skill's own is not known, and that no scan of these advisories is of.
    unsure
        Whether a guard that bears on it was not shown to be in force when it was last asked about.
    """

    evidence: Evidence
    assessment: Assessment
    unscanned: tuple[Lock, ...] = ()
    unsure: bool = False


class Judge:
    """Gathers evidence and assesses it.

    Parameters
    ----------
    store, cluster
        The observed world, and the live one.
    stages, feed, guard, sources
        Where resolutions, scans, advisories, the guard's state and pinned ConfigMaps come from.
    approval_guard
        Whether who approved is proven.
    setup
        What every sandbox has.
    now
        UTC clock.
    """

    def __init__(
        self,
        *,
        store: Store,
        cluster: Cluster,
        stages: Stages,
        feed: Feed,
        guard: Guard,
        approval_guard: Guard,
        sources: ConfigMapSources,
        setup: SandboxSetup,
        now: Now,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._stages = stages
        self._feed = feed
        self._guard = guard
        self._approval_guard = approval_guard
        self._sources = sources
        self._setup = setup
        self._now = now

    async def judge(
        self, record: SkillRecord, *, network: ConditionDraft, run_agent: str | None = None
    ) -> Judged:
        """Assess a skill on what is observed."""
        return await self._judge(
            record,
            policies=self._store.policies_for(record.key.namespace),
            approvals=self._store.approvals.grouped(record.key.namespace),
            network=network,
            run_agent=run_agent,
            live=False,
        )

    async def judge_live(
        self, record: SkillRecord, *, network: ConditionDraft, run_agent: str | None = None
    ) -> Judged:
        """Assess a skill with policies, approvals, namespace and agents read from the API server now.

        A cache may lag behind a ban by the length of a watch's silence; a launch may not (DESIGN 4).
        """
        namespace = record.key.namespace
        local = await self._cluster.list(Kind.PACKAGE_POLICY, namespace=namespace)
        cluster = await self._cluster.list(Kind.CLUSTER_PACKAGE_POLICY)
        body = await self._cluster.get(Kind.NAMESPACE, name=namespace)
        labels = ((body or {}).get("metadata") or {}).get("labels") or {}
        policies = applicable(
            namespace,
            labels=labels,
            local=[self._fresh("PackagePolicy", item) for item in local.items],
            cluster=[self._fresh("ClusterPackagePolicy", item) for item in cluster.items],
        )
        approvals = await self._cluster.list(Kind.PACKAGE_APPROVAL, namespace=namespace)
        return await self._judge(
            record,
            policies=policies,
            approvals=[approval_record(item) for item in approvals.items],
            network=network,
            run_agent=run_agent,
            live=True,
        )

    async def judge_names(self, record: SkillRecord) -> Assessment:
        """Assess what a skill says and names, before anything of it is resolved or looked at."""
        namespace, spec = record.key.namespace, record.spec
        chosen, failures = readable(self._store.policies_for(namespace))
        platform, runtime_failure = choose_platform(spec, self._setup)
        evidence = evidence_of(
            record,
            agent=await self._one_agent(record.key, spec.agent if spec else None, live=False, probe=False),
            now=self._now(),
            platform=platform,
            runtime_failure=runtime_failure,
            policies=chosen,
            policy_failures=failures,
        )
        approvals = decided(self._store.approvals.grouped(namespace))
        # An answer that is not known yet is not asked for here (see ``_one_agent``).
        proven = self._approval_guard.last_answer(namespace) is not False
        # Its files are not what is asked about.
        counting = approvals if proven else denials(approvals)
        return assess(replace(evidence, source_findings=(), approvals=counting))

    def _fresh(self, kind: str, body: dict[str, object]) -> PolicyRecord:
        """Project a policy, but keep the known object of the same generation: its index is compiled."""
        record = policy_record(kind, body)
        table = self._store.policies if record.ref.namespace else self._store.cluster_policies
        known = table.get((record.ref.namespace or "", record.ref.name))
        same = known and known.uid == record.uid and known.generation == record.generation
        return replace(record, policy=known.policy) if known and same else record

    async def _judge(
        self,
        record: SkillRecord,
        *,
        policies: tuple[PolicyRecord, ...],
        approvals: Sequence[ApprovalRecord],
        network: ConditionDraft,
        run_agent: str | None,
        live: bool,
    ) -> Judged:
        chosen, failures = readable(policies)
        source_failure, source_findings, pins = await self._source(record)
        decisions, unproven, in_doubt = await self._decisions(record.key.namespace, approvals)
        platform, runtime_failure = choose_platform(record.spec, self._setup)
        said = evidence_of(
            record,
            agent=await self._agent(record, run_agent=run_agent, live=live),
            now=self._now(),
            platform=platform,
            runtime_failure=runtime_failure,
            policies=chosen,
            policy_failures=failures,
        )
        evidence = replace(
            said,
            source_failure=source_failure,
            source_findings=source_findings,
            pins=pins,
            approvals=decisions,
            approvals_remark=unproven,
            approvals_in_doubt=in_doubt,
            network_isolated=True if network.status is Status.TRUE else None,
            advisories_synced_at=self._feed.synced_at,
        )
        judged = assess(evidence)
        if judged.job is Job.RESOLVE and platform is not None:
            evidence = await self._with_stages(evidence, record, platform)
            judged = assess(evidence)
        unscanned: tuple[Lock, ...] = ()
        if judged.hold and judged.lock is None:
            judged, unscanned = await self._with_what_runs(record, evidence, judged)
        unsure = self._unsure(record.key.namespace, evidence.agent, approvals)
        return Judged(evidence, judged, unscanned, unsure)

    async def _with_what_runs(
        self, record: SkillRecord, evidence: Evidence, judged: Assessment
    ) -> tuple[Assessment, tuple[Lock, ...]]:
        """Judge the locks that Pods run on, where the skill's own is not known."""
        fallen: dict[str, str] = {}
        unscanned: list[Lock] = []
        running = sorted(self._running_locks(record))
        if running and evidence.source_failure is not None:
            evidence = replace(evidence, source_findings=await self._remembered(record, evidence))
        for digest in running:
            lock = await self._stages.lock(digest)
            if lock is None:
                continue
            scan = await self._scan_of(lock, evidence)
            if scan is None and lock.packages:
                unscanned.append(lock)
            if why := why_fallen(evidence, lock, scan):
                fallen[digest] = why
        if fallen:
            judged = replace(judged, fallen=fallen).with_remark(f"What ran may not: {min(fallen.values())}")
        return judged, tuple(unscanned)

    async def _remembered(self, record: SkillRecord, evidence: Evidence) -> tuple[SourceFinding, ...] | None:
        """Return what is found in the files that run, which the skill gives no more: the depot has them."""
        if record.spec is None or evidence.content_digest is None:
            return None
        packed = await self._stages.content(evidence.content_digest)
        return None if packed is None else await self._sources.look_at(packed, record.spec.invocation)

    def _running_locks(self, record: SkillRecord) -> set[str]:
        pods = list(self._store.pods_of("Skill", record.key))
        for run in self._store.runs_of(record.key):
            pods += self._store.pods_of("SkillRun", run.key)
        return {item.pod.lock_digest for item in pods if not item.pod.deleting and not item.pod.phase.ended}

    async def _with_stages(self, evidence: Evidence, record: SkillRecord, platform: Platform) -> Evidence:
        resolution = await self._stages.resolution(_wanted(evidence, record, platform))
        scan = await self._scan_of(resolution, evidence) if isinstance(resolution, Lock) else None
        return replace(evidence, resolution=resolution, scan=scan)

    async def _scan_of(self, lock: Lock, evidence: Evidence) -> ScanResult | None:
        """Return the scan of a lock with the advisories of now; ``None``: not yet, or it has no package."""
        if not lock.packages:
            return None
        revision = self._feed.revision_of(lock.names)
        return await self._stages.scan_result(lock, revision, required_scanners(evidence.policies, lock))

    async def _source(
        self, record: SkillRecord
    ) -> tuple[Failure | None, tuple[SourceFinding, ...] | None, Pins | None]:
        """Return why a skill's files cannot be used, or what was found in them and what they pin."""
        if record.source_failure is not None or record.spec is None:
            return record.source_failure, record.source_findings, None
        if isinstance(record.spec.source, ConfigMapSource):
            manager, declared = record.spec.node_manager, record.declared
            seen = await self._sources.look(
                record.key.namespace,
                record.spec.source,
                invocation=record.spec.invocation,
                pins=lambda files: read_pins(files, manager=manager, declared=declared),
            )
            return (seen, None, None) if isinstance(seen, Failure) else (None, *seen)
        return None, record.source_findings, record.pins

    async def _decisions(
        self, namespace: str, records: Sequence[ApprovalRecord]
    ) -> tuple[tuple[Approval, ...], str, tuple[Approval, ...] | None]:
        """Return the decisions that count, why others do not, and what would count if it were proven.

        A denial counts whoever took it. The last is ``None`` unless nobody answered.
        """
        found = decided(records)
        approved = [approval for approval in found if approval.approved]
        proven = await self._approval_guard.in_force(namespace) if approved else True
        if proven:
            return found, "", None
        text = (
            f"{len(approved)} approval(s) do not count, since nothing here proves who gave them: install"
            " manifests/admission in this cluster."
        )
        return denials(found), text, found if proven is None else None

    def _unsure(self, namespace: str, agent: AgentView, approvals: Sequence[ApprovalRecord]) -> bool:
        if agent.name is not None and self._guard.unsure(namespace):
            return True
        approved = any(approval.approved for approval in decided(approvals))
        return approved and self._approval_guard.unsure(namespace)

    async def _agent(self, record: SkillRecord, *, run_agent: str | None, live: bool) -> AgentView:
        name = record.spec.agent if record.spec else None
        view = await self._one_agent(record.key, name, live=live)
        if run_agent is None:
            return view
        other = await self._one_agent(record.key, run_agent, live=live)
        # The lower of both counts: a run can only tighten.
        return view if view.effective <= other.effective else other

    async def _one_agent(
        self, key: SkillKey, name: str | None, *, live: bool, probe: bool = True
    ) -> AgentView:
        """Return what is known of an agent; without ``probe`` a guard that nobody asked about counts.

        The question is a dry-run create, which must not come from an admission review: it would lead to one.
        """
        if name is None:
            return AgentView()
        known = None if live else self._store.agents.get((key.namespace, name))
        if known is None:
            # Applied together with its skills, an agent may be seen after them.
            body = await self._cluster.get(Kind.AGENT, name=name, namespace=key.namespace)
            known = agent_record(body) if body else None
        if probe:
            guarded = await self._guard.in_force(key.namespace)
        else:
            guarded = self._guard.last_answer(key.namespace) is not False
        return AgentView(name=name, maturity=known.maturity if known else None, guarded=guarded)

    def pursue(self, record: SkillRecord, judged: Judged, *, waiter: Waiter) -> bool:
        """Start the slow work that would bring a skill further; return whether any was started."""
        evidence, job = judged.evidence, judged.assessment.job
        platform = evidence.platform
        if platform is None:
            return False
        self._scan(judged.unscanned, evidence, record, waiter)
        wanted = _wanted(evidence, record, platform)
        failed = isinstance(evidence.resolution, Failure)
        if job is Job.RESOLVE or (failed and self._stages.resolve_due(wanted, waiter)):
            previous = (record.status.get("lock") or {}).get("digest")
            self._stages.resolve(
                wanted, previous_lock=previous, namespace=record.key.namespace, waiter=waiter
            )
            return True
        lock = evidence.resolution
        if not isinstance(lock, Lock):
            return False
        if job is Job.SCAN or self._stages.scan_due(lock, self._feed.revision_of(lock.names), waiter):
            self._scan([lock], evidence, record, waiter)
            return True
        return False

    def _scan(self, locks: Iterable[Lock], evidence: Evidence, record: SkillRecord, waiter: Waiter) -> None:
        for lock in locks:
            self._stages.scan(
                lock,
                revision=self._feed.revision_of(lock.names),
                required=required_scanners(evidence.policies, lock),
                namespace=record.key.namespace,
                waiter=waiter,
            )


def network_condition(
    isolation: Isolation, *, labels: dict[str, str], others: tuple[str, ...]
) -> ConditionDraft:
    """Return the condition NetworkIsolated.

    Parameters
    ----------
    isolation
        What is known of the cluster's network plugin.
    labels
        Of the sandbox, for the message only.
    others
        Names of foreign NetworkPolicies that open it: they are additive, so one suffices.
    """
    kind = ConditionType.NETWORK_ISOLATED
    if others and isolation.enforced is not False:
        text = (
            f"NetworkPolicy {', '.join(others)} also selects this sandbox and opens it."
            f" Narrow its podSelector so that {LABEL_COMPONENT}={labels[LABEL_COMPONENT]} is out."
        )
        return ConditionDraft(kind, Status.FALSE, NetworkReason.OVERLAPPING_POLICY, text)
    match isolation.enforced:
        case True:
            return ConditionDraft(kind, Status.TRUE, NetworkReason.ENFORCED, isolation.text)
        case False:
            return ConditionDraft(kind, Status.FALSE, NetworkReason.NOT_ENFORCED, isolation.text)
        case None:
            return ConditionDraft(kind, Status.UNKNOWN, NetworkReason.UNKNOWN, isolation.text)


def _wanted(evidence: Evidence, record: SkillRecord, platform: Platform) -> Wanted:
    return Wanted(record.declared, platform, record.refresh, evidence.pins)

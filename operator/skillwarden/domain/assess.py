"""How far a skill has come on its way to a verdict, and what it needs next.

``assess`` takes everything known about one skill and returns the outcome of each stage (intake, resolution,
scan, judgement) and the one job that would bring it further. The operator and ``skillwarden check`` both walk
the way by calling it again after each job, so that the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from .conditions import (
    AcceptedReason,
    ConditionDraft,
    ConditionType,
    ResolvedReason,
    ScannedReason,
    Status,
)
from .errors import Refusal
from .evaluate import EvaluationRequest, advisories_stale, evaluate, scan_gaps
from .finding import Finding, ScanResult
from .judge_names import NamesRequest, judge_names, look_up_ends
from .lock import Lock, Platform
from .package import DeclaredPackage
from .pins import Pins
from .policy import Action, Maturity, Policy
from .skill import Sandbox
from .source_finding import SourceFinding
from .verdict import Approval, ComplianceReason, Reason, Verdict


class Job(Enum):
    """Slow work that runs outside of reconcile."""

    RESOLVE = "resolve"
    SCAN = "scan"


@dataclass(frozen=True, slots=True)
class Failure:
    """A stage that ended without what it was for.

    Attributes
    ----------
    reason
        The condition's reason.
    message, fix
        For the person who must act.
    retryable
        Whether the world may answer otherwise with nothing changed here.
    """

    reason: str
    message: str
    fix: str = ""
    retryable: bool = False

    @property
    def text(self) -> str:
        """Message and fix as one."""
        return f"{self.message} {self.fix}".strip()


@dataclass(frozen=True, slots=True)
class AgentView:
    """What is known about the agent that a skill names.

    Attributes
    ----------
    name
        As written; ``None``: the skill names none.
    maturity
        The Agent's; ``None``: no such Agent.
    guarded
        Whether naming an agent takes the verb ``use`` here; ``None``: could not be found out.
    """

    name: str | None = None
    maturity: Maturity | None = None
    guarded: bool | None = True

    @property
    def effective(self) -> Maturity:
        """What counts: Student unless the agent exists and may not simply be borrowed (DESIGN 3)."""
        if self.name is None or self.maturity is None or self.guarded is not True:
            return Maturity.STUDENT
        return self.maturity


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that bears on one skill's verdict.

    Attributes
    ----------
    declared, refusals
        What intake made of the packages.
    name_findings
        What can be found from the declared names alone.
    source_failure, runtime_failure, spec_failure
        Why the source, the runtime or the object itself cannot be used.
    content_digest
        Of the skill's files; ``None`` where they cannot be used.
    invocation_digest
        Of what the container is started with; empty where the spec cannot be read.
    source_findings
        What was found in these files; ``None``: nobody looked, and nothing is allowed.
    platform
        What artefacts are chosen for.
    pins
        What the lockfile among the skill's files pins; ``None``: it has none.
    agent
        As its type says.
    policies
        All that apply to the namespace; ``policy_failures`` those that apply but cannot be read.
    resolution
        The lock, why there is none, or ``None``: not tried yet.
    scan
        The result at the present advisory revision, or ``None``.
    advisories_synced_at
        Last successful sync (UTC); ``None``: never.
    approvals, approvals_remark
        Decisions of people, and why some of them do not count.
    approvals_in_doubt
        What the approvals would be, where nobody answered whether it is proven who gave them.
    network_isolated
        Whether isolation is shown to be enforced.
    sandbox
        What the skill asks for.
    now
        UTC, aware.
    """

    declared: tuple[DeclaredPackage, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    name_findings: tuple[Finding, ...] = ()
    spec_failure: Failure | None = None
    source_failure: Failure | None = None
    runtime_failure: Failure | None = None
    content_digest: str | None = None
    invocation_digest: str = ""
    source_findings: tuple[SourceFinding, ...] | None = None
    platform: Platform | None = None
    pins: Pins | None = None
    agent: AgentView = AgentView()
    policies: tuple[Policy, ...] = ()
    policy_failures: tuple[str, ...] = ()
    resolution: Lock | Failure | None = None
    scan: ScanResult | None = None
    advisories_synced_at: datetime | None = None
    approvals: tuple[Approval, ...] = ()
    approvals_remark: str = ""
    approvals_in_doubt: tuple[Approval, ...] | None = None
    network_isolated: bool | None = None
    sandbox: Sandbox
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Where a skill stands.

    Attributes
    ----------
    accepted, resolved, scanned, compliant
        The outcome of each stage.
    maturity
        What counted.
    verdict
        ``None`` while a stage before it has not ended.
    lock
        The closure, once known.
    content_digest, invocation_digest, scan
        As in the evidence.
    job
        What would bring it further; ``None``: nothing but a change of the world.
    retry
        Whether the way stopped at something that may answer later.
    hold
        What runs on this very lock and content may go on, although no verdict allows it: something is in
        progress, does not answer, or is stale. Nothing new is launched.
    fallen
        Of locks (by digest) that run while none is known: why they may not go on all the same.
    """

    accepted: ConditionDraft
    resolved: ConditionDraft
    scanned: ConditionDraft
    compliant: ConditionDraft
    maturity: Maturity
    verdict: Verdict | None = None
    lock: Lock | None = None
    content_digest: str | None = None
    invocation_digest: str = ""
    scan: ScanResult | None = None
    job: Job | None = None
    retry: bool = False
    hold: bool = False
    fallen: Mapping[str, str] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """Whether the skill may be launched now."""
        return self.verdict is not None and self.verdict.allowed and self.accepted.status is Status.TRUE

    def starts_as(self, content_digest: str, invocation_digest: str) -> bool:
        """Whether something runs the very files, by the command, that are judged.

        Pods of earlier operators do not say what they were started with.
        """
        started = invocation_digest in {"", self.invocation_digest}
        return content_digest == self.content_digest and started

    def may_be_of(self, lock_digest: str) -> bool:
        """Whether a lock is the one that is judged, so far as that is known."""
        return self.lock is None or self.lock.digest == lock_digest

    def holds(self, lock_digest: str) -> bool:
        """Whether what runs on a lock may go on, so far as that depends on the lock."""
        return self.hold and self.may_be_of(lock_digest) and lock_digest not in self.fallen

    def with_remark(self, remark: str) -> Assessment:
        """Return the assessment with something more to say of its verdict."""
        compliant = replace(self.compliant, message=f"{self.compliant.message} {remark}")
        return replace(self, compliant=compliant)

    @property
    def drafts(self) -> tuple[ConditionDraft, ...]:
        """The conditions of the way to the verdict, in order."""
        return (self.accepted, self.resolved, self.scanned, self.compliant)


def assess(evidence: Evidence) -> Assessment:
    """Return where a skill stands and what it needs next.

    Where nobody answered whether the admission policies are in force, and that decides, there is no verdict:
    neither is anything launched, nor does what runs end (ADR 6).
    """
    judged = _assess(evidence)
    best = _beyond_doubt(evidence)
    if judged.allowed or judged.verdict is None or best is None:
        return judged
    otherwise = _assess(best)
    if not (otherwise.allowed or otherwise.hold):
        return judged
    text = (
        f"{judged.compliant.message} Whether the admission policies are in force here, which decides this,"
        " could not be found out: it is asked again, and the operator's log says why."
    )
    unreached = _unreached(ConditionType.RESOLVED, ResolvedReason.NOT_REACHED)
    resolved = judged.resolved if judged.lock is not None else unreached
    return replace(
        judged, resolved=resolved, verdict=None, compliant=_no_verdict(text), retry=True, hold=True
    )


def _beyond_doubt(evidence: Evidence) -> Evidence | None:
    """Return the evidence if each guard stood that gave no answer; ``None``: each gave one."""
    agent, approvals = evidence.agent, evidence.approvals_in_doubt
    if approvals is None and (agent.name is None or agent.guarded is not None):
        return None
    guarded = agent.guarded is not False
    return replace(
        evidence,
        agent=replace(agent, guarded=guarded),
        approvals=evidence.approvals if approvals is None else approvals,
        approvals_in_doubt=None,
    )


def _assess(evidence: Evidence) -> Assessment:
    maturity = evidence.agent.effective
    start = Assessment(
        accepted=_accepted(evidence),
        resolved=_unreached(ConditionType.RESOLVED, ResolvedReason.NOT_REACHED),
        scanned=_unreached(ConditionType.SCANNED, ScannedReason.NOT_REACHED),
        compliant=_no_verdict("The skill cannot be judged yet."),
        maturity=maturity,
        content_digest=evidence.content_digest,
        invocation_digest=evidence.invocation_digest,
    )
    if start.accepted.status is not Status.TRUE:
        retry = evidence.source_failure is not None and evidence.source_failure.retryable
        return replace(
            start, compliant=_no_verdict("The skill itself is not valid."), retry=retry, hold=retry
        )
    if evidence.policy_failures:
        # A policy that cannot be read might forbid anything: nothing is allowed until it can.
        text = "A policy that applies here cannot be read: " + "; ".join(sorted(evidence.policy_failures))
        return replace(start, compliant=_no_verdict(text))
    if evidence.source_findings is None:
        # What nobody looked at is not found to be harmless.
        text = "Nobody has looked at the skill's own files yet."
        return replace(start, compliant=_no_verdict(text), retry=True, hold=True)
    names = NamesRequest(
        declared=evidence.declared,
        policies=evidence.policies,
        maturity=maturity,
        name_findings=evidence.name_findings,
        approvals=evidence.approvals,
        now=evidence.now,
    )
    early = judge_names(names)
    if early is not None:
        compliant = _compliant(early, evidence.approvals_remark)
        text = f"Judged by names alone; no index was asked. {compliant.message}"
        resolved = ConditionDraft(ConditionType.RESOLVED, Status.FALSE, ResolvedReason.REFUSED, text)
        return replace(start, resolved=resolved, compliant=compliant, verdict=early)
    return _revisited(_after_names(evidence, start), look_up_ends(names))


def why_fallen(evidence: Evidence, lock: Lock, scan: ScanResult | None) -> str:
    """Return why what runs on an earlier lock may not go on, while the skill as it is cannot be judged.

    An outage, or an author who takes the source away, must not keep a ban, a rule or an advisory from what
    runs: its lock is judged as it stands, with the names that are declared now.

    Returns
    -------
    str
        Empty: it may go on.
    """
    standing = assess(
        replace(
            evidence,
            source_failure=None,
            source_findings=evidence.source_findings or (),
            resolution=lock,
            scan=scan,
        )
    )
    if standing.allowed or standing.hold:
        return ""
    return f"{standing.compliant.reason}: {standing.compliant.message}"


def _revisited(assessment: Assessment, ends: datetime | None) -> Assessment:
    """Return the assessment with a verdict that is looked at again when a name may be looked up no more."""
    verdict = assessment.verdict
    if verdict is None or ends is None:
        return assessment
    moments = [ends] if verdict.revisit_at is None else [ends, verdict.revisit_at]
    return replace(assessment, verdict=replace(verdict, revisit_at=min(moments)))


def _after_names(evidence: Evidence, start: Assessment) -> Assessment:
    match evidence.resolution:
        case None:
            resolved = ConditionDraft(
                ConditionType.RESOLVED,
                Status.UNKNOWN,
                ResolvedReason.RESOLVING,
                "The closure is being resolved.",
            )
            return replace(start, resolved=resolved, job=Job.RESOLVE, hold=True)
        case Failure() as failure:
            status = Status.UNKNOWN if failure.retryable else Status.FALSE
            resolved = ConditionDraft(ConditionType.RESOLVED, status, failure.reason, failure.text)
            text = "There is no closure to judge."
            return replace(
                start,
                resolved=resolved,
                compliant=_no_verdict(text),
                retry=failure.retryable,
                hold=failure.retryable,
            )
        case Lock() as lock:
            return _after_resolution(evidence, start, lock)


def _after_resolution(evidence: Evidence, start: Assessment, lock: Lock) -> Assessment:
    located = replace(
        start,
        lock=lock,
        resolved=ConditionDraft(
            ConditionType.RESOLVED,
            Status.TRUE,
            ResolvedReason.LOCKED,
            f"{len(lock.packages)} package(s) locked for {lock.platform}.",
        ),
    )
    verdict = evaluate(
        EvaluationRequest(
            lock=lock,
            scan=evidence.scan,
            policies=evidence.policies,
            maturity=start.maturity,
            approvals=evidence.approvals,
            sandbox=evidence.sandbox,
            now=evidence.now,
            advisories_synced_at=evidence.advisories_synced_at,
            network_isolated=evidence.network_isolated,
            source_findings=evidence.source_findings or (),
            content_digest=evidence.content_digest,
        )
    )
    if evidence.scan is None and lock.packages:
        scanned = ConditionDraft(
            ConditionType.SCANNED, Status.UNKNOWN, ScannedReason.SCANNING, "The closure is being scanned."
        )
        located = replace(located, scanned=scanned, job=Job.SCAN)
        if verdict.reason is ComplianceReason.NO_VERDICT or verdict.action is not Action.DENY:
            return replace(located, hold=True)
        # A ban or a rule denies whatever the scan will say: what runs need not wait for it.
        return replace(located, compliant=_compliant(verdict), verdict=verdict)
    gaps = scan_gaps(lock, evidence.scan, evidence.policies)
    return replace(
        located,
        scanned=_scanned(evidence, lock),
        compliant=_compliant(verdict, evidence.approvals_remark),
        verdict=verdict,
        scan=evidence.scan,
        retry=any(gap.retryable for gap in gaps),
        hold=verdict.reason is ComplianceReason.NO_VERDICT and verdict.may_hold,
    )


def _accepted(evidence: Evidence) -> ConditionDraft:
    def draft(status: Status, reason: AcceptedReason, message: str) -> ConditionDraft:
        return ConditionDraft(ConditionType.ACCEPTED, status, reason, message)

    if evidence.spec_failure:
        return draft(Status.FALSE, AcceptedReason.INVALID_SPEC, evidence.spec_failure.text)
    if evidence.refusals:
        return draft(Status.FALSE, AcceptedReason.INVALID_PACKAGE, _refusals(evidence.refusals))
    if evidence.source_failure:
        return draft(Status.FALSE, AcceptedReason.INVALID_SOURCE, evidence.source_failure.text)
    if evidence.runtime_failure:
        return draft(Status.FALSE, AcceptedReason.UNSUPPORTED_RUNTIME, evidence.runtime_failure.text)
    reason, text = agent_remark(evidence.agent)
    return draft(Status.TRUE, reason, text or "The skill can be worked with.")


def agent_remark(agent: AgentView) -> tuple[AcceptedReason, str]:
    """Return how an agent reference is taken: Valid, or why its maturity does not count."""
    if agent.name is None:
        return AcceptedReason.VALID, ""
    if agent.guarded is not True:
        why = "is not guarded here" if agent.guarded is False else "could not be shown to be guarded here"
        return (
            AcceptedReason.AGENT_UNGUARDED,
            f"Naming an agent {why}, so Agent {agent.name} does not count and the skill is a Student's."
            " Install manifests/admission in this cluster.",
        )
    if agent.maturity is None:
        return (
            AcceptedReason.AGENT_NOT_FOUND,
            f"There is no Agent {agent.name} in this namespace, so the skill is a Student's."
            " Create the Agent, or name another.",
        )
    return AcceptedReason.VALID, ""


def _refusals(refusals: Sequence[Refusal]) -> str:
    shown = [f"{refusal.message} {refusal.fix}".strip() for refusal in refusals[:3]]
    more = f" And {len(refusals) - 3} more." if len(refusals) > 3 else ""
    return " ".join(shown) + more


def _scanned(evidence: Evidence, lock: Lock) -> ConditionDraft:
    def draft(status: Status, reason: ScannedReason, message: str) -> ConditionDraft:
        return ConditionDraft(ConditionType.SCANNED, status, reason, message)

    if not lock.packages:
        return draft(Status.TRUE, ScannedReason.COMPLETE, "There is no package to scan.")
    gaps = scan_gaps(lock, evidence.scan, evidence.policies)
    if gaps:
        uncovered = all(gap.kind == "coverage" for gap in gaps)
        reason = ScannedReason.INCOMPLETE_COVERAGE if uncovered else ScannedReason.SCANNER_ERROR
        return draft(Status.FALSE, reason, " ".join(gap.message for gap in gaps))
    stale = advisories_stale(
        evidence.policies, synced_at=evidence.advisories_synced_at, now=evidence.now, lock=lock
    )
    if stale:
        return draft(Status.FALSE, ScannedReason.ADVISORIES_STALE, stale)
    return draft(
        Status.TRUE, ScannedReason.COMPLETE, f"Every required scanner looked at all {len(lock.packages)}."
    )


def _compliant(verdict: Verdict, approvals_remark: str = "") -> ConditionDraft:
    if verdict.allowed:
        return ConditionDraft(
            ConditionType.COMPLIANT, Status.TRUE, verdict.reason, "Every applicable policy allows it."
        )
    status = Status.UNKNOWN if verdict.reason is ComplianceReason.NO_VERDICT else Status.FALSE
    text = _grounds(verdict.reasons)
    if verdict.reason is ComplianceReason.APPROVAL_REQUIRED and approvals_remark:
        text = f"{approvals_remark} {text}"
    return ConditionDraft(ConditionType.COMPLIANT, status, verdict.reason, text)


def _grounds(reasons: Sequence[Reason]) -> str:
    shown = [reason.text for reason in reasons[:3]]
    more = f" And {len(reasons) - 3} more ground(s)." if len(reasons) > 3 else ""
    return " ".join(shown) + more


def _no_verdict(message: str) -> ConditionDraft:
    return ConditionDraft(ConditionType.COMPLIANT, Status.UNKNOWN, ComplianceReason.NO_VERDICT, message)


def _unreached(condition: ConditionType, reason: str) -> ConditionDraft:
    return ConditionDraft(condition, Status.UNKNOWN, reason, "An earlier stage stands in the way.")


def verdict_word(assessment: Assessment) -> str:
    """Return the word for ``status.verdict``: Allowed, ApprovalRequired, Denied or Unknown."""
    verdict = assessment.verdict
    if verdict is None or verdict.reason is ComplianceReason.NO_VERDICT:
        return "Unknown"
    if verdict.allowed:
        return "Allowed"
    return "ApprovalRequired" if verdict.action is Action.REQUIRE_APPROVAL else "Denied"

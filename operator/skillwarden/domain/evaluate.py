"""Where a verdict is made: findings x policies x maturity x approvals, and nothing else, give one.

The rules, in the order in which they count for one package and one policy (DESIGN 1 and 3):

1. a ban denies, over every rule and approval;
2. the ceiling of the agent's maturity holds for every package;
3. the first rule that matches speaks, else what the package inherits from a rule that includes
   dependencies, else ``unlisted``; a package of which no policy speaks needs approval;
4. each finding is judged besides, whatever a rule allowed.

The strictest over all policies and packages is the verdict, so a namespace's policy can tighten and never
loosen what the cluster's says. An approval lifts what asks for approval, and never a denial. A scan with a
gap is no pass: it can only leave a denial standing, or end without a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from .approvals import FOREVER, ApprovalBook
from .closure import Closure, Node, closure_of
from .content import run_digest
from .coverage import (
    ScanGap,
    advisories_stale,
    advisory_deadline,
    enforcing,
    may_hold,
    required_scanners,
    scan_gaps,
)
from .finding import Finding, FindingKind, ScanResult
from .finding_grounds import Ruling, age_ruling, finding_ground, ruling
from .grounds import Ground, Narrator, approval_denied, in_order
from .judge_names import no_policy
from .lock import Lock
from .merge import merge_findings
from .policy import Action, Maturity, Policy, PolicyRef
from .policy_index import UNCLAIMED, Opinions, opinions_of
from .sandbox_grounds import isolation_reasons, runtime_class, sandbox_reasons
from .scan_view import ScanView, view_of
from .skill import Sandbox
from .source_finding import SourceFinding, gravest_first
from .source_grounds import source_reason, source_refused
from .verdict import Approval, ComplianceReason, PendingApproval, Reason, Verdict

__all__ = [
    "SYNC_ADVISORIES",
    "EvaluationRequest",
    "ScanGap",
    "advisories_stale",
    "evaluate",
    "merge_findings",
    "required_scanners",
    "scan_gaps",
]

#: What mends advisories that are missing or too old.
SYNC_ADVISORIES = (
    "Sync the advisories (skillwarden advisories sync --from URL|DIR); until then nothing new is launched."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """Everything that a verdict depends on.

    Attributes
    ----------
    lock
        The resolved closure.
    scan
        What scanners said of it; ``None``: nothing yet.
    policies
        All that apply to the skill's namespace, cluster and namespace ones, in any order.
    maturity
        The agent's; Student where there is none.
    approvals
        All that might concern the closure, in any order.
    sandbox
        What the skill asks for.
    now
        The time (UTC, aware).
    advisories_synced_at
        The last successful sync (UTC, aware); ``None``: there was none.
    network_isolated
        Whether NetworkIsolated is True; ``None``: nobody knows.
    source_findings, content_digest
        What was found in the skill's own files, and their digest.
    """

    lock: Lock
    scan: ScanResult | None
    policies: tuple[Policy, ...]
    maturity: Maturity
    sandbox: Sandbox
    now: datetime
    approvals: tuple[Approval, ...] = ()
    advisories_synced_at: datetime | None = None
    network_isolated: bool | None = None
    source_findings: tuple[SourceFinding, ...] = ()
    content_digest: str | None = None


def evaluate(request: EvaluationRequest) -> Verdict:
    """Judge a skill; pure, and the same for every order of policies, approvals, packages and reports."""
    deciding = enforcing(request.policies)
    shown = [policy for policy in request.policies if policy not in deciding]
    bench = _Bench.of(request)
    audit = bench.judge(shown, deciding=False)
    if not deciding:
        return no_policy(
            audit_reasons=in_order(audit.reasons), runtime_class=request.sandbox.runtime_class_name
        )
    tally = bench.judge(deciding, deciding=True)
    gaps, holds = _gap_reasons(request, deciding)
    tally.reasons += gaps
    reasons = in_order(tally.reasons)
    action, code = (
        (reasons[0].action, reasons[0].code) if reasons else (Action.ALLOW, ComplianceReason.ALLOWED)
    )
    return Verdict(
        action=action,
        reason=code,
        reasons=reasons,
        audit_reasons=in_order(audit.reasons),
        pending=bench.pending(tally) if code is ComplianceReason.APPROVAL_REQUIRED else (),
        decided_by=_decided_by(action, reasons, tally.allowed_by),
        # Only what would run if it were not for the gaps may go on running.
        may_hold=holds and code is ComplianceReason.NO_VERDICT and len(gaps) == len(reasons),
        revisit_at=_earliest(
            tally.moments, advisory_deadline(deciding, request.advisories_synced_at), request
        ),
        runtime_class=runtime_class(deciding, sandbox=request.sandbox, maturity=request.maturity),
    )


@dataclass(slots=True)
class _Tally:
    """What judging some policies has brought together so far."""

    reasons: list[Reason] = field(default_factory=list)
    waiting: dict[int, set[PolicyRef]] = field(default_factory=dict)
    accepted: dict[int, set[Finding]] = field(default_factory=dict)
    source: dict[SourceFinding, set[PolicyRef]] = field(default_factory=dict)
    allowed_by: dict[PolicyRef, set[str]] = field(default_factory=dict)
    moments: list[datetime] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Bench:
    """One request, with what every policy's judgement of it shares."""

    request: EvaluationRequest
    closure: Closure
    view: ScanView
    book: ApprovalBook
    narrator: Narrator

    @classmethod
    def of(cls, request: EvaluationRequest) -> _Bench:
        closure = closure_of(request.lock)
        return cls(
            request=request,
            closure=closure,
            view=view_of(request.lock, request.scan),
            book=ApprovalBook(request.approvals, closure=closure, maturity=request.maturity, now=request.now),
            narrator=Narrator(request.lock, closure),
        )

    def judge(self, policies: Sequence[Policy], *, deciding: bool) -> _Tally:
        """Judge every package and the sandbox by some policies; what belongs to none, if they decide."""
        tally = _Tally()
        opinions = [opinions_of(policy, self.closure) for policy in policies]
        for policy, said in zip(policies, opinions, strict=True):
            self._rules(policy, said, tally)
            self._findings(policy, tally)
            self._source(policy, tally)
        tally.reasons += sandbox_reasons(
            policies, sandbox=self.request.sandbox, maturity=self.request.maturity
        )
        if deciding:
            self._unclaimed(opinions, tally, asking={policy.ref for policy in policies})
            for node, approval in self.book.denials():
                tally.reasons.append(self.narrator.reason(node, approval_denied(approval.name)))
            if refusal := self.book.denial_of(self._digests()):
                tally.reasons.append(source_refused(refusal.name))
        return tally

    def _rules(self, policy: Policy, opinions: Opinions, tally: _Tally) -> None:
        blocked, allowing = opinions.at(self.request.maturity)
        tally.allowed_by.setdefault(policy.ref, set()).update(allowing)
        for position, grounds in blocked:
            for ground in grounds:
                self._weigh(self.closure.nodes[position], ground, tally)

    def _findings(self, policy: Policy, tally: _Tally) -> None:
        rules, now = policy.findings, self.request.now
        for node, finding in self.view.findings:
            self._rule_on(node, finding, policy, ruling(rules, finding), tally)
        if rules.cares_for(FindingKind.LICENCE):
            for same in self.view.licences.values():
                ruled = ruling(rules, same[0][1])
                if ruled.action is not Action.ALLOW:
                    for node, finding in same:
                        self._rule_on(node, finding, policy, ruled, tally)
        for kind, ages in self.view.ages.items():
            for node, finding in ages.undated:
                self._rule_on(node, finding, policy, age_ruling(rules, kind, None, now), tally)
            for published, node, finding in ages.dated:
                ruled = age_ruling(rules, kind, published, now)
                if ruled.action is Action.ALLOW:
                    break  # the rest is older
                self._rule_on(node, finding, policy, ruled, tally)

    def _source(self, policy: Policy, tally: _Tally) -> None:
        """Judge what was found in the skill's own files."""
        for finding in self.request.source_findings:
            action = policy.findings.source.get(finding.severity, Action.ALLOW)
            if action is Action.ALLOW:
                continue
            if action is Action.REQUIRE_APPROVAL:
                until = self.book.covers_source(self._digests(finding), finding, policy=policy.ref)
                if until is not None:
                    if until is not FOREVER:
                        tally.moments.append(until)
                    continue
                tally.source.setdefault(finding, set()).add(policy.ref)
            tally.reasons.append(source_reason(policy, finding, action))

    def _digests(self, finding: SourceFinding | None = None) -> frozenset[str]:
        """Return the digests of the skill's files: their own, and the one together with its command.

        For a finding that the command led to, the latter alone: another command may run another of the files.
        """
        files = self.request.content_digest
        if files is None:
            return frozenset()
        commands = {item.command for item in self.request.source_findings if item.command}
        together = {run_digest(files, command) for command in commands}
        return frozenset(together if finding is not None and finding.command else {files, *together})

    def _rule_on(self, node: Node, finding: Finding, policy: Policy, ruled: Ruling, tally: _Tally) -> None:
        if ruled.action is Action.ALLOW:
            return
        if ruled.until is not None:
            tally.moments.append(ruled.until)
        self._weigh(node, finding_ground(policy, finding, ruled, declared=node.package.direct), tally)

    def _unclaimed(self, opinions: Sequence[Opinions], tally: _Tally, *, asking: set[PolicyRef]) -> None:
        """A package of which no policy that decides speaks needs approval, by all of them."""
        silent = frozenset.intersection(*(said.abstaining for said in opinions))
        for position in sorted(silent):
            self._weigh(self.closure.nodes[position], UNCLAIMED, tally)
            if position in tally.waiting:
                tally.waiting[position] |= asking

    def _weigh(self, node: Node, ground: Ground, tally: _Tally) -> None:
        """Take a ground into account, unless an approval lifts it."""
        if ground.action is Action.REQUIRE_APPROVAL:
            until = self.book.covers(node, ground.finding, policy=ground.policy)
            if until is not None:
                if until is not FOREVER:
                    tally.moments.append(until)
                if ground.policy is not None:
                    tally.allowed_by.setdefault(ground.policy, set()).add(ground.rule)
                return
            asking = tally.waiting.setdefault(node.position, set())
            if ground.policy is not None:
                asking.add(ground.policy)
            if ground.finding is not None:
                tally.accepted.setdefault(node.position, set()).add(ground.finding)
        tally.reasons.append(self.narrator.reason(node, ground))

    def pending(self, tally: _Tally) -> tuple[PendingApproval, ...]:
        """Return what waits for approval, by declared package; what two of them pull in stands under both."""
        found = []
        # Sorted once: what hundreds of declared packages share would be sorted hundreds of times.
        nodes = sorted(
            (self.closure.nodes[place] for place in tally.waiting), key=lambda node: node.package.id
        )
        for root, positions in self.closure.by_root.items():
            chosen = [node for node in nodes if node.position in positions]
            if not chosen:
                continue
            places = [node.position for node in chosen]
            found.append(
                PendingApproval(
                    declared=root,
                    packages=tuple(node.package.id for node in chosen),
                    min_maturity=self.request.maturity,
                    artefacts=tuple((node.package.id, node.package.artefact.digest) for node in chosen),
                    findings=tuple(sorted({f for place in places for f in tally.accepted.get(place, ())})),
                    policies=tuple(sorted({p for place in places for p in tally.waiting[place]}, key=str)),
                )
            )
        return (*found, *self._pending_source(tally))

    def _pending_source(self, tally: _Tally) -> tuple[PendingApproval, ...]:
        """Return the request about the skill's own files, if anything of them waits."""
        if not tally.source or self.request.content_digest is None:
            return ()
        asking = sorted({ref for refs in tally.source.values() for ref in refs}, key=str)
        command = max(finding.command for finding in tally.source)  # one, or none
        return (
            PendingApproval(
                declared=None,
                packages=(),
                min_maturity=self.request.maturity,
                policies=tuple(asking),
                content_digest=run_digest(self.request.content_digest, command),
                source_findings=tuple(sorted(tally.source, key=gravest_first)),
            ),
        )


def _gap_reasons(request: EvaluationRequest, policies: Sequence[Policy]) -> tuple[list[Reason], bool]:
    """Return why there can be no pass, and whether all of these let what runs go on."""
    gaps = scan_gaps(request.lock, request.scan, policies)
    reasons = [_no_verdict(gap.message, gap.fix, f"scanning.{gap.scanner}") for gap in gaps]
    holds = all(may_hold(gap.scanner, policies) for gap in gaps)
    stale = advisories_stale(policies, request.advisories_synced_at, request.now, request.lock)
    if stale is not None:
        reasons.append(_no_verdict(stale, SYNC_ADVISORIES, "scanning.maxAdvisoryAge"))
    unguarded = list(isolation_reasons(policies, request.network_isolated))
    return reasons + unguarded, holds and not unguarded


def _no_verdict(message: str, fix: str, rule: str) -> Reason:
    return Reason(Action.DENY, ComplianceReason.NO_VERDICT, message=message, fix=fix, rule=rule)


def _decided_by(
    action: Action, reasons: Sequence[Reason], allowed_by: Mapping[PolicyRef, set[str]]
) -> tuple[tuple[PolicyRef, str], ...]:
    found = allowed_by
    if action is not Action.ALLOW:
        found = {}
        for reason in reasons:
            if reason.action is action and reason.policy is not None:
                found.setdefault(reason.policy, set()).add(reason.rule)
    return tuple((ref, rule) for ref in sorted(found, key=str) for rule in sorted(found[ref]))


def _earliest(
    moments: Iterable[datetime], feed_ends: datetime | None, request: EvaluationRequest
) -> datetime | None:
    """Return the first moment to come at which time alone could change the verdict."""
    known = [*moments, feed_ends] if feed_ends is not None and request.lock.packages else moments
    return min((moment for moment in known if moment > request.now), default=None)

"""What reviewers decided, as far as it concerns one closure at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from .closure import Closure, Node
from .finding import ADVISORIES, Finding
from .package import DeclaredPackage
from .policy import Maturity, PolicyRef
from .source_finding import SourceFinding
from .verdict import Approval

#: Stands for a kind of finding where an approval accepts what was found in a skill's own files.
SOURCE_KIND = "source"
_NUMBERED = ("CVE-", "GHSA-")
#: An approval that covers the ground and never ends.
FOREVER = datetime.max.replace(tzinfo=UTC)


class ApprovalBook:
    """The approvals and denials that cover artefacts of one closure.

    An approval is of bytes, by hash: it meets every policy's spelling of the version, and no other
    ecosystem's package of the same name. It answers the policies that had asked, and no other: whoever may
    approve for a namespace's policy must not, by having been early, loosen what the cluster's comes to ask.
    A denial is permanent, whatever its expiry and maturity.
    """

    def __init__(
        self, approvals: Sequence[Approval], *, closure: Closure, maturity: Maturity, now: datetime
    ) -> None:
        self._approvals = approvals
        self._closure = closure
        self._maturity = maturity
        self._now = now
        self._answers: dict[PolicyRef | None, dict[str, list[Approval]]] = {}
        self._lifted: dict[PolicyRef | None, dict[int, datetime]] = {}

    def denials(self) -> list[tuple[Node, Approval]]:
        """Return every artefact that somebody refused, with the refusal."""
        artefacts = self._closure.by_artefact
        return [
            (node, approval)
            for approval in self._approvals
            if not approval.approved
            for hash_ in artefacts.keys() & approval.artefacts
            for node in artefacts[hash_]
        ]

    def _by_artefact(self, policy: PolicyRef | None) -> Mapping[str, Sequence[Approval]]:
        """Return what answers a policy, by the artefacts of the closure that it covers."""
        found = self._answers.get(policy)
        if found is None:
            found = self._answers[policy] = {}
            artefacts = self._closure.by_artefact.keys()
            for approval in self._approvals:
                if _counts(approval, self._maturity, self._now) and _answers(approval, policy):
                    for hash_ in artefacts & approval.artefacts:
                        found.setdefault(hash_, []).append(approval)
        return found

    def _lifted_for(self, policy: PolicyRef | None) -> Mapping[int, datetime]:
        """For each covered node, by position, until when what a policy's rules ask is given."""
        found = self._lifted.get(policy)
        if found is None:
            found = self._lifted[policy] = {}
            for hash_, approvals in self._by_artefact(policy).items():
                until = approvals[0].expires_at or FOREVER
                for approval in approvals[1:]:
                    until = max(until, approval.expires_at or FOREVER)
                for node in self._closure.by_artefact[hash_]:
                    found[node.position] = until
        return found

    def covers(self, node: Node, finding: Finding | None, *, policy: PolicyRef | None) -> datetime | None:
        """Return until when a ground about a package is lifted, ``FOREVER``, or ``None`` if it is not.

        Parameters
        ----------
        node
            The package.
        finding
            The finding that is the ground; ``None`` where a rule is. One approval must cover both the
            artefact and the finding, an advisory under all its ``names_to_accept``.
        policy
            Who asks; ``None`` where no policy speaks of the package: then every approval of it will do.
        """
        if finding is None:
            return self._lifted_for(policy).get(node.position)
        return _latest(
            approval
            for approval in self._by_artefact(policy).get(node.package.artefact.digest, ())
            if _accepts(approval, finding)
        )

    def covers_source(
        self, digests: AbstractSet[str], finding: SourceFinding, *, policy: PolicyRef
    ) -> datetime | None:
        """Return until when a ground about the skill's own files is lifted by digest; as ``covers``."""
        accepted = (None, SOURCE_KIND, finding.rule)
        return _latest(
            approval
            for approval in self._approvals
            if digests & approval.artefacts
            and accepted in approval.accepted_findings
            and _answers(approval, policy)
            and _counts(approval, self._maturity, self._now)
        )

    def denial_of(self, digests: AbstractSet[str]) -> Approval | None:
        """Return a refusal of the skill's own files by any of their digests, or ``None``."""
        return next(
            (item for item in self._approvals if not item.approved and digests & item.artefacts), None
        )


class LookUps:
    """The approvals and denials of looking up declared names that are not what they seem.

    Such a request is made before anything is resolved, and has no artefacts. Its approval lets the name be
    resolved, and nothing more: what comes of that is judged, and asked about, by its bytes.
    """

    def __init__(self, approvals: Sequence[Approval], *, maturity: Maturity, now: datetime) -> None:
        self._approvals = approvals
        self._maturity = maturity
        self._now = now

    def given(self, package: DeclaredPackage, finding: Finding, *, policy: PolicyRef) -> datetime | None:
        """Return until when a name may be looked up for all a policy asks, ``FOREVER``, or ``None``."""
        return _latest(
            decision
            for decision in self._about(package, finding)
            if _answers(decision, policy) and _counts(decision, self._maturity, self._now)
        )

    def refusal(self, package: DeclaredPackage, finding: Finding) -> Approval | None:
        """Return who refused to have it looked up, or ``None``."""
        return next((item for item in self._about(package, finding) if not item.approved), None)

    def _about(self, package: DeclaredPackage, finding: Finding) -> Iterator[Approval]:
        for approval in self._approvals:
            if approval.looks_up == (package.ecosystem, package.name) and _accepts(approval, finding):
                yield approval


def _counts(approval: Approval, maturity: Maturity, now: datetime) -> bool:
    """Whether an approval is one, for this maturity, now."""
    current = approval.expires_at is None or approval.expires_at > now
    return approval.approved and approval.min_maturity <= maturity and current


def _latest(approvals: Iterable[Approval]) -> datetime | None:
    """Return when the last of them ends, ``FOREVER``, or ``None`` where there is none."""
    return max((approval.expires_at or FOREVER for approval in approvals), default=None)


def _answers(approval: Approval, policy: PolicyRef | None) -> bool:
    return policy is None or policy in approval.policies


def names_to_accept(finding: Finding) -> frozenset[str]:
    """Return the names under which a finding must have been accepted: each that may be another vulnerability.

    One record can name the numbers of several vulnerabilities and so make one finding of them
    (``merge_findings``); whoever accepted the one has not accepted the others. A number is CVE's or GHSA's:
    other databases copy those, and their copies come later. Where nobody gave a number, every name counts.
    """
    names = frozenset({finding.id, *finding.aliases})
    return frozenset(name for name in names if name.startswith(_NUMBERED)) or names


def _accepts(approval: Approval, finding: Finding) -> bool:
    package, kind = finding.package, finding.kind.value
    if finding.kind in ADVISORIES:
        return all((package, kind, name) in approval.accepted_findings for name in names_to_accept(finding))
    return (package, kind, finding.id) in approval.accepted_findings

"""What reviewers decided, as far as it concerns one closure at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property

from .closure import Closure, Node
from .finding import Finding
from .policy import Maturity
from .verdict import Approval

#: An approval that covers the ground and never ends.
FOREVER = datetime.max.replace(tzinfo=UTC)


class ApprovalBook:
    """The approvals and denials that cover artefacts of one closure.

    An approval is of bytes, by hash: it meets every policy's spelling of the version, and no other
    ecosystem's package of the same name. A denial is permanent, whatever its expiry and maturity.
    """

    def __init__(
        self, approvals: Sequence[Approval], *, closure: Closure, maturity: Maturity, now: datetime
    ) -> None:
        self._approvals = approvals
        self._closure = closure
        self._maturity = maturity
        self._now = now

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

    @cached_property
    def _by_artefact(self) -> Mapping[str, Sequence[Approval]]:
        artefacts = self._closure.by_artefact.keys()
        found: dict[str, list[Approval]] = {}
        for approval in self._approvals:
            if not approval.approved or not approval.min_maturity <= self._maturity:
                continue
            if approval.expires_at is not None and approval.expires_at <= self._now:
                continue
            for hash_ in artefacts & approval.artefacts:
                found.setdefault(hash_, []).append(approval)
        return found

    @cached_property
    def lifted(self) -> Mapping[int, datetime]:
        """For each covered node, by position, until when what a rule asks for is given, or ``FOREVER``."""
        found: dict[int, datetime] = {}
        for hash_, approvals in self._by_artefact.items():
            until = approvals[0].expires_at or FOREVER
            for approval in approvals[1:]:
                until = max(until, approval.expires_at or FOREVER)
            for node in self._closure.by_artefact[hash_]:
                found[node.position] = until
        return found

    def covers(self, node: Node, finding: Finding | None) -> datetime | None:
        """Return until when a ground about a package is lifted, ``FOREVER``, or ``None`` if it is not.

        Parameters
        ----------
        node
            The package.
        finding
            The finding that is the ground; ``None`` where a rule is. One approval must cover both the
            artefact and the finding, under the finding's id or an alias of it.
        """
        if finding is None:
            return self.lifted.get(node.position)
        return max(
            (
                approval.expires_at or FOREVER
                for approval in self._by_artefact.get(node.package.artefact.sha256, ())
                if _accepts(approval, finding)
            ),
            default=None,
        )


def _accepts(approval: Approval, finding: Finding) -> bool:
    kind = finding.kind.value
    return any((kind, name) in approval.accepted_findings for name in (finding.id, *finding.aliases))

"""What reviewers decided, as far as it concerns one closure at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property

from .closure import Closure, Node
from .finding import Finding
from .policy import Maturity
from .source_finding import SourceFinding
from .verdict import Approval

#: Stands for a kind of finding where an approval accepts what was found in a skill's own files.
SOURCE_KIND = "source"
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
            if not self._counts(approval):
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
                for approval in self._by_artefact.get(node.package.artefact.digest, ())
                if _accepts(approval, finding)
            ),
            default=None,
        )

    def covers_source(self, content_digest: str | None, finding: SourceFinding) -> datetime | None:
        """Return until when a ground about the skill's own files is lifted; as ``covers``."""
        pair = (SOURCE_KIND, finding.rule)
        return max(
            (
                approval.expires_at or FOREVER
                for approval in self._approvals
                if content_digest in approval.artefacts
                and pair in approval.accepted_findings
                and self._counts(approval)
            ),
            default=None,
        )

    def denial_of(self, content_digest: str | None) -> Approval | None:
        """Return a refusal of the skill's own files, or ``None``."""
        return next(
            (item for item in self._approvals if not item.approved and content_digest in item.artefacts), None
        )

    def _counts(self, approval: Approval) -> bool:
        """Whether an approval is one, for this maturity, now."""
        current = approval.expires_at is None or approval.expires_at > self._now
        return approval.approved and approval.min_maturity <= self._maturity and current


def _accepts(approval: Approval, finding: Finding) -> bool:
    kind = finding.kind.value
    return any((kind, name) in approval.accepted_findings for name in (finding.id, *finding.aliases))

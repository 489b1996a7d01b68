"""What is said at ``kubectl apply`` already: a ban on a named package is refused, all else is a warning.

It is a courtesy, and no part of what holds: the operator judges everything anew, whether this was asked
or not. It is told by the same assessment as the verdict, from names and policies alone, and asks no index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..domain.assess import Assessment
from ..domain.conditions import AcceptedReason, Status
from ..domain.grounds import one_line
from ..domain.package import PackageId
from ..domain.policy import Action
from ..domain.verdict import ComplianceReason, Reason
from .judge import Judge
from .ports import Body, NameFindings
from .records import policy_record, skill_record

#: kubectl shows each on a line of its own; the API server cuts what is longer than 4096 in all.
MAX_WARNINGS = 6
MAX_WARNING = 500
MAX_REFUSAL = 1500
_POLICIES = frozenset({"PackagePolicy", "ClusterPackagePolicy"})
#: Kinds that there is something to say about; the chart's ValidatingWebhookConfiguration sends no others.
REVIEWED = _POLICIES | {"Skill"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an admission review is answered.

    Attributes
    ----------
    refusal
        Why the object is not taken; empty: it is.
    warnings
        For the person who applies it; each one line.
    """

    refusal: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """What became of it: refused, warned or admitted."""
        return "refused" if self.refusal else "warned" if self.warnings else "admitted"


class Admission:
    """Answers admission reviews of our kinds.

    Parameters
    ----------
    judge
        Assesses names against the policies at hand.
    name_findings
        What names alone show.
    """

    def __init__(self, judge: Judge, *, name_findings: NameFindings) -> None:
        self._judge = judge
        self._name_findings = name_findings

    async def review(self, kind: str, body: Body, old: Body | None) -> Answer:
        """Answer for one object.

        Parameters
        ----------
        kind
            Its kind; for others than ours there is nothing to say.
        body
            The object, with namespace and name.
        old
            What stands, for an update.
        """
        if old is not None and old.get("spec") == body.get("spec"):
            return Answer()
        if kind == "Skill":
            return await self._skill(body, old)
        if kind in _POLICIES:
            return _policy(kind, body)
        return Answer()

    async def _skill(self, body: Body, old: Body | None) -> Answer:
        record = skill_record(body, name_findings=self._name_findings)
        assessment = await self._judge.judge_names(record)
        bans = [reason for reason in _reasons(assessment) if reason.code is ComplianceReason.BANNED]
        if bans and old is not None:
            # What stands may be edited, scaled and mended though a ban has come: the operator has stopped it.
            stood = _named(old)
            bans = [ban for ban in bans if ban.package not in stood]
        if bans:
            return Answer(refusal=one_line(" ".join(ban.text for ban in bans), MAX_REFUSAL))
        return Answer(warnings=_bounded(tuple(_warnings(assessment))))


def _policy(kind: str, body: Body) -> Answer:
    record = policy_record(kind, body)
    if not record.error:
        return Answer()
    text = f"This policy cannot be read, and where it applies nothing is allowed until it can: {record.error}"
    return Answer(warnings=_bounded((text,)))


def _named(body: Body) -> frozenset[PackageId]:
    declared = skill_record(body, name_findings=lambda _: ()).declared
    return frozenset(PackageId(item.ecosystem, item.name, item.pinned_version or "") for item in declared)


def _reasons(assessment: Assessment) -> tuple[Reason, ...]:
    return assessment.verdict.reasons if assessment.verdict is not None else ()


def _warnings(assessment: Assessment) -> Iterator[str]:
    accepted = assessment.accepted
    if accepted.status is not Status.TRUE:
        yield f"This skill will not be accepted ({accepted.reason}): {accepted.message}"
        return
    if accepted.reason != AcceptedReason.VALID:
        yield accepted.message
    if assessment.verdict is None:
        # A job to do is the usual way; without one, something stands in it.
        if assessment.job is None:
            yield assessment.compliant.message
        return
    for reason in assessment.verdict.reasons:
        asks = (
            "This skill will be denied" if reason.action is Action.DENY else "This skill waits for approval"
        )
        yield f"{asks} ({reason.code}): {reason.text}"


def _bounded(warnings: tuple[str, ...]) -> tuple[str, ...]:
    shown = tuple(one_line(text, MAX_WARNING) for text in warnings[:MAX_WARNINGS])
    left = len(warnings) - len(shown)
    return (*shown, f"And {left} more: see the skill's status.") if left else shown

"""What is said at ``kubectl apply`` already: a ban on a named package is refused, all else is a warning.

It is a courtesy, and no part of what holds: the operator judges everything anew, whether this was asked
or not. It is told by the same assessment as the verdict, from names and policies alone, and asks no index.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..domain.assess import Assessment
from ..domain.conditions import AcceptedReason, Status
from ..domain.grounds import one_line
from ..domain.package import PackageId
from ..domain.policy import Action
from ..domain.verdict import ComplianceReason, Reason
from .judge import Judge
from .ports import Body, NameFindings
from .records import SkillRecord, policy_record, skill_record

#: kubectl shows each on a line of its own; the API server cuts what is longer than 4096 in all.
MAX_WARNINGS = 6
MAX_WARNING = 500
MAX_REFUSAL = 1500
_POLICIES = frozenset({"PackagePolicy", "ClusterPackagePolicy"})


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
        record = self._record(body)
        assessment = await self._judge.judge_names(record)
        stood = _named(self._record(old)) if old is not None else frozenset()
        bans = [
            reason
            for reason in _reasons(assessment)
            if reason.code is ComplianceReason.BANNED and reason.package not in stood
        ]
        if bans:
            return Answer(refusal=_cut(" ".join(_text(ban) for ban in bans), MAX_REFUSAL))
        # What stands may be edited, scaled and mended though a ban has come: the operator has stopped it.
        return Answer(warnings=_bounded(tuple(_warnings(assessment))))

    def _record(self, body: Body) -> SkillRecord:
        record = skill_record(body, name_findings=self._name_findings)
        return replace(record, source_findings=())


def _policy(kind: str, body: Body) -> Answer:
    record = policy_record(kind, body)
    if not record.error:
        return Answer()
    text = f"This policy cannot be read, and where it applies nothing is allowed until it can: {record.error}"
    return Answer(warnings=_bounded((text,)))


def _named(record: SkillRecord) -> frozenset[PackageId]:
    return frozenset(
        PackageId(item.ecosystem, item.name, item.pinned_version or "") for item in record.declared
    )


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
        yield f"{asks} ({reason.code}): {_text(reason)}"


def _text(reason: Reason) -> str:
    return f"{reason.message} {reason.fix}".strip()


def _bounded(warnings: tuple[str, ...]) -> tuple[str, ...]:
    shown = tuple(_cut(text, MAX_WARNING) for text in warnings[:MAX_WARNINGS])
    left = len(warnings) - len(shown)
    return (*shown, f"And {left} more: see the skill's status.") if left else shown


def _cut(text: str, limit: int) -> str:
    return one_line(text, limit)


def parts_of(review: object) -> tuple[str, str, Body, Body | None]:
    """Return uid, kind, object and old object of an AdmissionReview.

    Raises
    ------
    ValueError
        Where it is none (`admission.k8s.io/v1`).
    """
    request = review.get("request") if isinstance(review, dict) else None
    if (
        not isinstance(review, dict)
        or review.get("apiVersion") != "admission.k8s.io/v1"
        or not isinstance(request, dict)
    ):
        raise ValueError("this is no AdmissionReview of admission.k8s.io/v1 with a request")
    uid, kind, body, old = (request.get(key) for key in ("uid", "kind", "object", "oldObject"))
    if not isinstance(uid, str) or not isinstance(kind, dict) or not isinstance(body, dict):
        raise ValueError("the request lacks uid, kind or object")
    if not isinstance(body.get("metadata"), dict):
        raise ValueError("the object has no metadata")
    name = body["metadata"].get("name") or body["metadata"].get("generateName") or "(unnamed)"
    place = {"name": name, "namespace": request.get("namespace") or ""}
    body = {**body, "metadata": {**body["metadata"], **place}}
    return uid, str(kind.get("kind")), body, old if isinstance(old, dict) else None

"""What a judgement comes to for a user: a report in every case, what to mend, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..domain.assess import Assessment
from ..domain.conditions import AcceptedReason, Status
from ..domain.explain import Explanation, explain
from ..domain.finding import ScannerName, ScanState
from ..domain.grounds import one_line
from ..domain.merge import merge_findings
from ..domain.policy import Maturity
from ..domain.scan_view import REPAIR, TRIED_AGAIN
from ..domain.verdict import ComplianceReason
from ..services.offline import obstacle
from ..services.records import SkillRecord
from ..skillmd.problems import Level, Remark
from .render import Problem

ALLOWED, NOT_ALLOWED, UNDECIDED = 0, 1, 2
_AGAIN = "Do what the error says, and run the command again."


@dataclass(frozen=True, slots=True)
class Outcome:
    """A judgement, for the renderers.

    Attributes
    ----------
    explanation
        The verdict; where there is none, one that says so.
    problems
        Why there is none; empty where there is one.
    exit_code
        0 allowed, 1 not allowed, 2 it could not be judged.
    """

    explanation: Explanation
    problems: tuple[Problem, ...]
    exit_code: int


def outcome_of(record: SkillRecord, assessment: Assessment) -> Outcome:
    """Return what an assessment comes to.

    A skill that is itself at fault (an entry that intake refuses, requirements that exclude one another) is
    not allowed, exit code 1: trying again changes nothing. Exit code 2 is for what may yet be judged.
    """
    named = f"{record.key.namespace}/{record.key.name}" if record.key.namespace else record.key.name
    subject = one_line(named)
    if assessment.verdict is None:
        problems = _problems(record, assessment)
        explanation = _without_verdict(subject, assessment.maturity, problems)
        definite = all(problem.definite for problem in problems)
        return Outcome(explanation, problems, NOT_ALLOWED if definite else UNDECIDED)
    findings = merge_findings(assessment.scan.reports) if assessment.scan else record.name_findings
    explanation = explain(
        # Nobody tries again once a command has ended.
        assessment.verdict.with_fixes({TRIED_AGAIN: _AGAIN, REPAIR: _AGAIN}),
        assessment.lock,
        findings,
        subject=subject,
        maturity=assessment.maturity,
        scanned=_scanned(assessment),
    )
    if assessment.compliant.status is Status.UNKNOWN:
        return Outcome(explanation, (), UNDECIDED)
    return Outcome(explanation, (), ALLOWED if assessment.allowed else NOT_ALLOWED)


def _scanned(assessment: Assessment) -> bool:
    """Whether the closure is known, and was held against the advisories."""
    lock, scan = assessment.lock, assessment.scan
    if lock is None or not lock.packages:
        return lock is not None
    return scan is not None and any(
        report.scanner is ScannerName.OSV and report.state is not ScanState.ERROR for report in scan.reports
    )


def outcome_of_folder(name: str, remarks: Iterable[Remark], maturity: Maturity) -> Outcome:
    """Return what a folder comes to that cannot be a Skill: each error a problem."""
    problems = tuple(
        Problem(
            AcceptedReason.INVALID_PACKAGE if item.code else AcceptedReason.INVALID_SOURCE,
            f"{item.file}{f':{item.line}' if item.line else ''}: {item.message}",
            item.fix,
            code=item.code,
            file=item.file,
            line=item.line,
        )
        for item in remarks
        if item.level is Level.ERROR
    )
    return Outcome(_without_verdict(one_line(name), maturity, problems), problems, NOT_ALLOWED)


def _problems(record: SkillRecord, assessment: Assessment) -> tuple[Problem, ...]:
    if record.refusals and record.spec_failure is None:
        return tuple(
            Problem(assessment.accepted.reason, item.message, item.fix, field=item.field, code=item.code)
            for item in record.refusals
        )
    draft = obstacle(assessment)
    definite = draft.status is Status.FALSE and not assessment.retry
    return (Problem(draft.reason, draft.message, definite=definite),)


def _without_verdict(subject: str, maturity: Maturity, problems: tuple[Problem, ...]) -> Explanation:
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    word = "is not allowed" if first.definite else "cannot be judged"
    return Explanation(
        subject=subject,
        headline=f"{subject} {word} ({first.reason}): {first.message}{more}",
        allowed=False,
        reason=ComplianceReason.NO_VERDICT,
        maturity=maturity,
        lock_digest=None,
        platform=None,
        packages=(),
        counts=None,
        reasons=(),
        audit=(),
        pending=(),
        decided_by=(),
    )

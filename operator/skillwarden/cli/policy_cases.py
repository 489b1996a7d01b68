"""Cases for policies: which skill, by which policies, should be judged how; and whether it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..domain.assess import Assessment, verdict_word
from ..domain.errors import InvalidInputError
from ..domain.policy import Maturity
from ..services.offline import obstacle
from ..services.records import PolicyRecord, SkillRecord
from .judging import chosen_policies, maturity_for, one_skill
from .manifests import read_documents, read_given

SUFFIXES = (".case.yaml", ".case.yml")
Word = Literal["Allowed", "ApprovalRequired", "Denied", "Unknown"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(_Strict):
    """What a case expects.

    Attributes
    ----------
    verdict
        As ``status.verdict`` has it.
    reason
        Of the condition that decides: ``Banned``, ``MaturityTooLow``, ``InvalidPackage``; unset: any.
    ground
        Words that one of the grounds must hold; unset: any.
    """

    verdict: Word
    reason: str | None = None
    ground: str | None = None


class CaseFile(_Strict):
    """A case as it is written; paths are relative to its file."""

    name: str = ""
    skill: str
    policies: list[str] = Field(default=[], max_length=64)
    maturity: Maturity | None = None
    expect: Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case with everything read that it names."""

    name: str
    place: str
    record: SkillRecord
    policies: tuple[PolicyRecord, ...]
    maturity: Maturity
    expected: Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a case.

    Attributes
    ----------
    verdict, reason, grounds
        What it was judged to be.
    wrong
        What is not as expected, one sentence each; empty: everything is.
    undecided
        Whether it is wrong only because it could not be judged now.
    """

    case: Case
    verdict: str
    reason: str
    grounds: tuple[str, ...]
    wrong: tuple[str, ...]
    undecided: bool

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return {
            "name": self.case.name,
            "case": self.case.place,
            "passed": not self.wrong,
            "undecided": self.undecided,
            "expected": self.case.expected.model_dump(exclude_none=True),
            "verdict": self.verdict,
            "reason": self.reason,
            "grounds": list(self.grounds),
            "wrong": list(self.wrong),
        }


def read_cases(folder: Path) -> list[Case]:
    """Read every case below a folder, or those of one file; in the order of their paths.

    Raises
    ------
    InvalidInputError
        Where there is none, or one cannot be read: a case that is passed over is no pass.
    """
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.case.y*ml"))
    cases = [
        _case(path, number, document)
        for path in files
        if path.name.endswith(SUFFIXES) or path == folder
        for number, document in enumerate(read_documents(path), 1)
    ]
    if not cases:
        raise InvalidInputError(
            f"{folder} holds no case.", fix=f"A case is a file whose name ends in {SUFFIXES[0]}."
        )
    return cases


def _case(path: Path, number: int, document: dict[str, Any]) -> Case:
    place = f"{path}#{number}" if number > 1 else str(path)
    try:
        written = CaseFile.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(f"{place} is no case: {field}: {first['msg']}.") from error
    try:
        given = read_given(path.parent / written.skill)
        record = one_skill(given, path.parent / written.skill)
        policies = chosen_policies([path.parent / name for name in written.policies], given, record)
    except InvalidInputError as error:
        raise InvalidInputError(f"{place}: {error.message}", fix=error.fix) from error
    return Case(
        name=written.name or path.name.removesuffix(".yaml").removesuffix(".yml").removesuffix(".case"),
        place=place,
        record=record,
        policies=policies,
        maturity=maturity_for(written.maturity, record, given),
        expected=written.expect,
    )


def compare(case: Case, assessment: Assessment) -> Result:
    """Return whether a skill was judged as its case expects."""
    word, verdict = verdict_word(assessment), assessment.verdict
    draft = assessment.compliant if verdict is not None else obstacle(assessment)
    grounds = tuple(item.message for item in verdict.reasons) if verdict is not None else (draft.message,)
    expected, wrong = case.expected, []
    if word != expected.verdict:
        wrong.append(f"expected {expected.verdict}, but it is {word}")
    if expected.reason is not None and str(draft.reason) != expected.reason:
        wrong.append(f"expected the reason {expected.reason}, but it is {draft.reason}")
    if expected.ground is not None and not any(expected.ground in ground for ground in grounds):
        wrong.append(f"no ground says {expected.ground!r}")
    return Result(
        case=case,
        verdict=word,
        reason=str(draft.reason),
        grounds=grounds,
        wrong=tuple(wrong),
        undecided=bool(wrong) and word == "Unknown" and assessment.retry,
    )

"""Requests for approval as values: their digest, their name, and what they do."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.domain.approval_request import (
    ApprovalRequest,
    Decision,
    Effect,
    effect_of,
    request_name,
    set_digest,
)
from skillwarden.domain.finding import Finding, FindingKind, Severity
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.domain.policy import Maturity, PolicyRef
from skillwarden.domain.verdict import PendingApproval

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SIX = PackageId.of(Ecosystem.PYPI, "six", "1.17.0")
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
GHSA = Finding(FindingKind.VULNERABILITY, SIX, "GHSA-1", Severity.HIGH)
PULLED_IN = PackageId.of(Ecosystem.PYPI, "helper", "1.0")


def pending(**fields: object) -> PendingApproval:
    given_ = PendingApproval(
        declared=SIX,
        packages=(SIX,),
        min_maturity=Maturity.INTERN,
        artefacts=((SIX, A),),
        findings=(GHSA,),
        policies=(PolicyRef("baseline"), PolicyRef("rules", "team")),
    )
    return replace(given_, **fields)  # type: ignore[arg-type]


def request(**fields: object) -> ApprovalRequest:
    made = ApprovalRequest(
        SIX,
        frozenset({A}),
        frozenset({(SIX, "vulnerability", "GHSA-1")}),
        Maturity.INTERN,
        frozenset({PolicyRef("baseline")}),
        name="it",
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def decision(**fields: object) -> Decision:
    return replace(Decision(True, "rita", "fine", Maturity.INTERN), **fields)  # type: ignore[arg-type]


CHANGES = {
    "another ecosystem": {"declared": PackageId.of(Ecosystem.NPM, "six", "1.17.0")},
    "another version": {"declared": PackageId.of(Ecosystem.PYPI, "six", "1.16.0")},
    "another artefact": {"artefacts": ((SIX, B),)},
    "one artefact more": {"artefacts": ((SIX, A), (SIX, B))},
    "a finding less": {"findings": ()},
    "the finding of another package": {"findings": (replace(GHSA, package=PULLED_IN),)},
    "the finding of another version": {
        "findings": (replace(GHSA, package=PackageId.of(Ecosystem.PYPI, "six", "1.16.0")),)
    },
    "the finding of another ecosystem's package": {
        "findings": (replace(GHSA, package=PackageId.of(Ecosystem.NPM, "six", "1.17.0")),)
    },
    "a finding that has a number more": {"findings": (replace(GHSA, aliases=("CVE-1",)),)},
    "another policy": {"policies": (PolicyRef("rules", "team"),)},
    "another maturity": {"min_maturity": Maturity.SUPERVISED},
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_a_request_is_another_with(sentence: str) -> None:
    changed = pending(**CHANGES[sentence])
    assert set_digest(changed) != set_digest(pending())
    assert request_name(changed) != request_name(pending())


def test_a_request_is_the_same_in_every_order_and_spelling() -> None:
    spelled = PackageId.of(Ecosystem.PYPI, "Six", "v1.17.0")
    both = ((SIX, A), (SIX, B))
    assert set_digest(pending(declared=spelled)) == set_digest(pending())
    assert set_digest(pending(artefacts=both)) == set_digest(pending(artefacts=both[::-1]))
    policies = pending().policies
    assert set_digest(pending(policies=policies[::-1])) == set_digest(pending())


@given(st.text(max_size=300), st.text(max_size=60), st.integers(0, 40))
def test_a_name_is_one_that_an_object_can_have(name: str, version: str, round_: int) -> None:
    made = request_name(pending(declared=PackageId(Ecosystem.NPM, name, version)), round_=round_)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", made)
    assert len(made) <= 63


OTHER = request(name="newer", decision=None)
EFFECTS = {
    "nobody decided": (request(), {}, Effect.PENDING),
    "it was approved": (request(decision=decision()), {}, Effect.APPROVED),
    "it was denied": (request(decision=decision(approved=False)), {}, Effect.DENIED),
    "nobody proves who approved": (request(decision=decision()), {"guarded": False}, Effect.UNGUARDED),
    "nobody proves who denied": (
        request(decision=decision(approved=False)),
        {"guarded": False},
        Effect.DENIED,
    ),
    "it ends later": (request(decision=decision(expires_at=NOW + timedelta(seconds=1))), {}, Effect.APPROVED),
    "it ended in this second": (request(decision=decision(expires_at=NOW)), {}, Effect.EXPIRED),
    "another artefact is asked for": (
        request(decision=decision()),
        {"newer": (replace(OTHER, artefacts=frozenset({A, B})),)},
        Effect.NEW_ARTEFACT,
    ),
    "another finding is known": (
        request(decision=decision()),
        {"newer": (replace(OTHER, findings=OTHER.findings | {(SIX, "vulnerability", "GHSA-2")}),)},
        Effect.NEW_FINDING,
    ),
    "its finding is known of another package, too": (
        request(decision=decision()),
        {"newer": (replace(OTHER, findings=frozenset({(PULLED_IN, "vulnerability", "GHSA-1")})),)},
        Effect.NEW_FINDING,
    ),
    "its finding has another number": (
        request(decision=decision()),
        {"newer": (replace(OTHER, aliases=frozenset({(SIX, "vulnerability", "CVE-2")})),)},
        Effect.NEW_FINDING,
    ),
    "the same name of another ecosystem is asked for": (
        request(decision=decision()),
        {
            "newer": (
                replace(OTHER, declared=PackageId.of(Ecosystem.NPM, "six", "1"), artefacts=frozenset({B})),
            )
        },
        Effect.APPROVED,
    ),
    "less is asked for": (
        request(decision=decision()),
        {"newer": (replace(OTHER, findings=frozenset()),)},
        Effect.APPROVED,
    ),
}


@pytest.mark.parametrize("sentence", EFFECTS)
def test_what_a_request_does_where(sentence: str) -> None:
    subject, options, wanted = EFFECTS[sentence]
    effect, text = effect_of(subject, **{"newer": (), "guarded": True, "now": NOW, **options})  # type: ignore[arg-type]
    assert effect is wanted
    assert text


def test_a_finding_that_became_known_is_told_with_its_package() -> None:
    newer = replace(OTHER, findings=frozenset({(PULLED_IN, "vulnerability", "GHSA-1")}))
    _, text = effect_of(request(decision=decision()), newer=(newer,), guarded=True, now=NOW)
    assert text == "GHSA-1 of helper 1.0 became known since; newer asks for it."


def test_a_denial_does_not_end() -> None:
    denied = request(decision=decision(approved=False, expires_at=NOW - timedelta(days=1)))
    assert not denied.spent(NOW)
    assert effect_of(denied, newer=(), guarded=True, now=NOW)[0] is Effect.DENIED
    assert denied.approval is not None
    assert not denied.approval.approved

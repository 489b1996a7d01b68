"""What people are asked to approve, and what became of it: a request as a value, by the digest of its set.

A request is about bytes and findings, not about a skill: whoever asks for the same set asks for the same
thing, and a decision outlives whoever asked first.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .approvals import SOURCE_KIND, names_to_accept
from .finding import ADVISORIES, Finding
from .package import PackageId
from .policy import Maturity, PolicyRef
from .verdict import Accepted, Approval, PendingApproval

_UNFIT = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided, once.

    Attributes
    ----------
    approved
        ``False`` is a denial, which is permanent.
    approver, reason
        Who, as the API server knows them, and why.
    min_maturity
        Agents below it are not covered.
    expires_at
        When it ends (UTC); ``None``: never.
    """

    approved: bool
    approver: str
    reason: str
    min_maturity: Maturity
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """One request, as its object says.

    Attributes
    ----------
    declared
        The declared package, as it is locked; ``None``: a skill's own files.
    artefacts
        Digests of what needs approval; of a skill's own files their content digest. None where it is asked
        whether a name may be looked up.
    findings
        What would be accepted, by package, kind and id.
    aliases
        The same for the other names that they had when it was asked.
    min_maturity
        The maturity that it was asked for.
    policies
        Who asks.
    decision
        ``None`` while it waits.
    name
        The object's.
    """

    declared: PackageId | None
    artefacts: frozenset[str]
    findings: frozenset[Accepted]
    min_maturity: Maturity
    policies: frozenset[PolicyRef]
    decision: Decision | None = None
    name: str = ""
    aliases: frozenset[Accepted] = frozenset()

    def spent(self, now: datetime) -> bool:
        """Whether it was approved for a time that is over: whoever needs it must ask anew."""
        decision = self.decision
        return (
            decision is not None
            and decision.approved
            and decision.expires_at is not None
            and decision.expires_at <= now
        )

    @property
    def approval(self) -> Approval | None:
        """The decision as the evaluator takes it; ``None`` while there is none."""
        if self.decision is None:
            return None
        return Approval(
            artefacts=self.artefacts,
            accepted_findings=self.findings | self.aliases,
            min_maturity=self.decision.min_maturity,
            approved=self.decision.approved,
            policies=self.policies,
            declared=self.declared,
            expires_at=self.decision.expires_at,
            name=self.name,
        )


class Effect(StrEnum):
    """What a request does at a moment; reasons of its condition ``Effective``."""

    PENDING = "Pending"
    APPROVED = "Approved"
    DENIED = "Denied"
    EXPIRED = "Expired"
    NEW_ARTEFACT = "NewArtefact"
    NEW_FINDING = "NewFinding"
    UNGUARDED = "Unguarded"


def effect_of(
    request: ApprovalRequest, *, newer: tuple[ApprovalRequest, ...], guarded: bool, now: datetime
) -> tuple[Effect, str]:
    """Return what a request does now, and why, in words.

    Parameters
    ----------
    request
        The request.
    newer
        Undecided requests of the same namespace for the same package.
    guarded
        Whether who decided is proven here (the admission policies are in force).
    now
        The time (UTC).
    """
    decision = request.decision
    if decision is None:
        return Effect.PENDING, "It waits for a person who may approve for every policy that asks."
    if not decision.approved:
        # A denial counts whoever took it: it can only make the verdict stricter.
        return Effect.DENIED, f"{decision.approver} denied it: {decision.reason}"
    if not guarded:
        text = (
            "Who approved it is not proven here, so the approval does not count. Install"
            " manifests/admission in this cluster."
        )
        return Effect.UNGUARDED, text
    if request.spent(now):
        return (
            Effect.EXPIRED,
            f"The approval of {decision.approver} has ended; a new one is asked for where needed.",
        )
    for other in newer:
        if not _same_package(request.declared, other.declared) or not (request.artefacts and other.artefacts):
            continue
        if other.artefacts - request.artefacts:
            return Effect.NEW_ARTEFACT, f"{other.name} asks for artefacts that this approval does not cover."
        known = request.findings | request.aliases
        if added := sorted(
            f"{id_} of {package}" for package, _, id_ in (other.findings | other.aliases) - known
        ):
            return Effect.NEW_FINDING, f"{', '.join(added[:5])} became known since; {other.name} asks for it."
    return Effect.APPROVED, f"{decision.approver} approved it: {decision.reason}"


def _same_package(one: PackageId | None, other: PackageId | None) -> bool:
    """Whether two requests are about one package; those about files each stand for themselves."""
    return (
        one is not None and other is not None and (one.ecosystem, one.name) == (other.ecosystem, other.name)
    )


def set_digest(pending: PendingApproval) -> str:
    """Return the digest of what a request is about; the same for every order and spelling of a version."""
    declared = pending.declared
    rows = [
        [declared.ecosystem.value, declared.name, declared.version] if declared else [pending.content_digest],
        sorted(digest for _, digest in pending.artefacts),
        sorted(_row(finding) for finding in pending.findings)
        + sorted({(SOURCE_KIND, finding.rule) for finding in pending.source_findings}),
        sorted(str(policy) for policy in pending.policies),
        pending.min_maturity.value,
    ]
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _row(finding: Finding) -> list[str]:
    package = finding.package
    others = names_to_accept(finding) - {finding.id} if finding.kind in ADVISORIES else ()
    shown = [package.ecosystem.value, package.name, package.version, finding.kind.value, finding.id]
    return [*shown, *sorted(others)]


def request_name(pending: PendingApproval, *, round_: int = 0) -> str:
    """Return the name of the object of a request; ``round_`` counts approvals of the set that have ended."""
    declared = pending.declared
    title = f"{declared.name}-{declared.version}" if declared else "source"
    readable = _UNFIT.sub("-", title.lower()).strip("-")[:40].strip("-")
    suffix = f"-{round_}" if round_ else ""
    return f"{readable or 'package'}-{set_digest(pending)[:16]}{suffix}"

"""Grounds: what stands in the way of a package, and the sentences in which a person reads of it.

A ground is what a policy says before anybody asks about which package, so that it is made once; a
``Reason`` is the ground with the package, the path and the fix filled in, made only for what is shown.
The texts are stable: no clock, no order of a set, and bounded, since they end in an object's status.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from .closure import Closure, Node
from .finding import Finding
from .lock import Lock
from .policy import Action, Ban, Maturity, PolicyRef, Rule
from .verdict import ComplianceReason, Reason

MAX_TEXT = 400
_MAX_PATH = 120
_MAX_WORDS = 120
_MAX_LISTED = 5

#: Which of several denials a verdict names; what is not here never stands beside a denial.
PRECEDENCE = {
    code: rank
    for rank, code in enumerate(
        (
            ComplianceReason.NO_POLICY,
            ComplianceReason.BANNED,
            ComplianceReason.MATURITY_TOO_LOW,
            ComplianceReason.DENIED,
            ComplianceReason.NO_VERDICT,
            ComplianceReason.APPROVAL_REQUIRED,
            ComplianceReason.ALLOWED,
        )
    )
}


class Remedy(Enum):
    """What the fix of a ground begins with."""

    REMOVE = "remove"
    APPROVE = "approve"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Ground:
    """Why something is not simply allowed.

    Attributes
    ----------
    action, code, policy, rule
        As in ``Reason``.
    why
        The message after the name of the package.
    remedy, advice
        What the fix begins with, and how it ends.
    finding
        As in ``Reason``.
    """

    action: Action
    code: ComplianceReason
    policy: PolicyRef | None
    rule: str
    why: str
    remedy: Remedy = Remedy.APPROVE
    advice: str = "."
    finding: Finding | None = None


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Return text that others wrote as one printable line of bounded length."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def listed(names: Sequence[str]) -> str:
    """Return names as a person lists them, the first few and how many more."""
    shown = [one_line(name, 40) for name in names[:_MAX_LISTED]]
    if len(names) > _MAX_LISTED:
        return ", ".join(shown) + f" and {len(names) - _MAX_LISTED} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def chain(path: Sequence[str]) -> str:
    """Return the path that pulled a package in, its middle left out where it is long."""
    text = " > ".join(path)
    if len(text) <= _MAX_PATH:
        return text
    return f"{one_line(path[0], 40)} > … > {one_line(path[-2], 30)} > {one_line(path[-1], 40)}"


def banned(ref: PolicyRef, position: int, ban: Ban) -> Ground:
    """A ban matches: no rule and no approval helps."""
    hint = one_line(ban.message, _MAX_WORDS).rstrip(".")
    return Ground(
        action=Action.DENY,
        code=ComplianceReason.BANNED,
        policy=ref,
        rule=f"bans[{position}]",
        why=f"is banned by {ref} (bans[{position}]); no approval lifts a ban",
        remedy=Remedy.REMOVE,
        advice=f": {hint}." if hint else ".",
    )


def ceiling_denies(ref: PolicyRef, level: Maturity, maturity: Maturity, enough: Maturity | None) -> Ground:
    """The agent's maturity allows no package at all."""
    return Ground(
        action=Action.DENY,
        code=ComplianceReason.MATURITY_TOO_LOW,
        policy=ref,
        rule=f"maturity.{level.value}",
        why=f"is denied to an agent of maturity {maturity.value} by {ref} (maturity.{level.value})",
        remedy=Remedy.ADVICE,
        advice=_raise_to(enough, ref) + " A skill that declares no packages needs neither.",
    )


def too_immature(ref: PolicyRef, rule: Rule, maturity: Maturity, enough: Maturity | None) -> Ground:
    """A rule asks for more maturity than the agent has."""
    return Ground(
        action=Action.DENY,
        code=ComplianceReason.MATURITY_TOO_LOW,
        policy=ref,
        rule=rule.name,
        why=(
            f"needs an agent of maturity {rule.min_maturity.value}, this one's is {maturity.value},"
            f" by {ref} (rule {rule.name})"
        ),
        remedy=Remedy.ADVICE,
        advice=_raise_to(enough, ref),
    )


def _raise_to(enough: Maturity | None, ref: PolicyRef) -> str:
    if enough is None:
        return f"No maturity is enough: ask the owner of {ref} to change it."
    return (
        f"Name an agent of maturity {enough.value} or higher, or ask the Agent's owner to raise this one's."
    )


def rule_denies(ref: PolicyRef, label: str, *, inherited: bool) -> Ground:
    """A rule, or ``unlisted``, denies."""
    by = _says(ref, label)
    return Ground(
        action=Action.DENY,
        code=ComplianceReason.DENIED,
        policy=ref,
        rule=label,
        why=f"is denied as a dependency of what {by} names" if inherited else f"is denied by {by}",
        remedy=Remedy.REMOVE,
        advice=f", or ask the owner of {ref} to allow it.",
    )


def needs_approval(ref: PolicyRef, label: str) -> Ground:
    """A rule, ``unlisted`` or a ceiling asks for a person."""
    return Ground(
        action=Action.REQUIRE_APPROVAL,
        code=ComplianceReason.APPROVAL_REQUIRED,
        policy=ref,
        rule=label,
        why=f"needs approval by {_says(ref, label)}",
    )


def approval_denied(name: str) -> Ground:
    """A person refused this artefact."""
    who = one_line(name, 80) or "without a name"
    return Ground(
        action=Action.DENY,
        code=ComplianceReason.DENIED,
        policy=None,
        rule=f"approval {who}",
        why=f"was refused by a reviewer (approval {who})",
        remedy=Remedy.REMOVE,
        advice=", or use another version and ask for approval of that.",
    )


def _says(ref: PolicyRef, label: str) -> str:
    if label == "unlisted":
        return f"{ref} (unlisted: no rule names it)"
    return f"{ref} ({label})" if label.startswith("maturity.") else f"{ref} (rule {label})"


def removal(roots: Sequence[str]) -> str:
    """Return the advice to drop every declared package that pulls something in."""
    return f"Remove {listed(roots)} from the skill's packages"


class Narrator:
    """Turns grounds about packages of one lock into reasons."""

    def __init__(self, lock: Lock, closure: Closure) -> None:
        self._lock = lock
        self._closure = closure

    def reason(self, node: Node, ground: Ground) -> Reason:
        """Return the ground with the package, the path and the fix."""
        path = self._lock.paths[node.package.id]
        how = "declared" if node.package.direct else chain(path)
        subject = f"{one_line(node.package.id.name, 60)} {one_line(node.package.id.version, 30)} ({how})"
        return Reason(
            action=ground.action,
            code=ground.code,
            message=one_line(f"{subject} {ground.why}."),
            fix=one_line(self._fix(node, ground)),
            package=node.package.id,
            path=path,
            finding=ground.finding,
            policy=ground.policy,
            rule=ground.rule,
        )

    def _fix(self, node: Node, ground: Ground) -> str:
        match ground.remedy:
            case Remedy.REMOVE:
                return removal(self._closure.roots[node.position]) + ground.advice
            case Remedy.APPROVE:
                return f"Ask a reviewer for approval of {node.package.id}{ground.advice}"
            case Remedy.ADVICE:
                return ground.advice


def in_order(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return reasons strictest first, then by package; the order depends on nothing but their content."""
    return tuple(sorted(set(reasons), key=_place))


def _place(reason: Reason) -> tuple[int, int, str, str, str, str, str, str]:
    return (
        -reason.action.strictness,
        PRECEDENCE[reason.code],
        reason.package.name if reason.package else "",
        reason.package.version if reason.package else "",
        str(reason.policy or ""),
        reason.rule,
        f"{reason.finding.kind.value} {reason.finding.id}" if reason.finding else "",
        reason.message,
    )

"""What policies say of the sandbox that a skill asks for: egress, resources, RuntimeClass, isolation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .grounds import listed, one_line
from .policy import Action, EgressRule, Maturity, Policy, Resources
from .skill import Sandbox
from .verdict import ComplianceReason, Reason

#: Field of ``Resources``, how the schema spells it, and its unit.
_AMOUNTS = (
    ("cpu", "cpu", "m"),
    ("memory", "memory", " bytes"),
    ("ephemeral_storage", "ephemeralStorage", " bytes"),
)


def sandbox_reasons(policies: Sequence[Policy], *, sandbox: Sandbox, maturity: Maturity) -> Iterator[Reason]:
    """Return what stands in the way of a sandbox, whatever its packages are.

    Whether isolation holds is no matter of the sandbox asked for: see ``isolation_reasons``.
    """
    for policy in policies:
        if sandbox.egress and policy.sandbox.egress is EgressRule.DENY:
            peers = [f"{peer.cidr} port {peer.port}/{peer.protocol}" for peer in sandbox.egress]
            yield _denied(
                policy,
                "egress",
                f"the sandbox asks for egress to {listed(peers)}; {policy.ref} denies it (sandbox.egress).",
                f"Remove sandbox.network.egress, or ask the owner of {policy.ref} to allow egress.",
            )
        yield from _too_large(policy, sandbox.resources)
    yield from _runtime_class_reasons(policies, sandbox=sandbox, maturity=maturity)


def isolation_reasons(policies: Sequence[Policy], network_isolated: bool | None) -> Iterator[Reason]:
    """Return who asks for isolation that is not shown to be enforced; not knowing is not enough."""
    if network_isolated is True:
        return
    known = "is not enforced" if network_isolated is False else "is not shown to be enforced"
    for policy in policies:
        if policy.sandbox.require_isolation:
            yield Reason(
                action=Action.DENY,
                code=ComplianceReason.NO_VERDICT,
                message=f"network isolation {known} here, and {policy.ref} requires it"
                " (sandbox.requireIsolation); see the condition NetworkIsolated.",
                fix="Run a network plugin that enforces NetworkPolicies, or remove the one that opens the"
                " sandbox's.",
                policy=policy.ref,
                rule="sandbox.requireIsolation",
            )


def runtime_class(policies: Sequence[Policy], *, sandbox: Sandbox, maturity: Maturity) -> str | None:
    """Return the RuntimeClass that the Pod must have: the skill's own, or the one that policies require."""
    if sandbox.runtime_class_name is not None:
        return sandbox.runtime_class_name
    required = set(_required(policies, maturity).values())
    return required.pop() if len(required) == 1 else None


def _required(policies: Sequence[Policy], maturity: Maturity) -> dict[Policy, str]:
    return {
        policy: wanted
        for policy in policies
        if (wanted := policy.sandbox.require_runtime_class.get(maturity)) is not None
    }


def _runtime_class_reasons(
    policies: Sequence[Policy], *, sandbox: Sandbox, maturity: Maturity
) -> Iterator[Reason]:
    required = _required(policies, maturity)
    chosen = sandbox.runtime_class_name
    at_odds = sorted(set(required.values()))
    for policy, wanted in required.items():
        asks = (
            f"{policy.ref} requires RuntimeClass {wanted} for maturity {maturity.value}"
            " (sandbox.requireRuntimeClass)"
        )
        rule = f"requireRuntimeClass.{maturity.value}"
        if len(at_odds) > 1:
            others = listed([name for name in at_odds if name != wanted])
            yield _denied(
                policy,
                rule,
                f"{asks}, other policies {others}; no Pod can have both.",
                "Ask the owners of the policies to agree on one RuntimeClass.",
            )
        elif chosen is not None and chosen != wanted:
            yield _denied(
                policy,
                rule,
                f"{asks}, the skill names {one_line(chosen, 80)}.",
                f"Set sandbox.runtimeClassName to {wanted}, or remove it.",
            )


def _too_large(policy: Policy, asked: Resources) -> Iterator[Reason]:
    for field, spelled, unit in _AMOUNTS:
        bound, amount = getattr(policy.sandbox.max_resources, field), getattr(asked, field)
        if bound is None or (amount is not None and amount <= bound):
            continue
        wants = "no bound" if amount is None else f"{amount}{unit}"
        yield _denied(
            policy,
            f"maxResources.{spelled}",
            f"the sandbox asks for {wants} of {spelled}, {policy.ref} allows {bound}{unit}"
            f" (sandbox.maxResources.{spelled}).",
            f"Set sandbox.resources.{spelled} to {bound}{unit} or less.",
        )


def _denied(policy: Policy, rule: str, message: str, fix: str) -> Reason:
    return Reason(
        action=Action.DENY,
        code=ComplianceReason.DENIED,
        message=one_line(message),
        fix=one_line(fix),
        policy=policy.ref,
        rule=f"sandbox.{rule}",
    )

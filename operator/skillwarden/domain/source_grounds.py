"""What a policy says of a finding in a skill's own files, in words that name the place and a fix."""

from __future__ import annotations

from .grounds import one_line
from .policy import Action, Policy
from .source_finding import SourceFinding
from .verdict import ComplianceReason, Reason


def source_reason(policy: Policy, finding: SourceFinding, action: Action) -> Reason:
    """Return the ground that a finding is for a policy; ``action`` is not Allow."""
    rule = f"findings.source.{finding.severity.value}"
    denies = action is Action.DENY
    verb = "denies it" if denies else "asks for approval"
    where = one_line(finding.place, 120)
    fix = f"Take it out of {where}" + (
        "." if denies else f", or ask a reviewer for approval of the skill's files with {finding.rule}."
    )
    return Reason(
        action=action,
        code=ComplianceReason.DENIED if denies else ComplianceReason.APPROVAL_REQUIRED,
        message=one_line(
            f"{where} {finding.summary} ({finding.rule}, {finding.severity.value}); {policy.ref}"
            f" ({rule}) {verb}."
        ),
        fix=fix,
        policy=policy.ref,
        rule=rule,
        source_finding=finding,
    )


def source_refused(name: str) -> Reason:
    """Return the ground that a person refused the skill's files."""
    return Reason(
        action=Action.DENY,
        code=ComplianceReason.DENIED,
        message=f"the skill's own files were refused by a reviewer (approval {one_line(name, 80)}).",
        fix="Change what the reviewer objected to: other files are another request.",
        rule=f"approval {one_line(name, 80)}",
    )

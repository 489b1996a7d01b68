"""A skill's ServiceAccount: an identity of its own that may do nothing, and whose token is never mounted."""

from __future__ import annotations

from typing import Any

from ..domain import naming
from ..domain.skill import SkillKey
from .metadata import Owner, child_metadata, sandbox_labels


def service_account_name(skill: SkillKey) -> str:
    """Return the name of a skill's ServiceAccount; its runs use it, too."""
    return naming.child_name(skill.name, skill.uid)


def build_service_account(skill: SkillKey, *, owner: Owner) -> dict[str, Any]:
    """Return a skill's ServiceAccount.

    The namespace's ``default`` account may have been given rights by somebody; this one is made without
    any, and audit logs name the skill.

    Parameters
    ----------
    skill
        Whose.
    owner
        The Skill.
    """
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": child_metadata(service_account_name(skill), owner=owner, labels=sandbox_labels(skill)),
        "automountServiceAccountToken": False,
    }

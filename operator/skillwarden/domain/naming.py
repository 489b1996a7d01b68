"""Names of children: deterministic, unique, valid, and never longer than a label may be."""

from __future__ import annotations

import hashlib
import re

#: Labels and annotations under this prefix are the operator's alone (DESIGN 5), but for ``refresh``.
PREFIX = "skillwarden.io/"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "skillwarden"
LABEL_COMPONENT = PREFIX + "component"
COMPONENT_SANDBOX = "sandbox"
COMPONENT_DEPOT = "depot"
LABEL_SKILL = PREFIX + "skill"
LABEL_SKILL_UID = PREFIX + "skill-uid"
LABEL_RUN = PREFIX + "run"
#: Digests stand whole in annotations; the labels hold what a label can (63 characters).
LABEL_LOCK = PREFIX + "lock"
LABEL_CONTENT = PREFIX + "content"
#: Of a Skill, written by whoever wants its lock made anew: any text that was not there before.
ANNOTATION_REFRESH = PREFIX + "refresh"
ANNOTATION_LOCK = PREFIX + "lock-digest"
ANNOTATION_CONTENT = PREFIX + "content-digest"
ANNOTATION_INVOCATION = PREFIX + "invocation-digest"

_INVALID = re.compile(r"[^a-z0-9-]+")
MAX_NAME = 63


def short_digest(*parts: str, length: int = 10) -> str:
    """Return the first characters of a digest over the parts; parts never run together."""
    text = "\0".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def child_name(base: str, *identity: str, suffix: str = "") -> str:
    """Return an RFC 1123 label that starts with ``base`` and is unique for ``base`` and ``identity``.

    Parameters
    ----------
    base
        The owner's name; shortened where it must be. The digest is over the whole of it, so that two
        long names with one beginning do not meet.
    identity
        What tells this child from its siblings and from a successor's: uid, digests, ordinal.
    suffix
        Put at the end as it is, for people (an ordinal).
    """
    tail = f"-{short_digest(base, *identity)}" + (f"-{suffix}" if suffix else "")
    head = _INVALID.sub("-", base.lower())[: MAX_NAME - len(tail)].strip("-") or "skill"
    return head + tail


def label_value(name: str) -> str:
    """Return the name as a label value: itself where it fits, else shortened with a digest."""
    return name if len(name) <= MAX_NAME else child_name(name)

"""Labels, annotations and owners of everything the operator creates: one spelling, in one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..domain import naming
from ..domain.skill import SkillKey

ANNOTATION_INPUT = naming.PREFIX + "input-digest"
#: Over the spec as it was asked for: a change of the Skill that keeps the Pod's name still shows.
ANNOTATION_SPEC = naming.PREFIX + "spec-hash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The object whose deletion deletes a child: a Skill, or the SkillRun of a run's Pod.

    Attributes
    ----------
    api_version, kind, name, namespace, uid
        Of the object.
    """

    api_version: str
    kind: str
    name: str
    namespace: str
    uid: str


def owner_reference(owner: Owner) -> dict[str, Any]:
    """Return the one owner reference of a child.

    ``controller`` keeps other controllers from adopting it. ``blockOwnerDeletion`` stays False: the
    admission plugin OwnerReferencesPermissionEnforcement (on by default in OpenShift) lets only those set it
    who may update the owner's ``finalizers`` subresource, which the operator has no other need for, and a
    Skill's deletion should not wait for a Pod's.
    """
    return {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def sandbox_labels(skill: SkillKey) -> dict[str, str]:
    """Return the labels that every child of a skill has; a NetworkPolicy selects Pods by them."""
    return {
        naming.LABEL_MANAGED_BY: naming.MANAGER,
        naming.LABEL_COMPONENT: naming.COMPONENT_SANDBOX,
        naming.LABEL_SKILL: naming.label_value(skill.name),
        naming.LABEL_SKILL_UID: skill.uid,
    }


def digest_label(digest: str) -> str:
    """Return what of a digest fits into a label value: its first 63 hexadecimal characters."""
    return digest.removeprefix("sha256:")[: naming.MAX_NAME]


def spec_hash(spec: Mapping[str, Any]) -> str:
    """Return the hash of a spec as it is asked for, for ``ANNOTATION_SPEC``."""
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def child_metadata(
    name: str, *, owner: Owner, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a child's ``metadata``."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": owner.namespace,
        "labels": dict(labels),
        "ownerReferences": [owner_reference(owner)],
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return metadata

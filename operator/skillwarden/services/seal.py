"""The seal on a Pod: shows from the Pod alone that the operator made it and nobody changed it since.

Whoever may edit Pods can change labels, annotations and images (the API server lets them), or create a Pod
that carries our labels. The seal is a MAC over what they could change, under a key that only the operator
and the depot hold; a Pod without a valid one is removed (promise 6).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from ..domain.naming import LABEL_MANAGED_BY, PREFIX
from .ports import Body

SEAL = PREFIX + "seal"


def identity(body: Body) -> dict[str, Any]:
    """Return what a Pod is to us: all that can be changed on a Pod that stands, and whose it is."""
    meta = body.get("metadata") or {}
    spec = body.get("spec") or {}

    def ours(field: str) -> dict[str, str]:
        items = (meta.get(field) or {}).items()
        return {
            key: value
            for key, value in items
            if (key.startswith(PREFIX) or key == LABEL_MANAGED_BY) and key != SEAL
        }

    return {
        "namespace": meta.get("namespace"),
        "name": meta.get("name"),
        "owners": sorted(
            [owner.get("kind"), owner.get("name"), owner.get("uid")]
            for owner in meta.get("ownerReferences") or []
        ),
        "labels": ours("labels"),
        "annotations": ours("annotations"),
        "images": [
            [container.get("name"), container.get("image")]
            for field in ("initContainers", "containers", "ephemeralContainers")
            for container in spec.get(field) or []
        ],
        "deadline": spec.get("activeDeadlineSeconds"),
    }


def seal(body: Body, *, key: bytes) -> str:
    """Return the seal of a Pod."""
    text = json.dumps(identity(body), sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def is_sealed(body: Body, *, key: bytes) -> bool:
    """Whether a Pod carries the seal that it must have."""
    carried = ((body.get("metadata") or {}).get("annotations") or {}).get(SEAL, "")
    return hmac.compare_digest(str(carried).encode(), seal(body, key=key).encode())

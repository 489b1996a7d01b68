"""The Pod that would run, for ``skillwarden check --show-pod``."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from ..domain.assess import Assessment, Evidence
from ..domain.skill import Mode, SkillKey, SkillRunSpec
from ..runtime.configured import sandbox_setup
from ..runtime.settings import Settings
from ..services.children import Children
from ..services.isolation import Isolation
from ..services.records import RunRecord, SkillRecord
from ..services.store import Store

PLACEHOLDER = "<issued by the operator>"


def pod_of(
    record: SkillRecord, evidence: Evidence, assessment: Assessment, settings: Settings
) -> dict[str, Any] | None:
    """Return the Pod of an allowed skill as the operator would build it; ``None`` if none would run."""
    if not assessment.allowed or evidence.platform is None:
        return None
    setup = replace(sandbox_setup(settings, key=secrets.token_bytes(32)), token=lambda *_: PLACEHOLDER)
    children = Children(store=Store(), setup=setup, isolation=Isolation(settings.network_enforced))
    key = SkillKey(record.key.namespace or "default", record.key.name, record.key.uid or "<uid>")
    record = replace(record, key=key)
    if record.spec and record.spec.mode is Mode.SERVICE:
        pods = children.service_pods(record, assessment, evidence.platform)
        pod = next(iter(pods.values()), None)
    else:
        run = RunRecord(
            key=SkillKey(key.namespace, f"{key.name}-run", "<uid>"), spec=SkillRunSpec(skill=key.name)
        )
        pod = children.run_pod(run, record, assessment, evidence.platform)
    if pod is not None:
        pod["metadata"]["annotations"]["skillwarden.io/seal"] = PLACEHOLDER
    return pod

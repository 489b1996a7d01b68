"""Requests for Pods, with everything that has no default chosen for reading."""

from __future__ import annotations

from typing import Any

from skillwarden.builders.metadata import Owner
from skillwarden.builders.network_policy import DepotEndpoint
from skillwarden.builders.pod import Images, PodRequest
from skillwarden.domain.lock import Platform
from skillwarden.domain.policy import Resources
from skillwarden.domain.skill import EgressPeer, InlineSource, Mode, Sandbox, SkillKey, SkillSpec

SKILL = SkillKey("analytics", "csv-stats", "11111111-2222-3333-4444-555555555555")
LOCK, CONTENT, INPUT = (f"sha256:{letter * 64}" for letter in "abc")
TOKEN = "swd1.payload.signature"


def make_owner(kind: str = "Skill") -> Owner:
    return Owner(
        api_version="skillwarden.io/v1alpha1",
        kind=kind,
        name=SKILL.name if kind == "Skill" else "csv-stats-run-1",
        namespace=SKILL.namespace,
        uid=SKILL.uid if kind == "Skill" else "66666666-7777-8888-9999-000000000000",
    )


def make_depot(**changes: Any) -> DepotEndpoint:
    values = {
        "host": "10.96.0.17",
        "port": 80,
        "target_port": 8480,
        "selector": {"skillwarden.io/component": "depot"},
        "namespace_labels": {"kubernetes.io/metadata.name": "skillwarden"},
    }
    return DepotEndpoint(**{**values, **changes})


def make_spec(*, mode: Mode = Mode.TASK, **sandbox: Any) -> SkillSpec:
    amounts = Resources(cpu=500, memory=256 * 2**20, ephemeral_storage=512 * 2**20)
    return SkillSpec(
        source=InlineSource(()),
        command=("python", "main.py"),
        mode=mode,
        sandbox=Sandbox(**{"resources": amounts, "env": (("LEVEL", "info"),), **sandbox}),
    )


def make_request(**changes: Any) -> PodRequest:
    """A replica of a Service."""
    values: dict[str, Any] = {
        "owner": make_owner(),
        "skill": SKILL,
        "run": None,
        "spec": make_spec(mode=Mode.SERVICE),
        "lock_digest": LOCK,
        "platform": Platform("3.12"),
        "content_digest": CONTENT,
        "input_digest": None,
        "ordinal": 0,
        "images": Images(runtime="example.test/python:3.12", operator="example.test/skillwarden:1"),
        "depot": make_depot(),
        "token": TOKEN,
    }
    return PodRequest(**{**values, **changes})


def make_run(**changes: Any) -> PodRequest:
    """A run of a Task, with everything that a run can have."""
    images = Images(
        runtime="example.test/python:3.12",
        operator="example.test/skillwarden:1",
        pull_policy="Always",
        pull_secrets=("registry",),
    )
    values: dict[str, Any] = {
        "owner": make_owner("SkillRun"),
        "run": "csv-stats-run-1",
        "spec": make_spec(egress=(EgressPeer("192.0.2.0/24", 443),)),
        "platform": Platform("3.12", arch="arm64"),
        "input_digest": INPUT,
        "ordinal": None,
        "images": images,
        "runtime_class": "gvisor",
        "host_users": False,
        "timeout_seconds": 300,
    }
    return make_request(**{**values, **changes})

"""Whole objects against golden files: what changes in a child shows in a diff that a person reads.

After a wanted change: ``SKILLWARDEN_GOLDEN=write pytest tests/builders`` and review the diff.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from builders_support import SKILL, make_depot, make_owner, make_request, make_run

from skillwarden.builders.network_policy import build_default_deny, build_network_policy
from skillwarden.builders.pod import build_pod
from skillwarden.builders.service_account import build_service_account
from skillwarden.domain.skill import EgressPeer

GOLDEN = Path(__file__).parent / "golden"
PEERS = (EgressPeer("192.0.2.0/24", 443), EgressPeer("2001:db8::1/128", 53, "UDP"))
OUTSIDE = make_depot(host="203.0.113.7", in_cluster=False, cidr="203.0.113.7/32", target_port=None)

OBJECTS = {
    "replica": lambda: build_pod(make_request()),
    "run": lambda: build_pod(make_run()),
    "network-policy": lambda: build_network_policy(SKILL, owner=make_owner(), depot=make_depot()),
    "network-policy-egress": lambda: build_network_policy(
        SKILL, owner=make_owner(), depot=OUTSIDE, egress=PEERS
    ),
    "default-deny": lambda: build_default_deny(SKILL.namespace),
    "service-account": lambda: build_service_account(SKILL, owner=make_owner()),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_the_whole_object_is_the_golden_one(name: str) -> None:
    built: dict[str, Any] = OBJECTS[name]()
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("SKILLWARDEN_GOLDEN") == "write":
        path.write_text(yaml.safe_dump(built, sort_keys=False))
    assert built == yaml.safe_load(path.read_text())


@pytest.mark.parametrize("name", OBJECTS)
def test_the_schema_of_kubernetes_accepts_it(name: str) -> None:
    kubernetes_validate.validate(OBJECTS[name](), "1.30", strict=True)


@pytest.mark.parametrize("name", OBJECTS)
def test_building_twice_gives_equal_objects(name: str) -> None:
    assert OBJECTS[name]() == OBJECTS[name]()

"""The seal on a Pod: breaks with every change that somebody who may edit Pods can make."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from skillwarden.services.seal import SEAL, is_sealed, seal

KEY = b"k" * 32
Body = dict[str, Any]


def make_sealed() -> Body:
    body: Body = {
        "metadata": {
            "name": "demo-0",
            "namespace": "team",
            "labels": {
                "skillwarden.io/skill": "demo",
                "app.kubernetes.io/managed-by": "skillwarden",
                "team": "a",
            },
            "annotations": {"skillwarden.io/lock-digest": "sha256:1", "note": "x"},
            "ownerReferences": [{"kind": "Skill", "name": "demo", "uid": "u-1"}],
        },
        "spec": {
            "activeDeadlineSeconds": 60,
            "initContainers": [{"name": "prepare", "image": "operator@sha256:1"}],
            "containers": [{"name": "skill", "image": "python@sha256:2"}],
        },
    }
    body["metadata"]["annotations"][SEAL] = seal(body, key=KEY)
    return body


CHANGES: dict[str, Callable[[Body], object]] = {
    "the name": lambda b: b["metadata"].update(name="demo-1"),
    "the namespace": lambda b: b["metadata"].update(namespace="other"),
    "a label's value": lambda b: b["metadata"]["labels"].update({"skillwarden.io/skill": "x"}),
    "a label of ours more": lambda b: b["metadata"]["labels"].update({"skillwarden.io/run": "x"}),
    "a label of ours less": lambda b: b["metadata"]["labels"].pop("skillwarden.io/skill"),
    "who manages it": lambda b: b["metadata"]["labels"].pop("app.kubernetes.io/managed-by"),
    "every label": lambda b: b["metadata"].pop("labels"),
    "an annotation": lambda b: b["metadata"]["annotations"].update(
        {"skillwarden.io/lock-digest": "sha256:2"}
    ),
    "an annotation less": lambda b: b["metadata"]["annotations"].pop("skillwarden.io/lock-digest"),
    "the seal": lambda b: b["metadata"]["annotations"].update({SEAL: "0" * 64}),
    "the seal to nonsense": lambda b: b["metadata"]["annotations"].update({SEAL: "\u00e9"}),
    "the seal away": lambda b: b["metadata"]["annotations"].pop(SEAL),
    "the owner": lambda b: b["metadata"].pop("ownerReferences"),
    "the owner's uid": lambda b: b["metadata"]["ownerReferences"][0].update(uid="u-2"),
    "a second owner": lambda b: b["metadata"]["ownerReferences"].append(
        {"kind": "ConfigMap", "name": "mine", "uid": "u-3"}
    ),
    "an image": lambda b: b["spec"]["containers"][0].update(image="miner"),
    "an init container's image": lambda b: b["spec"]["initContainers"][0].update(image="miner"),
    "an ephemeral container": lambda b: b["spec"].update(
        ephemeralContainers=[{"name": "debug", "image": "sh"}]
    ),
    "the deadline": lambda b: b["spec"].update(activeDeadlineSeconds=9000),
}


@pytest.mark.parametrize("sentence", CHANGES)
def test_the_seal_breaks_when_somebody_changes(sentence: str) -> None:
    body = make_sealed()
    assert is_sealed(body, key=KEY)
    CHANGES[sentence](body)
    assert not is_sealed(body, key=KEY)


def test_the_seal_holds_through_what_others_may_add() -> None:
    body = make_sealed()
    body["metadata"]["labels"]["team"] = "b"
    body["metadata"]["annotations"]["sidecar.example.org/status"] = "injected"
    body["metadata"]["uid"] = "assigned"
    body["status"] = {"phase": "Running"}
    assert is_sealed(body, key=KEY)


def test_a_seal_is_worth_nothing_without_the_key() -> None:
    body = make_sealed()
    forged = copy.deepcopy(body)
    forged["metadata"]["annotations"][SEAL] = seal(forged, key=b"guess" * 8)
    assert not is_sealed(forged, key=KEY)
    assert not is_sealed(body, key=b"other" * 8)
    assert not is_sealed({}, key=KEY)

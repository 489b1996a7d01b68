"""Builders and schemas that the tests of the API share."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Body = dict[str, Any]


def make_body(kind: str, spec: Body | None = None, **fields: Any) -> Body:
    """Return a valid object of a kind; ``fields`` replace what stands in its spec."""
    specs: dict[str, Body] = {
        "Skill": {
            "source": {"files": [{"path": "main.py", "content": "print(1)"}]},
            "entrypoint": {"command": ["python", "main.py"]},
        },
        "SkillRun": {"skillRef": {"name": "csv-stats"}},
        "PackagePolicy": {},
        "ClusterPackagePolicy": {},
        "Agent": {"maturity": "Intern"},
        "PackageApproval": {
            "package": {"ecosystem": "PyPI", "name": "six", "version": "1.17.0"},
            "artefacts": [
                {"ecosystem": "PyPI", "name": "six", "version": "1.17.0", "digest": "sha256:" + "a" * 64}
            ],
            "policies": [{"kind": "ClusterPackagePolicy", "name": "baseline"}],
            "minMaturity": "Intern",
        },
    }
    metadata = {"name": "x", "generation": 3, "uid": "u"}
    if kind != "ClusterPackagePolicy":
        metadata["namespace"] = "team"
    return {
        "apiVersion": "skillwarden.io/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": copy.deepcopy({**(specs[kind] if spec is None else spec), **fields}),
    }


@pytest.fixture
def make() -> Callable[..., Body]:
    return make_body


@pytest.fixture(scope="session")
def crds(repo_root: Path) -> dict[str, Body]:
    """The CRDs as the files have them, by kind."""
    bodies = [yaml.safe_load(path.read_text()) for path in sorted((repo_root / "crds").glob("*.yaml"))]
    return {body["spec"]["names"]["kind"]: body for body in bodies}


@pytest.fixture(scope="session")
def schemas(crds: dict[str, Body]) -> dict[str, Body]:
    """The OpenAPI schema of each kind."""
    return {kind: body["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind, body in crds.items()}

"""Our own kinds as kubectl sees them: explained field by field, and at rest once they are applied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apiserver_support import CRDS, Client, Kubectl, until
from real_server import Access

from skillwarden.api.crdgen import crd
from skillwarden.api.v1alpha1.kinds import KINDS, Kind

APPLY = {"client-side": (), "server-side": ("--server-side",)}


@pytest.fixture
async def kinds(api: Client, real: Access | None, kubectl: Kubectl) -> Client:
    """A client of a server that serves our kinds; what is made on a real one goes with the run."""
    for kind in KINDS:
        body = crd(kind)
        path = f"{CRDS}/{body['metadata']['name']}"
        answer = await api.apply(path, body, force=True)
        assert answer.status in {200, 201}, answer.body
        if real is not None and answer.status == 201:
            real.made.append(path)

    async def described() -> bool:
        return all([(await kubectl.run("explain", kind.short)).code == 0 for kind in KINDS])

    await until(described, "the kinds are not described", 30)
    return api


def objects(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object with fields of its own; kubectl's paths do not tell a list from its items."""
    if "properties" in schema:
        yield path, schema
    for name, below in schema.get("properties", {}).items():
        yield from objects(below, f"{path}.{name}")
    if "items" in schema:
        yield from objects(schema["items"], path)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_explain_says_what_each_field_is(kind: Kind, kinds: Client, kubectl: Kubectl) -> None:
    (version,) = crd(kind)["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]
    assert _plain(kind.description) in _plain(await kubectl.ok("explain", kind.short))
    below = [
        *objects(root["properties"]["spec"], f"{kind.short}.spec"),
        *objects(root["properties"]["status"], f"{kind.short}.status"),
    ]
    for path, schema in below:
        said = _plain(await kubectl.ok("explain", path))
        missing = [
            name for name, field in schema["properties"].items() if _plain(field["description"]) not in said
        ]
        assert missing == [], f"kubectl explain {path}"


@pytest.mark.parametrize("mode", APPLY)
async def test_a_diff_after_an_apply_of_all_that_ships_is_empty(
    mode: str, kinds: Client, kubectl: Kubectl, repo_root: Path
) -> None:
    given = ("-f", str(repo_root / "manifests/baseline"), "-f", str(repo_root / "manifests/samples/skills"))
    if (await kubectl.run("get", "cpkgpol", "baseline")).code == 0:
        pytest.skip("this cluster has Skillwarden's baseline, which is not the tests' to change")
    try:
        await _apply_then_diff(kubectl, mode, given)
    finally:
        await kubectl.run("delete", "--ignore-not-found", "--timeout=50s", *given)


async def _apply_then_diff(kubectl: Kubectl, mode: str, given: tuple[str, ...]) -> None:
    applied = await kubectl.ok("apply", *APPLY[mode], *given)
    assert "csv-stats" in applied
    shown = await kubectl.run("diff", *APPLY[mode], *given)
    assert (shown.code, shown.out, shown.err) == (0, "", "")


def _plain(text: str) -> str:
    """Take the line breaks out, as kubectl puts them in."""
    return "".join(text.split())

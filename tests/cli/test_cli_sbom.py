"""``skillwarden sbom``: a document that the strict schema of CycloneDX takes, of what was locked."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cli_support import Desk, Ran, cli, make_policy, make_skill
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from operator_world import make_advisory

from skillwarden.cli.render.sbom import Described, render_sbom
from skillwarden.domain.finding import Finding, FindingKind
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId

TIME = "2026-11-27T08:00:00Z"


def valid(text: str) -> dict[str, Any]:
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert problem is None, str(problem)[:2000]
    return dict(json.loads(text))


def sbom(desk: Desk, *options: object, packages: tuple[str, ...] = ("alpha",)) -> Ran:
    skill = desk.write("skill.yaml", make_skill(packages=packages))
    policy = desk.write("policy.yaml", make_policy())
    hole = make_advisory("gamma", fixed="2.0")
    arguments = [
        "--policy",
        policy,
        "--maturity",
        "Supervised",
        "--advisories",
        desk.osv(hole),
        "--time",
        TIME,
    ]
    return cli("sbom", skill, *arguments, *options)


def properties(item: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in item.get("properties", ())}


def test_a_closure_is_described_by_hash_with_its_graph_and_verdict(desk: Desk) -> None:
    ran = sbom(desk)
    assert ran.code == 0, ran.err
    found = valid(ran.out)
    components = {item["name"]: item for item in found["components"]}
    assert sorted(components) == ["alpha", "beta", "gamma"]
    gamma = components["gamma"]
    wheel = desk.index.files["gamma-1.0-py3-none-any.whl"]
    assert gamma["purl"] == gamma["bom-ref"] == "pkg:pypi/gamma@1.0"
    assert gamma["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel).hexdigest()}]
    assert properties(components["alpha"])["skillwarden:declared"] == "true"
    assert "skillwarden:declared" not in properties(gamma)
    graph = {item["ref"]: item.get("dependsOn", []) for item in found["dependencies"]}
    assert graph == {
        "skill": ["pkg:pypi/alpha@1.0"],
        "pkg:pypi/alpha@1.0": ["pkg:pypi/beta@1.0"],
        "pkg:pypi/beta@1.0": ["pkg:pypi/gamma@1.0"],
        "pkg:pypi/gamma@1.0": [],
    }
    root = found["metadata"]["component"]
    assert (root["group"], root["name"]) == ("team", "demo")
    said = properties(root)
    assert (said["skillwarden:verdict"], said["skillwarden:maturity"]) == ("Denied", "Supervised")
    assert "gamma" in said["skillwarden:ground"]
    [hole] = found["vulnerabilities"]
    assert (hole["id"], hole["affects"][0]["ref"]) == ("PYSEC-2026-1", "pkg:pypi/gamma@1.0")
    assert hole["ratings"] == [{"severity": "critical"}]
    assert "2.0" in hole["recommendation"]


def test_the_same_skill_at_the_same_time_is_the_same_document(desk: Desk) -> None:
    assert sbom(desk).out == sbom(desk).out


def test_a_skill_without_packages_has_a_document_too(desk: Desk) -> None:
    found = valid(sbom(desk, packages=()).out)
    assert found["dependencies"] == [{"ref": "skill"}]
    assert properties(found["metadata"]["component"])["skillwarden:verdict"] == "Allowed"


@pytest.mark.parametrize(
    ("packages", "words"),
    [(("git+https://example.invalid/x",), "InvalidPackage"), (("nothing-there",), "Unresolvable")],
)
def test_what_has_no_closure_is_said_and_nothing_is_printed(
    packages: tuple[str, ...], words: str, desk: Desk
) -> None:
    ran = sbom(desk, packages=packages)
    assert (ran.code, ran.out) == (1, "")
    assert words in ran.said


def test_npm_packages_have_scopes_licences_and_what_is_bundled_has_no_hash() -> None:
    outer, inner = (
        PackageId(Ecosystem.NPM, "@scope/outer", "1.0.0"),
        PackageId(Ecosystem.NPM, "inner", "2.0.0"),
    )
    file = Artefact(filename="outer-1.0.0.tgz", digest="sha512:" + "ab" * 64)
    lock = Lock(
        platform=Platform(node="24"),
        packages=(
            LockedPackage(id=outer, artefact=file, direct=True, locations=("node_modules/@scope/outer",)),
            LockedPackage(id=inner, artefact=file, parents=(outer,), bundled=True),
        ),
    )
    findings = (
        Finding(kind=FindingKind.LICENCE, package=outer, id="MIT OR Apache-2.0"),
        Finding(kind=FindingKind.LICENCE, package=inner, id="NOASSERTION"),
        Finding(kind=FindingKind.INSTALL_SCRIPT, package=outer, id="postinstall"),
    )
    at = datetime(2026, 11, 27, tzinfo=UTC)
    found = valid(render_sbom(Described(name="demo"), lock, findings, at=at))
    components = {item["name"]: item for item in found["components"]}
    one, other = components["outer"], components["inner"]
    assert (one["group"], one["purl"]) == ("@scope", "pkg:npm/%40scope/outer@1.0.0")
    assert one["hashes"] == [{"alg": "SHA-512", "content": "ab" * 64}]
    assert one["licenses"][0]["expression"] == "MIT OR Apache-2.0"
    assert properties(one)["skillwarden:finding"] == "installScript postinstall"
    assert not {"hashes", "licenses"} & other.keys()
    refs = {item["ref"] for item in found["dependencies"]}
    assert refs == {"skill", *(item["bom-ref"] for item in found["components"])}


def test_wrong_use_is_refused(desk: Desk) -> None:
    assert sbom(desk, "--time", "yesterday").code == 64
    ran = cli("sbom", "skill/demo", "--maturity", "Intern")
    assert ran.code == 64
    assert "is no file" in ran.said

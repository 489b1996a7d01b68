"""From manifests to the values that the rest of the code judges by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from skillwarden.api.v1alpha1 import parse
from skillwarden.domain import policy as policies
from skillwarden.domain import skill as skills
from skillwarden.domain.content import content_digest
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.finding import Severity
from skillwarden.domain.package import Ecosystem, PackageId

Make = Callable[..., dict[str, Any]]


def test_the_smallest_skill_has_every_default(make: Make) -> None:
    assert parse("Skill", make("Skill")).to_domain() == skills.SkillSpec(
        source=skills.InlineSource((skills.SourceFile("main.py", b"print(1)"),)),
        command=("python", "main.py"),
    )


def test_defaults_of_the_models_are_those_of_the_schema(
    make: Make, schemas: dict[str, dict[str, Any]]
) -> None:
    """The operator reads an object that the API server defaulted, the CLI one that nobody did."""

    def fill(value: Any, schema: dict[str, Any]) -> Any:
        if not isinstance(value, dict):
            return value
        filled = dict(value)
        for name, below in schema.get("properties", {}).items():
            if name not in filled and "default" in below:
                filled[name] = below["default"]
            if name in filled:
                filled[name] = fill(filled[name], below)
        return filled

    for kind in ("Skill", "SkillRun"):
        body = make(kind)
        defaulted = {**body, "spec": fill(body["spec"], schemas[kind]["properties"]["spec"])}
        assert parse(kind, defaulted).to_domain() == parse(kind, body).to_domain()
    body = make("ClusterPackagePolicy", rules=[
        {"name": "r", "match": {"ecosystem": "PyPI", "names": ["a"]}, "action": "Deny"}
    ])  # fmt: skip
    schema = schemas["ClusterPackagePolicy"]["properties"]["spec"]
    filled = parse("ClusterPackagePolicy", {**body, "spec": fill(body["spec"], schema)})
    assert filled.spec == parse("ClusterPackagePolicy", body).spec


def test_a_whole_skill(make: Make) -> None:
    body = make(
        "Skill",
        description="d",
        agentRef={"name": "data-analyst"},
        mode="Service",
        runtime={"language": "Python", "version": "3.12"},
        packages={"python": ["pandas>=2.2,<3", "numpy"]},
        sandbox={
            "replicas": 3,
            "suspend": True,
            "env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],
            "resources": {"cpu": 2, "memory": "1Gi", "ephemeralStorage": "500M"},
            "timeoutSeconds": 7,
            "runtimeClassName": "gvisor",
            "network": {"egress": [{"cidr": "2001:DB8::/64", "port": 53, "protocol": "UDP"}]},
        },
    )
    assert parse("Skill", body).to_domain() == skills.SkillSpec(
        source=skills.InlineSource((skills.SourceFile("main.py", b"print(1)"),)),
        command=("python", "main.py"),
        description="d",
        agent="data-analyst",
        mode=skills.Mode.SERVICE,
        version="3.12",
        python_requirements=("pandas>=2.2,<3", "numpy"),
        sandbox=skills.Sandbox(
            replicas=3,
            suspend=True,
            env=(("B", "2"), ("A", "1")),
            resources=policies.Resources(cpu=2000, memory=2**30, ephemeral_storage=500_000_000),
            timeout_seconds=7,
            runtime_class_name="gvisor",
            egress=(skills.EgressPeer("2001:db8::/64", 53, "UDP"),),
        ),
    )


def test_a_node_skill_with_packages_of_both_ecosystems(make: Make) -> None:
    body = make(
        "Skill",
        runtime={"language": "Node", "version": "24"},
        packages={"python": ["numpy"], "node": {"manager": "pnpm", "dependencies": ["lodash@^4.17.21"]}},
    )
    spec = parse("Skill", body).to_domain()
    assert (spec.language, spec.version) == (skills.Language.NODE, "24")
    assert spec.python_requirements == ("numpy",)
    assert spec.node_requirements == ("lodash@^4.17.21",)
    assert spec.node_manager is skills.NodeManager.PNPM


def test_rules_and_bans_of_npm_take_scopes_and_npm_ranges(make: Make) -> None:
    match = {"ecosystem": "npm", "names": ["@acme/*", "JSONStream"], "versions": "^1.2.0  || 3.x"}
    bans = [{"ecosystem": "npm", "names": ["event-stream"], "versions": "3.3.6"}]
    body = make("PackagePolicy", rules=[{"name": "r", "match": match, "action": "Allow"}], bans=bans)
    policy = parse("PackagePolicy", body).to_domain()
    assert policy.rules[0].ecosystem is Ecosystem.NPM
    assert policy.rules[0].names == ("@acme/*", "JSONStream")
    assert policy.rules[0].versions == "^1.2.0 || 3.x"
    assert (policy.bans[0].names, policy.bans[0].versions) == (("event-stream",), "3.3.6")


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ("latest", "is not a range of npm"),
        (">=1,<2", "is not a range of npm"),
        (">2 <1", "no version can be"),
    ],
)
def test_a_range_of_npm_that_protects_nobody_is_refused(make: Make, versions: str, said: str) -> None:
    bans = [{"ecosystem": "npm", "names": ["a"], "versions": versions}]
    with pytest.raises(InvalidInputError, match=said):
        parse("PackagePolicy", make("PackagePolicy", bans=bans)).to_domain()


def test_a_scope_on_pypi_is_refused(make: Make) -> None:
    bans = [{"ecosystem": "PyPI", "names": ["@acme/core"]}]
    with pytest.raises(InvalidInputError, match="no name of a package on PyPI"):
        parse("PackagePolicy", make("PackagePolicy", bans=bans)).to_domain()


def test_the_order_of_files_and_their_encoding_change_no_digest(make: Make) -> None:
    def digest(*files: dict[str, str]) -> str:
        source = parse("Skill", make("Skill", source={"files": list(files)})).to_domain().source
        assert isinstance(source, skills.InlineSource)
        return content_digest(source.files)

    a, b = {"path": "a.py", "content": "ä"}, {"path": "b.py", "content": ""}
    assert digest(a, b) == digest(b, {"path": "a.py", "contentBase64": "w6Q="})


@pytest.mark.parametrize("text", ["a", "w6Q", "====", "=w6Q"])
def test_bad_base64_names_the_file(make: Make, text: str) -> None:
    body = make("Skill", source={"files": [{"path": "logo.png", "contentBase64": text}]})
    with pytest.raises(InvalidInputError, match=r"contentBase64"):
        parse("Skill", body).to_domain()


def test_a_config_map_is_known_by_name_and_digest(make: Make) -> None:
    body = make("Skill", source={"configMapRef": {"name": "src", "sha256": "0" * 64}})
    assert parse("Skill", body).to_domain().source == skills.ConfigMapSource("src", "0" * 64)


@pytest.mark.parametrize(
    "cidr", ["192.0.2.1/24", "300.0.0.0/8", "192.0.2.0/33", "::/129", "1.2.3/8", "2001::1/64"]
)
def test_what_is_no_network_is_refused_by_name(make: Make, cidr: str) -> None:
    body = make("Skill", sandbox={"network": {"egress": [{"cidr": cidr, "port": 1}]}})
    with pytest.raises(InvalidInputError, match=f"cidr '{cidr}' is not an IP network"):
        parse("Skill", body).to_domain()


def test_a_run(make: Make) -> None:
    body = make("SkillRun", agentRef={"name": "a"}, input="{}", timeoutSeconds=9, ttlSecondsAfterFinished=0)
    assert parse("SkillRun", body).to_domain() == skills.SkillRunSpec("csv-stats", "a", "{}", 9, 0)


def test_an_agent(make: Make) -> None:
    assert parse("Agent", make("Agent", maturity="Supervised")).to_domain() is policies.Maturity.SUPERVISED


def test_the_smallest_policy_has_the_domains_defaults(make: Make) -> None:
    policy = parse("ClusterPackagePolicy", make("ClusterPackagePolicy")).to_domain()
    plain = policies.Policy(policies.PolicyRef("x"), generation=3)
    assert {name: getattr(policy, name) for name in vars(plain)} == vars(plain)


def test_a_whole_policy(make: Make) -> None:
    body = make(
        "PackagePolicy",
        enforcement="Audit",
        bans=[{"ecosystem": "PyPI", "names": ["Foo_Bar", "foo-bar"], "versions": "<2,>=1", "message": "m"}],
        unlisted="Deny",
        maturity={"Student": "Deny", "Intern": "RequireApproval"},
        rules=[
            {
                "name": "n",
                "match": {"ecosystem": "PyPI", "names": ["Num*"], "versions": "*", "scope": "Direct"},
                "action": "Allow",
                "minMaturity": "Supervised",
                "includeDependencies": True,
            }
        ],
        findings={
            "vulnerability": {"Low": "Deny"},
            "typosquat": "Deny",
            "minReleaseAge": {"duration": "1h30m", "action": "Deny"},
            "minPackageAge": {"duration": "720h"},
        },
        scanning={"onError": "Hold", "maxAdvisoryAge": "48h"},
        sandbox={
            "requireRuntimeClass": {"Autonomous": "gvisor"},
            "requireIsolation": True,
            "maxResources": {"cpu": "1500m"},
            "egress": "Allow",
        },
    )
    policy = parse("PackagePolicy", body).to_domain()
    assert policy.ref == policies.PolicyRef("x", "team")
    assert policy.generation == 3
    assert policy.enforcement is policies.Enforcement.AUDIT
    assert policy.bans == (policies.Ban(Ecosystem.PYPI, ("foo-bar",), "<2,>=1", "m"),)
    assert policy.rules == (
        policies.Rule(
            "n",
            Ecosystem.PYPI,
            ("num*",),
            policies.Action.ALLOW,
            scope=policies.Scope.DIRECT,
            min_maturity=policies.Maturity.SUPERVISED,
            include_dependencies=True,
        ),
    )
    assert policy.unlisted is policies.Action.DENY
    assert policy.maturity == {
        policies.Maturity.STUDENT: policies.Action.DENY,
        policies.Maturity.INTERN: policies.Action.REQUIRE_APPROVAL,
    }
    assert policy.findings.vulnerability == {
        Severity.CRITICAL: policies.Action.DENY,
        Severity.HIGH: policies.Action.REQUIRE_APPROVAL,
        Severity.MEDIUM: policies.Action.ALLOW,
        Severity.LOW: policies.Action.DENY,
        Severity.UNKNOWN: policies.Action.REQUIRE_APPROVAL,
    }
    assert policy.findings.typosquat is policies.Action.DENY
    assert policy.findings.min_release_age == timedelta(minutes=90)
    assert policy.findings.release_age_action is policies.Action.DENY
    assert policy.findings.min_package_age == timedelta(days=30)
    assert policy.findings.package_age_action is policies.Action.REQUIRE_APPROVAL
    assert policy.on_error is policies.OnError.HOLD
    assert policy.max_advisory_age == timedelta(hours=48)
    assert policy.sandbox == policies.SandboxRules(
        require_runtime_class={policies.Maturity.AUTONOMOUS: "gvisor"},
        require_isolation=True,
        max_resources=policies.Resources(cpu=1500),
        egress=policies.EgressRule.ALLOW,
    )


def test_a_request_accepts_each_finding_of_its_own_package(make: Make) -> None:
    pillow = {"ecosystem": "PyPI", "name": "Pillow", "version": "v9.5.0"}
    hole = {"kind": "vulnerability", "id": "GHSA-1", "aliases": ["CVE-1"], "severity": "High"}
    script = {"kind": "installScript", "id": "postinstall", "severity": "Unknown"}
    esbuild = {"ecosystem": "npm", "name": "esbuild", "version": "0.21.0"}
    body = make("PackageApproval", findings=[{**pillow, **hole}, {**esbuild, **script}])
    request = parse("PackageApproval", body).to_domain()
    of_pillow = PackageId(Ecosystem.PYPI, "pillow", "9.5.0")
    assert request.findings == {
        (of_pillow, "vulnerability", "GHSA-1"),
        (PackageId(Ecosystem.NPM, "esbuild", "0.21.0"), "installScript", "postinstall"),
    }
    assert request.aliases == {(of_pillow, "vulnerability", "CVE-1")}


def test_a_request_about_files_accepts_their_findings_of_no_package(make: Make) -> None:
    finding = {"rule": "encoded-code", "severity": "High", "path": "main.py", "line": 1}
    spec = {
        "source": {"digest": "sha256:" + "a" * 64, "findings": [finding]},
        "policies": [{"kind": "PackagePolicy", "name": "rules"}],
        "minMaturity": "Intern",
    }
    request = parse("PackageApproval", make("PackageApproval", spec)).to_domain()
    assert request.findings == {(None, "source", "encoded-code")}


BAD_RANGES = {
    ">=2,<1": "no version can be in the range",
    "==1.0,==2.0": "no version can be in the range",
    ",": "no version can be in the range",
    "latest": "is not a version range",
    "1.0": "is not a version range",
    "^1.2": "is not a version range",
    ">=1.0; rm": "does not match",
}


@pytest.mark.parametrize(("versions", "said"), BAD_RANGES.items())
def test_a_range_that_protects_nobody_names_policy_and_place(make: Make, versions: str, said: str) -> None:
    match = {"ecosystem": "PyPI", "names": ["a"], "versions": versions}
    rule = make("PackagePolicy", rules=[{"name": "numeric", "match": match, "action": "Deny"}])
    with pytest.raises(InvalidInputError) as caught:
        parse("PackagePolicy", rule).to_domain()
    assert said in str(caught.value)
    assert "PackagePolicy team/x" in str(caught.value)
    assert versions in str(caught.value)
    assert "rule 'numeric'" in str(caught.value) or "spec.rules[0]" in str(caught.value)
    with pytest.raises(InvalidInputError, match=r"bans\[0\]\.versions"):
        parse("ClusterPackagePolicy", make("ClusterPackagePolicy", bans=[match])).to_domain()

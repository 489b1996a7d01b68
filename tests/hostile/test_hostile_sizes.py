"""The largest closures that there can be: judged, and told within what a cluster stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from make_domain import (
    NOW,
    PLATFORM,
    make_finding,
    make_finding_rules,
    make_policy,
    make_rule,
    make_scan,
    sha_of,
)

from skillwarden.domain.assess import AgentView, Assessment, Evidence, assess
from skillwarden.domain.conditions import ConditionDraft, ConditionType, Status
from skillwarden.domain.decide import decide
from skillwarden.domain.finding import Severity
from skillwarden.domain.lock import Artefact, Lock, LockedPackage
from skillwarden.domain.package import DeclaredPackage, Ecosystem, PackageId
from skillwarden.domain.policy import Action, Maturity, Policy
from skillwarden.domain.skill import Sandbox
from skillwarden.domain.world import SkillWorld
from skillwarden.services.status import skill_status

#: What etcd takes as one object by default; the rest of the object needs room, too.
STORED_BYTES = 1536 * 1024
SPEC_BYTES = 512 * 1024
MESSAGE_CHARACTERS = 1024
CLOSURE = 5000


def make_wide_lock(*, declared: int, size: int = CLOSURE, name_length: int = 20) -> Lock:
    """Some declared packages that all pull in all the others."""
    names = [f"{'n' * (name_length - 5)}{number:05}" for number in range(size)]
    roots = tuple(PackageId.of(Ecosystem.PYPI, name, "1.0") for name in names[:declared])
    return Lock(
        PLATFORM,
        tuple(
            LockedPackage(
                id=PackageId.of(Ecosystem.PYPI, name, "1.0"),
                artefact=Artefact(f"{name}-1.0-py3-none-any.whl", sha_of(f"{name} 1.0")),
                parents=() if number < declared else roots,
                direct=number < declared,
            )
            for number, name in enumerate(names)
        ),
    )


def make_deep_lock(*, size: int = CLOSURE, name_length: int = 20) -> Lock:
    """One declared package, and each pulls in the next."""
    names = [f"{'n' * (name_length - 5)}{number:05}" for number in range(size)]
    return Lock(
        PLATFORM,
        tuple(
            LockedPackage(
                id=PackageId.of(Ecosystem.PYPI, name, "1.0"),
                artefact=Artefact(f"{name}-1.0-py3-none-any.whl", sha_of(f"{name} 1.0")),
                parents=() if number == 0 else (PackageId.of(Ecosystem.PYPI, names[number - 1], "1.0"),),
                direct=number == 0,
            )
            for number, name in enumerate(names)
        ),
    )


def judged(lock: Lock, *policies: Policy, every: bool) -> Assessment:
    """Judge a lock; ``every`` of its packages has a critical finding, or the last has."""
    packages = lock.packages if every else lock.packages[-1:]
    findings = [make_finding(f"{item.id.name} {item.id.version}", "GHSA-1") for item in packages]
    return assess(
        Evidence(
            declared=tuple(
                DeclaredPackage(Ecosystem.PYPI, item.id.name) for item in lock.packages if item.direct
            ),
            content_digest="sha256:" + "a" * 64,
            source_findings=(),
            platform=PLATFORM,
            agent=AgentView("analyst", Maturity.SUPERVISED),
            policies=policies,
            resolution=lock,
            scan=make_scan(lock, *findings),
            advisories_synced_at=NOW,
            network_isolated=True,
            sandbox=Sandbox(),
            now=NOW,
        )
    )


def status_of(assessment: Assessment) -> dict[str, Any]:
    network = ConditionDraft(ConditionType.NETWORK_ISOLATED, Status.TRUE, "Enforced", "")
    plan = decide(SkillWorld(assessment=assessment, network=network))
    return skill_status(
        plan=plan, assessment=assessment, observed={}, generation=1, sandbox={"ready": 0}, now=NOW
    )


@pytest.fixture(scope="module")
def status_schema(repo_root: Path) -> dict[str, Any]:
    for path in sorted((repo_root / "crds").glob("*.yaml")):
        body = yaml.safe_load(path.read_text())
        if body["spec"]["names"]["kind"] == "Skill":
            schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            return dict(schema["properties"]["status"])
    raise AssertionError("there is no CRD of Skill")


DENY = make_policy(findings=make_finding_rules(vulnerability=dict.fromkeys(Severity, Action.DENY)))
ASK = make_policy("ask", unlisted=Action.REQUIRE_APPROVAL)
ALLOW = make_policy("allow")
LOCKS = {
    "500 declared that each pull in all the others": make_wide_lock(declared=500),
    "1 declared with 5,000 below one another": make_deep_lock(),
    "names as long as intake takes them": make_wide_lock(declared=3, name_length=250),
    "more packages than a status lists": make_wide_lock(declared=3, size=CLOSURE + 500),
}


@pytest.mark.parametrize("sentence", LOCKS)
@pytest.mark.parametrize("policy", [DENY, ASK, ALLOW], ids=lambda policy: policy.ref.name)
def test_a_status_fits_its_schema_and_the_store_for_a_closure_of(
    sentence: str, policy: Policy, status_schema: dict[str, Any]
) -> None:
    assessment = judged(LOCKS[sentence], policy, every=True)
    assert assessment.verdict is not None
    status = status_of(assessment)
    jsonschema.validate(status, status_schema)
    assert len(json.dumps(status)) + SPEC_BYTES < STORED_BYTES
    for item in status["conditions"]:
        assert len(item["message"]) <= MESSAGE_CHARACTERS
    assert status["packages"] == len(LOCKS[sentence].packages)


def test_the_last_of_5000_packages_decides_and_its_path_is_told(status_schema: dict[str, Any]) -> None:
    assessment = judged(make_deep_lock(), DENY, every=False)
    assert assessment.verdict is not None
    assert not assessment.verdict.allowed
    [reason] = assessment.verdict.reasons
    assert reason.package is not None
    assert reason.package.name.endswith("04999")
    status = status_of(assessment)
    jsonschema.validate(status, status_schema)
    [top] = status["topFindings"]
    assert top["path"].startswith("nnnnnnnnnnnnnnn00000 > ")
    assert reason.package.name in top["package"]


def test_many_policies_that_decide_are_told_as_far_as_a_status_goes(status_schema: dict[str, Any]) -> None:
    rules = tuple(make_rule("n*", Action.DENY, name=f"r{number:03}-{'x' * 50}") for number in range(100))
    policies = [make_policy(f"p{number:03}-{'y' * 200}", rules=rules[number:]) for number in range(100)]
    status = status_of(judged(make_wide_lock(declared=50, size=200), *policies, every=False))
    jsonschema.validate(status, status_schema)
    assert status["verdict"] == "Denied"
    assert status["decidedBy"]

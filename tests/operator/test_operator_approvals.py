"""Approvals: asked for once, decided by a person, and void where the world is another than was approved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from operator_world import (
    Client,
    World,
    condition,
    make_advisory,
    make_policy,
    make_run,
    make_skill,
    settled,
)

from skillwarden.cli.approvals import write_decision
from skillwarden.domain.content import digest_of, pack
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.skill import SourceFile
from skillwarden.kube.errors import Invalid
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind

ASKING = {"rules": [], "unlisted": "RequireApproval"}


@pytest.fixture
def clean(world: World) -> Iterator[World]:
    world.index.wheel("greeter")
    world.index.wheel("greeter-helper")
    yield world
    world.advisories()


async def asked(
    user: Client, *, name: str = "demo", maturity: str = "autonomous", **fields: Any
) -> dict[str, Any]:
    """Apply a skill that needs approval; return the one request that it makes."""
    await user.apply(make_skill(name, packages=["greeter"], agent=maturity, **fields))
    status = await user.until_skill(name, Compliant="ApprovalRequired")
    [pending] = status["pendingApprovals"]
    assert status["phase"] == "AwaitingApproval"
    return await user.get(Kind.PACKAGE_APPROVAL, pending["name"])


async def decide(user: Client, request: dict[str, Any], verdict: str = "Approved", **fields: Any) -> None:
    decision = {"verdict": verdict, "approver": "reviewer", "reason": "looked at it", **fields}
    await user.patch(
        Kind.PACKAGE_APPROVAL,
        request["metadata"]["name"],
        {"status": {"decision": decision}},
        subresource="status",
    )


async def until_effect(user: Client, name: str, reason: str) -> dict[str, Any]:
    def has(body: dict[str, Any]) -> bool:
        conditions = (body.get("status") or {}).get("conditions") or []
        return any(item["reason"] == reason for item in conditions)

    return dict(await user.until(lambda: user.get(Kind.PACKAGE_APPROVAL, name), has, f"{name} {reason}"))


async def test_a_package_that_needs_approval_runs_once_a_person_approved_it(
    clean: World, user: Client
) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    spec = request["spec"]
    assert spec["package"] == {"ecosystem": "PyPI", "name": "greeter", "version": "1.0"}
    assert [item["name"] for item in spec["artefacts"]] == ["greeter"]
    assert spec["policies"] == [{"kind": "PackagePolicy", "name": "rules"}]
    assert spec["minMaturity"] == "Autonomous"
    assert "ownerReferences" not in request["metadata"]
    await until_effect(user, request["metadata"]["name"], "Pending")
    await decide(user, request)
    status = await user.until_skill("demo", Ready="Ready")
    # An apply that empties a list may drop its key, as on a real API server.
    assert not status.get("pendingApprovals")
    await user.apply(make_run())
    await user.until_run("demo-1", "Succeeded")
    body = await until_effect(user, request["metadata"]["name"], "Approved")
    assert body["status"]["decision"]["approver"] == "reviewer", "our own writes left the decision alone"


async def test_an_unlisted_package_is_asked_of_every_policy_that_abstains(clean: World, user: Client) -> None:
    await user.apply(make_policy(rules=[]))
    request = await asked(user)
    assert request["spec"]["policies"] == [{"kind": "PackagePolicy", "name": "rules"}]


async def test_a_denial_denies_and_outlives_the_skill(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    await decide(user, request, "Denied")
    status = await user.until_skill("demo", Compliant="Denied")
    assert request["metadata"]["name"] in condition(status, "Compliant")["message"]
    await user.delete(Kind.SKILL, "demo")
    await user.until_gone(Kind.SKILL, "demo")
    await user.apply(make_skill(packages=["greeter"]))
    await user.until_skill("demo", Compliant="Denied")


async def test_a_request_that_somebody_deleted_undecided_is_back_by_itself(
    clean: World, user: Client
) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    name, uid = request["metadata"]["name"], request["metadata"]["uid"]
    await until_effect(user, name, "Pending")
    await settled(clean)
    assert clean.core is not None
    # What is left of timers, such as one that would have shown progress, is not what brings it back.
    clean._loop.call_soon_threadsafe(clean.core.queue.close)
    await user.delete(Kind.PACKAGE_APPROVAL, name)

    def another(body: dict[str, Any]) -> bool:
        return body != {} and body["metadata"]["uid"] != uid

    await user.until(lambda: user.get(Kind.PACKAGE_APPROVAL, name), another, "it is asked for anew")
    await decide(user, await until_effect(user, name, "Pending"))
    await user.until_skill("demo", Compliant="Allowed")


async def test_two_skills_ask_for_one_thing_once(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING))
    first = await asked(user)
    second = await asked(user, name="other", code="print('other')")
    assert first["metadata"]["uid"] == second["metadata"]["uid"]

    def both(body: dict[str, Any]) -> bool:
        return ((body.get("status") or {}).get("requestedBy") or {}).get("skills") == ["demo", "other"]

    name = first["metadata"]["name"]
    await user.until(lambda: user.get(Kind.PACKAGE_APPROVAL, name), both, "both ask")


async def test_agents_of_a_lower_maturity_ask_for_themselves(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING))
    await decide(user, await asked(user))
    await user.until_skill("demo", Compliant="Allowed")
    await user.apply(make_skill("lower", packages=["greeter"], agent="intern"))
    status = await user.until_skill("lower", Compliant="ApprovalRequired")
    assert status["pendingApprovals"][0]["minMaturity"] == "Intern"


async def test_a_ban_beats_an_approval(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING))
    await decide(user, await asked(user))
    await user.until_skill("demo", Compliant="Allowed")
    bans = [{"ecosystem": "PyPI", "names": ["greeter"], "message": "no"}]
    await user.apply(make_policy(**ASKING, bans=bans))
    status = await user.until_skill("demo", Compliant="Banned")
    # An apply that empties a list may drop its key, as on a real API server.
    assert not status.get("pendingApprovals")


async def test_a_new_advisory_voids_an_approval_and_says_so(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING, findings={"vulnerability": {"High": "RequireApproval"}}))
    request = await asked(user)
    await decide(user, request)
    await user.until_skill("demo", Compliant="Allowed")
    clean.advisories(make_advisory("greeter", severity="HIGH"))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    [pending] = status["pendingApprovals"]
    assert pending["name"] != request["metadata"]["name"]
    body = await until_effect(user, request["metadata"]["name"], "NewFinding")
    assert "PYSEC-2026-1" in condition(body["status"], "Effective")["message"]
    await user.until(
        lambda: user.events(request["metadata"]["name"]),
        lambda events: "ApprovalVoided" in [item["reason"] for item in events],
        "an Event says that it is void",
    )
    newer = await user.get(Kind.PACKAGE_APPROVAL, pending["name"])
    assert [item["id"] for item in newer["spec"]["findings"]] == ["PYSEC-2026-1"]
    await decide(user, newer)
    await user.until_skill("demo", Compliant="Allowed")


async def test_a_new_artefact_is_not_covered(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    await decide(user, request)
    await user.until_skill("demo", Compliant="Allowed")
    clean.index.wheel("greeter", "2.0")
    await user.apply(make_skill(packages=["greeter>=2"]))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    assert status["pendingApprovals"][0]["name"] != request["metadata"]["name"]
    await until_effect(user, request["metadata"]["name"], "NewArtefact")
    del clean.index.files["greeter-2.0-py3-none-any.whl"]


async def test_an_approval_ends_when_it_says_and_is_asked_for_anew(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    end = datetime.now(UTC) + timedelta(seconds=4)
    await decide(user, request, expiresAt=end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    await user.until_skill("demo", Compliant="Allowed")
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    again = status["pendingApprovals"][0]["name"]
    assert again == f"{request['metadata']['name']}-1"
    await until_effect(user, request["metadata"]["name"], "Expired")
    await decide(user, await user.get(Kind.PACKAGE_APPROVAL, again))
    await user.until_skill("demo", Compliant="Allowed")


async def test_an_approval_that_was_over_in_the_same_second_counts_for_nothing(
    clean: World, user: Client
) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    await decide(user, request, expiresAt=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    await until_effect(user, request["metadata"]["name"], "Expired")
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    assert status["verdict"] == "ApprovalRequired"


@pytest.mark.parametrize(
    "fields",
    [{"expiresAt": "when pigs fly"}, {"verdict": "Perhaps"}, {"reason": ""}, {"minMaturity": "God"}],
)
async def test_a_decision_that_makes_no_sense_is_refused(
    fields: dict[str, str], clean: World, user: Client
) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    with pytest.raises(Invalid):
        await decide(user, request, **{"verdict": "Approved", **fields})
    assert (await user.get(Kind.SKILL, "demo"))["status"]["verdict"] == "ApprovalRequired"


async def test_of_two_approvers_at_once_the_second_hears_of_the_first(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING))
    name = (await asked(user))["metadata"]["name"]
    read = await until_effect(user, name, "Pending")
    first = {"verdict": "Approved", "approver": "rita", "reason": "fine"}
    await write_decision(user.gateway, read, first)
    with pytest.raises(InvalidInputError, match="nothing was decided"):
        await write_decision(user.gateway, read, {"verdict": "Denied", "approver": "otto", "reason": "no"})
    assert (await user.get(Kind.PACKAGE_APPROVAL, name))["status"]["decision"] == first


@pytest.mark.embedded_only("its log of requests")
async def test_asking_again_writes_nothing(clean: World, user: Client) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    await until_effect(user, request["metadata"]["name"], "Pending")
    await settled(clean)
    assert clean.core is not None
    mark = clean.mark
    clean.core.queue.add(("Skill", user.namespace, "demo"))
    clean.core.queue.add(("PackageApproval", user.namespace, request["metadata"]["name"]))
    await settled(clean)
    assert [str(item) for item in clean.writes(mark)] == []


@pytest.mark.embedded_only("another operator beside the world's")
async def test_without_proof_of_who_approved_no_approval_counts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    world = World(tmp_path_factory.mktemp("unguarded"))
    world.trust_approvals = False
    world.start()
    try:
        world.index.wheel("greeter")
        world.advisories()
        world.run(world.start_operator())
        gateway = await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="user")
        await gateway.create(
            Kind.NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}}
        )
        user = Client(gateway, "team")
        await user.apply(
            {
                "apiVersion": "skillwarden.io/v1alpha1",
                "kind": "Agent",
                "metadata": {"name": "autonomous"},
                "spec": {"maturity": "Autonomous"},
            },
            make_policy(**ASKING),
        )
        request = await asked(user)
        await decide(user, request)
        body = await until_effect(user, request["metadata"]["name"], "Unguarded")
        assert "manifests/admission" in condition(body["status"], "Effective")["message"]
        status = await user.until(
            lambda: user.get(Kind.SKILL, "demo"),
            lambda body: "do not count" in condition(body["status"], "Compliant")["message"],
            "the condition says why",
        )
        assert status["status"]["verdict"] == "ApprovalRequired"
        await gateway.close()
    finally:
        world.stop()


DECODES_AND_RUNS = "import base64\nexec(base64.b64decode(input()))\n"


async def test_files_that_look_bad_run_once_a_person_approved_them(clean: World, user: Client) -> None:
    await user.apply(make_policy(findings={"source": {"Critical": "RequireApproval"}}))
    await user.apply(make_skill(code=DECODES_AND_RUNS))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    [pending] = status["pendingApprovals"]
    assert pending["declared"] == "the skill's own files"
    request = await user.get(Kind.PACKAGE_APPROVAL, pending["name"])
    assert request["spec"]["source"]["digest"] == status["contentDigest"]
    assert "main.py" in {item["path"] for item in request["spec"]["source"]["findings"]}
    await decide(user, request)
    await user.until_skill("demo", Ready="Ready")
    await user.apply(make_skill(code=DECODES_AND_RUNS + "# another file is another request\n"))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    assert status["pendingApprovals"][0]["name"] != pending["name"]


async def test_files_of_a_configmap_are_looked_at_too(clean: World, user: Client) -> None:
    packed = pack([SourceFile("main.py", DECODES_AND_RUNS.encode())])
    await user.apply(
        make_policy(),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "demo-src"},
            "data": {"main.py": DECODES_AND_RUNS},
        },
    )
    skill = make_skill()
    skill["spec"]["source"] = {
        "configMapRef": {"name": "demo-src", "sha256": digest_of(packed).removeprefix("sha256:")}
    }
    await user.apply(skill)
    status = await user.until_skill("demo", Compliant="Denied")
    assert "main.py:2" in condition(status, "Compliant")["message"]


async def test_a_name_that_imitates_another_is_looked_up_once_a_person_let_it_be(
    clean: World, user: Client
) -> None:
    """Two questions: whether the index may be asked for the name, and whether what it has may be used."""
    clean.index.wheel("reqeusts")
    await user.apply(make_policy(findings={"typosquat": "RequireApproval"}, **ASKING))
    await user.apply(make_skill(packages=["reqeusts"], agent="autonomous"))
    status = await user.until_skill("demo", Compliant="ApprovalRequired", Resolved="Refused")
    [pending] = status["pendingApprovals"]
    request = await user.get(Kind.PACKAGE_APPROVAL, pending["name"])
    assert request["spec"]["package"] == {"ecosystem": "PyPI", "name": "reqeusts", "version": ""}
    assert not request["spec"].get("artefacts")
    assert not [path for path in clean.index.asked if "reqeusts" in path]

    await decide(user, request)
    status = await user.until_skill("demo", Compliant="ApprovalRequired", Resolved="Locked")
    await until_effect(user, pending["name"], "Approved")
    [asked_next] = status["pendingApprovals"]
    used = await user.get(Kind.PACKAGE_APPROVAL, asked_next["name"])
    assert [item["id"] for item in used["spec"]["findings"]] == ["requests"]
    assert used["spec"]["artefacts"]
    await decide(user, used)
    await user.until_skill("demo", Compliant="Allowed")


async def test_leave_to_look_a_name_up_ends_when_it_says(clean: World, user: Client) -> None:
    clean.index.wheel("reqeusts")
    await user.apply(make_policy(findings={"typosquat": "RequireApproval"}, **ASKING))
    await user.apply(make_skill(packages=["reqeusts"], agent="autonomous"))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    name = status["pendingApprovals"][0]["name"]
    end = datetime.now(UTC) + timedelta(seconds=4)
    request = await user.get(Kind.PACKAGE_APPROVAL, name)
    await decide(user, request, expiresAt=end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    await until_effect(user, f"{name}-1", "Pending")
    await user.until_skill("demo", Compliant="ApprovalRequired", Resolved="Refused")


async def test_a_name_that_a_person_refused_to_have_looked_up_is_denied(clean: World, user: Client) -> None:
    await user.apply(make_policy(findings={"typosquat": "RequireApproval"}, **ASKING))
    await user.apply(make_skill(packages=["reqeusts"], agent="autonomous"))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    request = await user.get(Kind.PACKAGE_APPROVAL, status["pendingApprovals"][0]["name"])
    await decide(user, request, "Denied")
    status = await user.until_skill("demo", Compliant="Denied")
    assert request["metadata"]["name"] in condition(status, "Compliant")["message"]


async def test_an_approval_for_a_policy_does_not_answer_one_that_asks_later(
    clean: World, user: Client
) -> None:
    await user.apply(make_policy(**ASKING))
    request = await asked(user)
    await decide(user, request)
    await user.until_skill("demo", Compliant="Allowed")
    await user.apply(make_policy("stricter", **ASKING))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    another = await user.get(Kind.PACKAGE_APPROVAL, status["pendingApprovals"][0]["name"])
    assert another["spec"]["policies"] == [{"kind": "PackagePolicy", "name": "stricter"}]
    await until_effect(user, request["metadata"]["name"], "Approved")
    await decide(user, another)
    await user.until_skill("demo", Compliant="Allowed")

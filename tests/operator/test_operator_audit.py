"""The audit trail of a real operator: what was decided and done is on record, and nobody has to ask twice."""

from __future__ import annotations

from typing import Any

from operator_world import (
    SERVICE,
    Client,
    World,
    make_advisory,
    make_agent,
    make_policy,
    make_run,
    make_skill,
)

from skillwarden.audit.record import parse
from skillwarden.audit.verify import read, verify
from skillwarden.kube.kinds import Kind

BAN = {"ecosystem": "PyPI", "names": ["audited", "other"], "message": "use another"}
Records = list[dict[str, Any]]


def service(name: str = "demo", **fields: Any) -> dict[str, Any]:
    return make_skill(name, code=SERVICE, mode="Service", packages=["audited"], replicas=1, **fields)


async def until_recorded(world: World, user: Client, event: str, count: int = 1, **fields: Any) -> Records:
    """Wait until so many records of a kind say what they should; return those."""
    path = world.root / "audit.jsonl"

    async def look() -> Records:
        found = (parse(line) for line in path.read_bytes().splitlines())
        return [
            item
            for item in found
            if item and item.get("namespace") == user.namespace and item["event"] == event
        ]

    def matching(records: Records) -> Records:
        return [item for item in records if all(item.get(key) == value for key, value in fields.items())]

    seen = await user.until(look, lambda found: len(matching(found)) >= count, f"{event} {fields}")
    return matching(seen)


async def test_a_decision_and_what_follows_from_it_are_on_record(world: World, user: Client) -> None:
    world.index.wheel("audited")
    await user.apply(service())
    status = await user.until_skill("demo", Ready="Ready")
    uid = (await user.get(Kind.SKILL, "demo"))["metadata"]["uid"]
    [allowed] = await until_recorded(world, user, "Verdict", skill="demo", verdict="Allowed")
    assert allowed["policies"] == [
        {"policy": f"PackagePolicy {user.namespace}/rules", "generation": 1, "rules": ["listed"]}
    ]
    assert (allowed["agent"], allowed["maturity"], allowed["before"]) == (
        "autonomous",
        "Autonomous",
        "Unknown",
    )
    assert (allowed["lock"], allowed["content"]) == (status["lock"]["digest"], status["contentDigest"])
    assert allowed["advisories"] == status["scan"]["advisoryRevision"]
    assert allowed["operator"]
    assert allowed["version"]
    [launch] = await until_recorded(world, user, "Launch", skill="demo")
    [pod] = await user.pods()
    assert (launch["uid"], launch["pod"], launch["podUid"]) == (
        uid,
        pod["metadata"]["name"],
        pod["metadata"]["uid"],
    )
    same = ("agent", "maturity", "verdict", "policies", "lock", "content")
    assert [launch[name] for name in same] == [allowed[name] for name in same]

    await user.apply(make_policy("security", bans=[BAN]))
    await user.until_skill("demo", Compliant="Banned")
    [removal] = await until_recorded(world, user, "Removal", pod=launch["pod"])
    assert (removal["uid"], removal["podUid"], removal["lock"]) == (uid, launch["podUid"], launch["lock"])
    assert "Banned" in removal["why"]
    [denied] = await until_recorded(world, user, "Verdict", skill="demo", verdict="Denied")
    assert any("audited" in reason for reason in denied["reasons"])


async def test_a_decision_about_other_files_is_another_decision(world: World, user: Client) -> None:
    await user.apply(make_skill())
    await user.until_skill("demo", Ready="Ready")
    await user.apply(make_skill(code="print('something else')"))
    one, other = await until_recorded(world, user, "Verdict", count=2, verdict="Allowed")
    assert one["content"] != other["content"]
    events = [item["reason"] for item in await user.events("demo")]
    assert events.count("Allowed") == 1, "to people it is the same verdict"


async def test_bans_are_on_record_as_they_come_and_go(world: World, user: Client) -> None:
    await user.apply(make_policy("security", bans=[BAN]))
    [came] = await until_recorded(world, user, "Ban", name="security", generation=1)
    assert came["added"] == ["PyPI audited *", "PyPI other *"]
    await user.apply(make_policy("security", bans=[{**BAN, "names": ["audited", "third"]}]))
    [changed] = await until_recorded(world, user, "Ban", name="security", generation=2)
    assert (changed["added"], changed["removed"]) == (["PyPI third *"], ["PyPI other *"])
    await user.gateway.delete(Kind.PACKAGE_POLICY, name="security", namespace=user.namespace)
    [gone] = await until_recorded(world, user, "Ban", name="security", why="it was deleted")
    assert gone["removed"] == ["PyPI audited *", "PyPI third *"]


async def test_who_approved_what_is_on_record_and_so_is_its_end(world: World, user: Client) -> None:
    world.index.wheel("holed")
    world.advisories(make_advisory("holed", severity="HIGH"))
    await user.apply(make_policy(rules=[], unlisted="RequireApproval"))
    await user.apply(make_skill(packages=["holed"]))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    name = status["pendingApprovals"][0]["name"]
    [asked] = await until_recorded(world, user, "Approval", effect="Pending")
    assert (asked["actor"], asked["skills"], asked["package"]) == (
        "skillwarden",
        ["demo"],
        "PyPI holed 1.0",
    )
    assert asked["findings"] == ["vulnerability PYSEC-2026-1 of PyPI holed 1.0"]
    decision = {"verdict": "Approved", "approver": "reviewer", "reason": "looked at it"}
    await user.patch(Kind.PACKAGE_APPROVAL, name, {"status": {"decision": decision}}, subresource="status")
    [approved] = await until_recorded(world, user, "Approval", effect="Approved")
    assert (approved["actor"], approved["reason"]) == ("reviewer", "looked at it")
    assert approved["artefacts"] == asked["artefacts"] != []
    [allowed] = await until_recorded(world, user, "Verdict", verdict="Allowed")
    assert allowed["approvals"] == [name]
    await user.gateway.delete(Kind.PACKAGE_APPROVAL, name=name, namespace=user.namespace)
    [gone] = await until_recorded(world, user, "Approval", effect="Deleted")
    assert (gone["approver"], gone["actor"]) == ("reviewer", "unknown")
    world.advisories()


async def test_a_run_that_may_not_start_is_on_record_with_its_own_agent(world: World, user: Client) -> None:
    world.index.wheel("audited")
    await user.apply(make_agent("pupil", "Student"))
    await user.apply(make_skill(packages=["audited"]))
    await user.until_skill("demo", Ready="Ready")
    await user.apply(make_run(agentRef={"name": "pupil"}))
    await user.until_run("demo-1", "Failed")
    [refused] = await until_recorded(world, user, "Verdict", run="demo-1")
    assert (refused["skill"], refused["agent"], refused["maturity"]) == ("demo", "pupil", "Student")
    assert refused["verdict"] == "Denied"


async def test_the_chain_of_all_this_holds(world: World, user: Client) -> None:
    await user.apply(make_skill())
    await until_recorded(world, user, "Verdict", verdict="Allowed")
    result = verify(read("file", (world.root / "audit.jsonl").read_bytes().splitlines()))
    assert (result.problems, result.notes, len(result.heads)) == ([], [], 1)

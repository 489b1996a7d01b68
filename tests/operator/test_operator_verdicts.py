"""Verdicts follow the world: policies, agents, advisories, the index, sources; and fail closed."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from operator_world import (
    API,
    SERVICE,
    Client,
    World,
    condition,
    make_advisory,
    make_agent,
    make_policy,
    make_run,
    make_skill,
    settled,
)

from skillwarden.advisories.state import STATE_NAME
from skillwarden.advisories.store import INDEX_NAME
from skillwarden.domain.content import digest_of, pack
from skillwarden.domain.skill import SourceFile
from skillwarden.kube.errors import Invalid
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind


def make_service(*packages: str, **fields: Any) -> dict[str, Any]:
    return make_skill(code=SERVICE, mode="Service", replicas=1, packages=packages, **fields)


def make_cluster_policy(user: Client, **spec: Any) -> dict[str, Any]:
    """Return a ClusterPackagePolicy that holds in the user's namespace only."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": user.namespace}}
    return {
        "apiVersion": API,
        "kind": "ClusterPackagePolicy",
        "metadata": {"name": f"for-{user.namespace}"},
        "spec": {"namespaceSelector": selector, **spec},
    }


def ban(*names: str, message: str = "use another") -> list[dict[str, Any]]:
    return [{"ecosystem": "PyPI", "names": list(names), "message": message}]


@pytest.fixture
async def cluster_policy(user: Client) -> AsyncIterator[str]:
    """The name of a ClusterPackagePolicy that is deleted in the end."""
    yield f"for-{user.namespace}"
    await user.delete(Kind.CLUSTER_PACKAGE_POLICY, f"for-{user.namespace}")


@pytest.fixture
def mended(world: World) -> Iterator[World]:
    """A world whose index answers and whose advisories are whole again afterwards."""
    world.index.wheel("greeter")
    yield world
    world.index.down = world.index.refusing = False
    if world.index.gate is not None:
        world.index.gate.set()
        world.index.gate = None
    world.advisories()


async def running(world: World, user: Client, *packages: str, **fields: Any) -> dict[str, Any]:
    for name in packages:
        world.index.wheel(name)
    await user.apply(make_service(*packages, **fields))
    await user.until_skill("demo", Ready="Ready")
    [pod] = await user.until_pods(1, ready=True)
    return pod


# -- policies ------------------------------------------------------------------------------------------


async def test_a_ban_takes_what_runs_away_and_says_so_once(world: World, user: Client) -> None:
    await running(world, user, "greeter")
    await user.apply(make_policy("security", bans=ban("greeter", message="it phones home")))
    status = await user.until_skill("demo", Compliant="Banned", Ready="Refused", SandboxReady="NotAllowed")
    assert status["phase"] == status["verdict"] == "Denied"
    for kind in ("Compliant", "Ready"):
        assert "it phones home" in condition(status, kind)["message"]
    await user.until_pods(0)
    assert [item["reason"] for item in await user.events("demo")] == ["Allowed", "Banned"]


async def test_a_ban_of_the_cluster_beats_an_allow_of_the_namespace(
    world: World, user: Client, cluster_policy: str
) -> None:
    await running(world, user, "greeter")
    await user.apply(make_cluster_policy(user, bans=ban("greeter")))
    status = await user.until_skill("demo", Compliant="Banned")
    assert [item["policy"] for item in status["decidedBy"]] == [f"ClusterPackagePolicy {cluster_policy}"]
    await user.until_pods(0)
    await user.delete(Kind.CLUSTER_PACKAGE_POLICY, cluster_policy)
    await user.until_skill("demo", Ready="Ready")


async def test_a_cluster_policy_holds_only_where_its_selector_matches(
    world: World, user: Client, cluster_policy: str
) -> None:
    policy = make_cluster_policy(user, bans=ban("greeter"))
    policy["spec"]["namespaceSelector"] = {"matchLabels": {"team": user.namespace}}
    await user.apply(policy)
    await running(world, user, "greeter")
    await user.patch(Kind.NAMESPACE, user.namespace, {"metadata": {"labels": {"team": user.namespace}}})
    await user.until_skill("demo", Compliant="Banned")
    await user.until_pods(0)


async def test_the_strictest_of_two_policies_wins(world: World, user: Client) -> None:
    await running(world, user, "greeter")
    rule = {"name": "never", "match": {"ecosystem": "PyPI", "names": ["greeter"]}, "action": "Deny"}
    await user.apply(make_policy("strict", rules=[rule]))
    status = await user.until_skill("demo", Compliant="Denied")
    assert {"policy": f"PackagePolicy {user.namespace}/strict", "rule": "never"} in status["decidedBy"]
    await user.until_pods(0)


async def test_without_any_policy_nothing_runs(world: World, user: Client) -> None:
    await running(world, user, "greeter")
    await user.delete(Kind.PACKAGE_POLICY, "rules")
    status = await user.until_skill("demo", Compliant="NoPolicy", Ready="Refused")
    assert status["verdict"] == "Denied"
    await user.until_pods(0)


async def test_a_policy_that_cannot_be_read_allows_nothing_until_it_is_mended(
    world: World, user: Client
) -> None:
    await running(world, user, "greeter")
    impossible = [{"ecosystem": "PyPI", "names": ["unrelated"], "versions": ">3,<2"}]
    await user.apply(make_policy("broken", bans=impossible))
    status = await user.until_skill("demo", Compliant="NoVerdict")
    assert condition(status, "Compliant")["status"] == "Unknown"
    assert "broken" in condition(status, "Compliant")["message"]
    await user.until_pods(0)

    async def policy() -> dict[str, Any]:
        return (await user.get(Kind.PACKAGE_POLICY, "broken")).get("status") or {}

    def accepted(status: dict[str, Any]) -> bool:
        return bool(status) and condition(status, "Accepted")["status"] == "True"

    told = await user.until(policy, bool, "the policy's status")
    assert condition(told, "Accepted")["status"] == "False"
    assert ">3,<2" in condition(told, "Accepted")["message"]
    impossible[0]["versions"] = ">2,<3"
    await user.apply(make_policy("broken", bans=impossible))
    await user.until_skill("demo", Ready="Ready")
    await user.until(policy, accepted, "the policy is accepted")


async def test_a_policy_that_only_audits_decides_nothing(world: World, user: Client) -> None:
    await running(world, user, "greeter")
    await user.apply(make_policy("watching", enforcement="Audit", bans=ban("greeter")))

    async def policy() -> dict[str, Any]:
        return (await user.get(Kind.PACKAGE_POLICY, "watching")).get("status") or {}

    await user.until(policy, bool, "the policy was seen")
    await user.until_skill("demo", Ready="Ready", Compliant="Allowed")


# -- agents --------------------------------------------------------------------------------------------


async def test_a_skill_whose_agent_is_deleted_is_a_students(world: World, user: Client) -> None:
    await running(world, user, "greeter")
    await user.delete(Kind.AGENT, "autonomous")
    status = await user.until_skill("demo", Accepted="AgentNotFound", Compliant="MaturityTooLow")
    assert condition(status, "Accepted")["status"] == "True"
    assert status["maturity"] == "Student"
    await user.until_pods(0)


async def test_a_skill_whose_agent_is_demoted_is_judged_anew(world: World, user: Client) -> None:
    await running(world, user, "greeter")
    await user.apply(make_agent("autonomous", "Student"))
    await user.until_skill("demo", Accepted="Valid", Compliant="MaturityTooLow")
    await user.until_pods(0)


async def test_the_same_packages_are_judged_by_maturity(world: World, user: Client) -> None:
    world.index.wheel("greeter")
    rule = {
        "name": "senior",
        "match": {"ecosystem": "PyPI", "names": ["greeter"]},
        "action": "Allow",
        "minMaturity": "Supervised",
    }
    await user.apply(
        make_policy(rules=[rule], maturity={"Student": "Deny", "Intern": "RequireApproval"}),
        *(
            make_skill(name, packages=["greeter"], agent=name)
            for name in ("student", "intern", "supervised", "autonomous")
        ),
        make_skill("nobody", packages=["greeter"], agent=None),
    )
    for name, reason in (
        ("nobody", "MaturityTooLow"),
        ("student", "MaturityTooLow"),
        ("intern", "MaturityTooLow"),
        ("supervised", "Allowed"),
        ("autonomous", "Allowed"),
    ):
        await user.until_skill(name, Compliant=reason)


@pytest.mark.embedded_only("another operator beside the world's")
async def test_where_naming_an_agent_is_not_guarded_every_skill_is_a_students(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    world = World(tmp_path_factory.mktemp("unguarded"), trust=False)
    world.start()
    try:
        world.index.wheel("greeter")
        world.run(world.start_operator())
        gateway = await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="user")
        user = Client(gateway, "default")
        await user.apply(make_agent("autonomous", "Autonomous"), make_policy())
        await user.apply(make_skill(packages=["greeter"]))
        status = await user.until_skill("demo", Accepted="AgentUnguarded", Compliant="MaturityTooLow")
        assert status["maturity"] == "Student"
        assert "manifests/admission" in condition(status, "Accepted")["message"]
        assert world.index.asked == []
        # The probe was a dry run: it left no Skill behind.
        assert [item["metadata"]["name"] for item in await user.items(Kind.SKILL)] == ["demo"]
        await gateway.close()
    finally:
        world.stop()


# -- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "package", "agent", "policy", "reason"),
    [
        (
            "a typosquat",
            "reqeusts",
            "autonomous",
            {"findings": {}, "allow": ["requests"]},
            "ApprovalRequired",
        ),
        ("a Student's package", "never-asked-student", "student", {}, "MaturityTooLow"),
        ("a banned name", "never-asked-ban", "autonomous", {"bans": ban("never-asked-*")}, "Banned"),
    ],
)
async def test_the_index_is_never_asked_for(
    sentence: str,
    package: str,
    agent: str,
    policy: dict[str, Any],
    reason: str,
    world: World,
    user: Client,
) -> None:
    await user.apply(make_policy(**policy), make_skill(packages=[package], agent=agent))
    status = await user.until_skill("demo", Compliant=reason, Resolved="Refused")
    assert status.get("lock") is None
    assert not [path for path in world.index.asked if package in path]
    assert await user.pods() == []


REFUSED = {
    "a URL": ["evil @ https://example.org/evil-1.0-py3-none-any.whl"],
    "a VCS link": ["evil @ git+https://example.org/evil.git"],
    "a local path": ["./evil"],
    "a file URL": ["evil @ file:///etc/passwd"],
    "an option line": ["--index-url=https://example.org/simple"],
    "an editable": ["-e ."],
    "a requirements file": ["-r /etc/passwd"],
    "a semicolon": ["evil; rm -rf /"],
    "two ampersands": ["evil && rm -rf /"],
    "a command substitution": ["evil$(id)"],
    "a homoglyph": ["gr\u0435eter"],
    "the same package with two ranges": ["evil>1", "evil<1"],
    "the same package in two spellings": ["Evil_Pkg>1", "evil-pkg<1"],
}


@pytest.mark.parametrize("sentence", REFUSED)
async def test_a_requirement_is_refused_at_intake_that_is(sentence: str, world: World, user: Client) -> None:
    asked = len(world.index.asked)
    await user.apply(make_skill(packages=REFUSED[sentence]))
    status = await user.until_skill("demo", Accepted="InvalidPackage", Ready="InvalidPackage")
    assert condition(status, "Accepted")["status"] == "False"
    assert "packages.python[" in condition(status, "Accepted")["message"]
    assert status["phase"] == "Failed"
    assert world.index.asked[asked:] == []


@pytest.mark.parametrize(
    ("sentence", "packages"),
    [
        ("10,000 characters", ["a" * 10_000]),
        ("a newline", ["greeter\n--index-url=https://example.org"]),
        ("a control character", ["greeter\x1b[2J"]),
        ("nothing", [""]),
        ("the very same text twice", ["greeter", "greeter"]),
        ("no text at all", [7]),
    ],
)
async def test_the_api_refuses_a_requirement_of(
    sentence: str, packages: list[Any], world: World, user: Client
) -> None:
    with pytest.raises(Invalid) as refused:
        await user.apply(make_skill(packages=packages))
    # Server-side apply answers 500 to what no manager can own.
    assert refused.value.status in {422, 500}
    assert "spec.packages.python" in refused.value.message


# -- resolution ----------------------------------------------------------------------------------------


async def test_a_closure_that_cannot_be_had_is_unresolvable_and_not_tried_again(
    world: World, user: Client
) -> None:
    world.index.wheel("greeter")
    await user.apply(make_skill(packages=["greeter>=2"]), make_run())
    status = await user.until_skill("demo", Resolved="Unresolvable", Ready="Unresolvable")
    assert condition(status, "Resolved")["status"] == "False"
    assert status["phase"] == "Failed"
    run = await user.until_run("demo-1", "Failed")
    assert "Unresolvable" in condition(run, "Complete")["message"]


async def test_an_index_that_is_down_is_asked_again_until_it_answers(mended: World, user: Client) -> None:
    mended.index.wheel("late-greeter")
    mended.index.down = True
    await user.apply(make_skill(packages=["late-greeter"]))
    status = await user.until_skill("demo", Resolved="ResolverUnavailable", Ready="ResolverUnavailable")
    assert condition(status, "Resolved")["status"] == "Unknown"
    assert status["phase"] == "Pending"
    mended.index.down = False
    await user.until_skill("demo", Resolved="Locked", Ready="Ready")


#: Nobody looks into artefacts before the verdict: it is for the sandbox that they are fetched.
UNREAD = make_policy(findings={"typosquat": "Allow", "installScript": "Allow"})


@pytest.mark.embedded_only("its log of requests")
async def test_skills_whose_artefacts_were_refused_go_on_once_the_index_gives_them(
    mended: World, user: Client
) -> None:
    mended.index.wheel("guarded")
    await user.apply(copy.deepcopy(UNREAD), make_service("guarded", suspend=True))
    await user.until_skill("demo", Compliant="Allowed", Ready="Suspended")
    mended.index.refusing = True
    await user.apply(make_service("guarded"))
    status = await user.until_skill("demo", Ready="InstallFailed")
    assert "HTTP status 401" in condition(status, "SandboxReady")["message"]
    assert "tried again" in condition(status, "SandboxReady")["message"]
    # Another of the very same lock and content learns of the failure without a try of its own.
    await user.apply(make_service("guarded") | {"metadata": {"name": "other"}})
    await user.until_skill("other", Ready="InstallFailed")
    await settled(mended)
    mark, asked = mended.mark, len(mended.index.asked)

    async def asked_again() -> int:
        return len(mended.index.asked) - asked

    await user.until(asked_again, lambda times: times >= 2, "the index is asked again")
    await settled(mended)
    assert [str(item) for item in mended.writes(mark)] == [], "the same answer is no news"
    mended.index.refusing = False
    await user.until_skill("demo", Ready="Ready")
    await user.until_skill("other", Ready="Ready")


async def test_a_later_run_is_not_refused_for_what_is_mended(mended: World, user: Client) -> None:
    mended.index.wheel("held-back")
    await user.apply(copy.deepcopy(UNREAD), make_skill(packages=["held-back"]))
    await user.until_skill("demo", Ready="Ready")
    mended.index.refusing = True
    await user.apply(make_run("run-0"))
    status = await user.until_run("run-0", "Failed")
    assert condition(status, "Complete")["reason"] == "InstallFailed"
    mended.index.refusing = False
    numbers = itertools.count(1)

    async def another() -> str:
        name = f"run-{next(numbers)}"
        await user.apply(make_run(name))
        ended = await user.until(
            lambda: user.get(Kind.SKILL_RUN, name),
            lambda body: (body.get("status") or {}).get("phase") in {"Failed", "Succeeded"},
            f"{name} ends",
        )
        return str(ended["status"]["phase"])

    await user.until(another, lambda phase: phase == "Succeeded", "a run succeeds")


async def test_a_skill_that_is_deleted_while_it_resolves_leaves_nothing(mended: World, user: Client) -> None:
    mended.index.wheel("slow-greeter")
    gate = mended.index.gate = threading.Event()
    asked = len(mended.index.asked)
    await user.apply(make_service("slow-greeter"))

    async def look() -> list[str]:
        return mended.index.asked[asked:]

    await user.until(look, bool, "the index is asked")
    status = await user.until_skill("demo", Resolved="Resolving", Ready="Resolving")
    assert status["phase"] == "Resolving"
    await user.delete(Kind.SKILL, "demo")
    await user.apply(make_skill("witness", packages=["slow-greeter"]))
    gate.set()
    # It waits for the very same resolution.
    await user.until_skill("witness", Resolved="Locked", Ready="Ready")
    assert await user.pods() == []
    assert await user.get(Kind.SKILL, "demo") == {}
    assert [
        item["metadata"]["name"]
        for item in await user.items(Kind.SERVICE_ACCOUNT)
        if item["metadata"]["name"].startswith("demo")
    ] == []


# -- advisories ----------------------------------------------------------------------------------------


def age_advisories(world: World) -> None:
    path = world.root / "state" / "advisories" / STATE_NAME
    state = json.loads(path.read_text()) | {"syncedAt": "2026-01-01T00:00:00+00:00"}
    path.write_text(json.dumps(state))


def lose_advisories(world: World) -> None:
    shutil.rmtree(world.root / "state" / "advisories")


def corrupt_advisories(world: World) -> None:
    path = world.root / "state" / "advisories" / INDEX_NAME
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)


def truncate_advisories(world: World) -> None:
    path = world.root / "state" / "advisories" / INDEX_NAME
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("sentence", "harm"),
    [
        ("are missing", lose_advisories),
        ("are corrupt", corrupt_advisories),
        ("are truncated", truncate_advisories),
    ],
)
async def test_nothing_passes_while_the_advisories(
    sentence: str, harm: Any, mended: World, user: Client
) -> None:
    harm(mended)
    name = f"greeter-{sentence.split()[-1]}"
    mended.index.wheel(name)
    await user.apply(make_skill(packages=[name]), make_run())
    status = await user.until_skill("demo", Resolved="Locked", Scanned="ScannerError", Compliant="NoVerdict")
    assert status["verdict"] == "Unknown"
    run = await user.until_run("demo-1", "Pending")
    assert condition(run, "Complete")["reason"] == "Waiting"
    assert await user.pods() == []
    mended.advisories()
    await user.until_skill("demo", Scanned="Complete", Ready="Ready")
    await user.until_run("demo-1", "Succeeded")


async def test_a_new_advisory_takes_a_running_service_down_and_its_withdrawal_brings_it_back(
    mended: World, user: Client
) -> None:
    await running(mended, user, "greeter")
    mended.advisories(make_advisory("greeter", fixed="2.0"))
    status = await user.until_skill("demo", Compliant="Denied", Ready="Denied")
    assert status["findings"]["critical"] == 1
    top = status["topFindings"][0]
    assert (top["id"], top["package"]) == ("PYSEC-2026-1", "greeter 1.0")
    assert "2.0" in top["fix"]
    await user.until_pods(0)
    mended.advisories()
    await user.until_skill("demo", Ready="Ready")


async def test_a_new_advisory_makes_work_for_those_alone_whose_lock_it_is_about(
    mended: World, user: Client
) -> None:
    for name in ("touched", "spared"):
        mended.index.wheel(name)
        await user.apply(make_service(name, name=name))
        await user.until_skill(name, Ready="Ready")

    async def scans(name: str) -> list[str]:
        digest = (await user.get(Kind.SKILL, name))["status"]["lock"]["digest"]
        folder = mended.root / "depot" / "scans" / digest.removeprefix("sha256:")
        return sorted(path.name for path in folder.iterdir())

    before = {name: await scans(name) for name in ("touched", "spared")}
    mended.advisories(make_advisory("touched", fixed="2.0"))
    await user.until_skill("touched", Compliant="Denied")
    assert await scans("touched") != before["touched"]
    # A second revision, seen after the first: whoever was to be scanned for it has been by now.
    mended.advisories(make_advisory("touched", fixed="2.0"), make_advisory("other", id_="PYSEC-2026-9"))
    mended.index.wheel("later")
    await user.apply(make_service("later", name="later"))
    await user.until_skill("later", Ready="Ready")
    assert await scans("spared") == before["spared"]
    await user.until_skill("spared", Ready="Ready")


async def test_an_advisory_three_levels_down_names_the_path(mended: World, user: Client) -> None:
    mended.index.wheel("top", requires=["middle"])
    mended.index.wheel("middle", requires=["bottom"])
    mended.index.wheel("bottom")
    mended.advisories(make_advisory("bottom", id_="PYSEC-2026-3"))
    await user.apply(make_skill(packages=["top"]))
    status = await user.until_skill("demo", Compliant="Denied")
    assert status["topFindings"][0]["path"] == "top > middle > bottom"
    assert "top > middle > bottom" in condition(status, "Compliant")["message"]


async def test_stale_advisories_hold(mended: World, user: Client) -> None:
    pod = await running(mended, user, "greeter")
    age_advisories(mended)
    await user.apply(make_policy(scanning={"maxAdvisoryAge": "1h"}))
    status = await user.until_skill("demo", Scanned="AdvisoriesStale", Compliant="NoVerdict")
    assert "already ran go on" in condition(status, "SandboxReady")["message"]
    # Nothing new is launched ...
    await user.apply(make_skill("job", packages=["greeter"]), make_run("job-1", skill="job"))
    await user.until_skill("job", Scanned="AdvisoriesStale")
    run = await user.until_run("job-1", "Pending")
    assert condition(run, "Complete")["reason"] == "Waiting"
    # ... and what ran still does.
    [standing] = await user.until_pods(1, ready=True)
    assert standing["metadata"]["uid"] == pod["metadata"]["uid"]
    # A sync that finds nothing new moves only the time, and suffices.
    mended.advisories()
    await user.until_run("job-1", "Succeeded")
    await user.until_skill("demo", Ready="Ready")


async def test_a_policy_that_requires_another_scanner_has_the_lock_scanned_again(
    mended: World, user: Client
) -> None:
    await running(mended, user, "greeter")
    # Until now nobody asked for names or ages; the wheel is years old, and the project's first.
    await user.apply(
        make_policy(
            findings={
                "typosquat": "Deny",
                "minReleaseAge": {"duration": "72h", "action": "Deny"},
                "minPackageAge": {"duration": "720h", "action": "Deny"},
            }
        )
    )
    await user.apply(make_skill("other", packages=["greeter"]))
    await user.until_skill("other", Scanned="Complete", Ready="Ready")
    await user.until_skill("demo", Scanned="Complete", Ready="Ready")


# -- the skill itself ----------------------------------------------------------------------------------


def make_configmap(code: str, name: str = "source") -> dict[str, Any]:
    meta = {"name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"main.py": code}}


def pinned(skill: dict[str, Any], code: str, name: str = "source") -> dict[str, Any]:
    digest = digest_of(pack([SourceFile("main.py", code.encode())])).removeprefix("sha256:")
    skill["spec"]["source"] = {"configMapRef": {"name": name, "sha256": digest}}
    return skill


async def source_taken_from_what_runs(user: Client) -> None:
    """Take the ConfigMap away once the Service runs, and see that it goes on for the moment."""
    await user.until_skill("demo", Ready="Ready")
    [pod] = await user.until_pods(1)
    await user.delete(Kind.CONFIG_MAP, "source")
    await user.patch(Kind.SKILL, "demo", {"metadata": {"annotations": {"example.org/look": "again"}}})
    await user.until_skill("demo", Accepted="InvalidSource")
    assert [each["metadata"]["uid"] for each in await user.pods()] == [pod["metadata"]["uid"]]


async def test_a_pinned_configmap_runs(world: World, user: Client) -> None:
    code = "print('from a map')"
    await user.apply(make_configmap(code), pinned(make_skill(), code), make_run())
    status = await user.until_run("demo-1", "Succeeded")
    assert "from a map" in status["logTail"]


async def test_an_author_cannot_keep_a_banned_package_by_taking_the_source_away(
    mended: World, user: Client
) -> None:
    code = "import time\nwhile True: time.sleep(1)"
    skill = make_skill(mode="Service", packages=["greeter"], replicas=1)
    await user.apply(make_configmap(code), pinned(skill, code))
    await source_taken_from_what_runs(user)
    await user.apply(make_policy("security", bans=ban("greeter")))
    await user.until_pods(0)


async def test_an_author_cannot_keep_code_that_is_denied_by_now_by_taking_it_away(
    world: World, user: Client
) -> None:
    code = "import time, sys\nif len(sys.argv) > 9: eval(sys.argv[9])\nwhile True: time.sleep(1)"
    skill = make_skill(mode="Service", replicas=1)
    await user.apply(
        make_policy(findings={"source": {"High": "Allow"}}), make_configmap(code), pinned(skill, code)
    )
    await source_taken_from_what_runs(user)
    await user.apply(make_policy("security", findings={"source": {"High": "Deny"}}))
    await user.until_pods(0)


async def test_a_configmap_with_another_content_is_refused_until_it_has_the_pinned_one(
    world: World, user: Client
) -> None:
    await user.apply(make_configmap("print('wrong')"), pinned(make_skill(), "print('right')"), make_run())
    status = await user.until_skill("demo", Accepted="InvalidSource", Ready="InvalidSource")
    assert "skillwarden digest" in condition(status, "Accepted")["message"]
    assert await user.pods() == []
    await user.apply(make_configmap("print('right')"))
    run = await user.until_run("demo-1", "Succeeded")
    assert "right" in run["logTail"]


async def test_a_configmap_that_is_swapped_after_the_verdict_does_not_run(world: World, user: Client) -> None:
    code = "print('judged')"
    await user.apply(make_configmap(code), pinned(make_skill(), code))
    await user.until_skill("demo", Ready="Ready")
    await user.apply(make_configmap("print('swapped')"), make_run())
    run = await user.until_run("demo-1", "Pending")
    assert condition(run, "Complete")["reason"] == "Waiting"
    assert await user.pods() == []
    await user.apply(make_configmap(code))
    run = await user.until_run("demo-1", "Succeeded")
    assert "judged" in run["logTail"]


@pytest.mark.parametrize(
    ("sentence", "change", "reason", "words"),
    [
        (
            "a reserved variable",
            {"sandbox": {"env": [{"name": "PYTHONPATH", "value": "/tmp"}]}},
            "InvalidSpec",
            "PYTHONPATH",
        ),
        (
            "a runtime that does not exist",
            {"runtime": {"language": "Python", "version": "3.99"}},
            "UnsupportedRuntime",
            "3.99",
        ),
        (
            "a path out of the folder",
            {"source": {"files": [{"path": "../main.py", "content": ""}]}},
            "InvalidSource",
            "../main.py",
        ),
    ],
)
async def test_a_skill_is_not_accepted_that_asks_for(
    sentence: str, change: dict[str, Any], reason: str, words: str, world: World, user: Client
) -> None:
    body = make_skill()
    body["spec"] |= change
    await user.apply(body)
    status = await user.until_skill("demo", Accepted=reason, Ready=reason)
    assert words in condition(status, "Accepted")["message"]


# -- artefacts -----------------------------------------------------------------------------------------


async def test_code_that_runs_by_itself_waits_for_a_person_and_says_which(world: World, user: Client) -> None:
    world.index.wheel("starter", files={"starter.pth": "import os"})
    await user.apply(make_policy(findings={"installScript": "RequireApproval"}), make_service("starter"))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    message = condition(status, "Compliant")["message"]
    assert "runs code by itself (pth:starter.pth): import os" in message
    assert "findings.installScript" in message
    await user.apply(make_policy(findings={"installScript": "Allow"}))
    await user.until_skill("demo", Ready="Ready")


async def test_a_licence_is_denied_by_the_artefacts_own_word(world: World, user: Client) -> None:
    world.index.wheel("copyleft", metadata=["License-Expression: AGPL-3.0-only"])
    await user.apply(make_policy(findings={"licence": {"deny": ["AGPL-*"]}}), make_service("copyleft"))
    status = await user.until_skill("demo", Compliant="Denied")
    assert "has the licence AGPL-3.0-only" in condition(status, "Compliant")["message"]


async def test_a_companys_own_name_is_not_asked_for(world: World, user: Client) -> None:
    asked = len(world.index.asked)
    await user.apply(make_service("internal-utils"))
    status = await user.until_skill("demo", Compliant="Denied", Resolved="Refused")
    assert "called like a company's internal package" in condition(status, "Compliant")["message"]
    assert not [path for path in world.index.asked[asked:] if "internal" in path]


async def test_a_lock_is_made_anew_when_somebody_asks(world: World, user: Client) -> None:
    await running(world, user, "ageing")
    before = (await user.get(Kind.SKILL, "demo"))["status"]["lock"]["digest"]
    world.index.wheel("ageing", "1.1")
    refresh = {"metadata": {"annotations": {"skillwarden.io/refresh": "now"}}}
    await user.patch(Kind.SKILL, "demo", refresh)
    await user.until(
        lambda: user.get(Kind.SKILL, "demo"),
        lambda body: body["status"]["lock"]["digest"] != before,
        "another lock",
    )
    status = await user.until_skill("demo", Ready="Ready")
    assert status["lock"]["python"] == ["ageing==1.1"]

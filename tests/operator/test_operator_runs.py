"""Task skills and their runs, end to end: resolved, scanned, judged, launched, finished."""

from __future__ import annotations

import pytest
from operator_world import Client, World, condition, make_run, make_skill

from skillwarden.kube.kinds import Kind


async def test_a_run_uses_its_packages_and_input_and_gives_its_output(world: World, user: Client) -> None:
    world.index.wheel("greeter", code="def greet(name):\n    return f'hello {name}'\n")
    code = (
        "import json, greeter\n"
        "name = json.load(open('/skill/input.json'))['name']\n"
        "print('log line')\n"
        "json.dump({'said': greeter.greet(name)}, open('/skill/output.json', 'w'))\n"
    )
    await user.apply(make_skill(code=code, packages=["greeter"]), make_run(input='{"name": "world"}'))
    status = await user.until_run("demo-1", "Succeeded")
    assert status["exitCode"] == 0
    assert status["output"] == '{"said": "hello world"}'
    assert "log line" in status["logTail"]
    skill = await user.until_skill("demo", Ready="Ready", SandboxReady="OnDemand")
    assert skill["lock"]["python"] == ["greeter==1.0"]
    assert status["lockDigest"] == skill["lock"]["digest"]
    assert status["contentDigest"] == skill["contentDigest"]


async def test_a_failing_skill_passes_its_exit_code_on(world: World, user: Client) -> None:
    await user.apply(make_skill(code="import sys; sys.exit(7)"), make_run())
    status = await user.until_run("demo-1", "Failed")
    assert status["exitCode"] == 7
    assert condition(status, "Complete")["reason"] == "Failed"


async def test_a_run_that_takes_too_long_is_ended(world: World, user: Client) -> None:
    await user.apply(make_skill(code="import time; time.sleep(600)"), make_run(timeoutSeconds=3))
    status = await user.until_run("demo-1", "Failed")
    assert condition(status, "Complete")["reason"] == "TimedOut"


async def test_a_finished_run_goes_when_its_time_to_live_is_over(world: World, user: Client) -> None:
    await user.apply(make_skill(), make_run(ttlSecondsAfterFinished=0))

    async def look() -> object:
        return await user.get(Kind.SKILL_RUN, "demo-1")

    await user.until(look, lambda body: body == {}, "the run is deleted")
    await user.until_pods(0)


async def test_a_run_waits_for_a_skill_that_is_applied_later(world: World, user: Client) -> None:
    await user.apply(make_run())
    status = await user.until_run("demo-1", "Pending")
    assert condition(status, "Accepted")["reason"] == "SkillNotFound"
    await user.apply(make_skill())
    await user.until_run("demo-1", "Succeeded")


@pytest.mark.parametrize(
    ("sentence", "skill", "words"),
    [
        ("a skill that is denied", make_skill(packages=["greeter"], agent="student"), "MaturityTooLow"),
        (
            "a skill that stands by itself",
            make_skill(mode="Service", replicas=0),
            "only a skill with mode task",
        ),
        (
            "a skill with an invalid package",
            make_skill(packages=["x @ https://example.org/x.whl"]),
            "InvalidPackage",
        ),
    ],
)
async def test_a_run_fails_at_once_of(
    sentence: str, skill: dict[str, object], words: str, world: World, user: Client
) -> None:
    await user.apply(skill, make_run())
    status = await user.until_run("demo-1", "Failed")
    complete = condition(status, "Complete")
    assert complete["reason"] == "NotAllowed"
    assert words.lower() in complete["message"].lower()
    assert await user.pods() == []


async def test_a_run_on_behalf_of_a_lesser_agent_is_judged_by_that_agent(world: World, user: Client) -> None:
    world.index.wheel("greeter")
    await user.apply(make_skill(packages=["greeter"]))
    await user.until_skill("demo", Ready="Ready")
    await user.apply(make_run(agentRef={"name": "student"}))
    status = await user.until_run("demo-1", "Failed")
    assert condition(status, "Complete")["reason"] == "NotAllowed"


async def test_a_run_is_stopped_when_its_skill_changes(world: World, user: Client) -> None:
    await user.apply(make_skill(code="import time; time.sleep(600)"), make_run())
    await user.until_run("demo-1", "Running")
    await user.apply(make_skill(code="print('another')"))
    status = await user.until_run("demo-1", "Failed")
    assert condition(status, "Complete")["reason"] == "Superseded"
    await user.until_pods(0)


async def test_a_run_has_one_pod_and_does_not_get_another(world: World, user: Client) -> None:
    await user.apply(make_skill(code="import time; time.sleep(600)"), make_run())
    await user.until_run("demo-1", "Running")
    [pod] = await user.pods()
    await user.delete(Kind.POD, pod["metadata"]["name"])
    status = await user.until_run("demo-1", "Failed")
    assert condition(status, "Complete")["reason"] in {"PodLost", "Failed"}
    await user.until_pods(0)

"""From a skill's observed world to a plan: what goes, what is made first, what is launched, what is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from make_world import (
    LOCK,
    READY,
    denied,
    draft,
    make_assessment,
    make_pod,
    make_world,
    wanted,
)

from skillwarden.domain.assess import Failure, Job
from skillwarden.domain.conditions import ConditionType, Status
from skillwarden.domain.decide import Ensure, decide
from skillwarden.domain.policy import Action
from skillwarden.domain.skill import Mode, Sandbox
from skillwarden.domain.verdict import ComplianceReason
from skillwarden.domain.world import PodPhase, SkillWorld, Surroundings

SUSPENDED = Sandbox(suspend=True)
NO_VERDICT = denied(ComplianceReason.NO_VERDICT)
HELD = make_assessment(NO_VERDICT, hold=True)


def sandbox_of(world: SkillWorld) -> tuple[str, str]:
    found = next(item for item in decide(world).drafts if item.type == ConditionType.SANDBOX_READY)
    return found.reason, found.message


# -- Pods that go --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "pod", "changes", "why"),
    [
        ("it is as wanted", {}, {}, None),
        ("it was tampered with", {"tampered": True}, {}, "not as the operator made it"),
        ("it was tampered with while held", {"tampered": True}, {"assessment": HELD}, "not as the operator"),
        ("the skill became a Task", {}, {"mode": Mode.TASK}, "not a Service"),
        ("the skill is suspended", {}, {"sandbox": SUSPENDED}, "suspended"),
        ("the skill is denied", {}, {"assessment": make_assessment(denied())}, "may not run: Denied"),
        (
            "the skill is no longer accepted",
            {},
            {"assessment": make_assessment(accepted=draft("Accepted", "InvalidPackage", Status.FALSE))},
            "may not run",
        ),
        ("nothing is known, and it does not hold", {}, {"assessment": make_assessment(None)}, "may not run"),
        ("it is held", {}, {"assessment": HELD}, None),
        (
            "it is held, but runs another lock",
            {"lock_digest": "sha256:other"},
            {"assessment": HELD},
            "may not run",
        ),
        (
            "it is held, but runs another content",
            {"content_digest": "sha256:other"},
            {"assessment": HELD},
            "may not run",
        ),
        (
            "it is held, but was started with another command",
            {"invocation_digest": "sha256:other"},
            {"assessment": HELD},
            "may not run",
        ),
        (
            "it is held while the lock is made anew",
            {"lock_digest": "sha256:other"},
            {"assessment": make_assessment(None, hold=True, lock=None)},
            None,
        ),
        (
            "it is held while the lock is made anew, but what it runs on is banned",
            {"lock_digest": "sha256:other"},
            {
                "assessment": make_assessment(
                    None, hold=True, lock=None, fallen={"sha256:other": "Banned: numpy is banned"}
                )
            },
            "may not run: Banned: numpy is banned",
        ),
        ("it is one replica too many", {"name": "demo-1"}, {}, "not among the wanted replicas"),
        ("its spec is another", {"spec_hash": "other"}, {}, "its spec is not the wanted one"),
        ("it failed", {"phase": PodPhase.FAILED, "reason": "Evicted"}, {}, "it ended: Evicted"),
        ("it ended well", {"phase": PodPhase.SUCCEEDED}, {}, "it ended: Succeeded"),
        ("it is going already", {"tampered": True, "deleting": True}, {}, None),
    ],
)
def test_a_pod_of_a_service_when(
    sentence: str, pod: dict[str, Any], changes: dict[str, Any], why: str | None
) -> None:
    standing = make_pod(**pod)
    removed = decide(make_world(standing, **changes)).remove
    if why is None:
        assert removed == ()
    else:
        [item] = removed
        assert (item.name, item.uid) == (standing.name, standing.uid)
        assert why in item.why


# -- Pods that come ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "changes", "launch"),
    [
        ("nothing stands", {}, ("demo-0",)),
        ("it stands", {"pods": (make_pod(),)}, ()),
        ("it is on its way out", {"pods": (make_pod(deleting=True),)}, ()),
        (
            "one of two stands",
            {"pods": (make_pod(),), "wanted": wanted("demo-0", "demo-1")},
            ("demo-1",),
        ),
        ("the skill is suspended", {"sandbox": SUSPENDED}, ()),
        ("the skill is a Task", {"mode": Mode.TASK}, ()),
        ("the skill is denied", {"assessment": make_assessment(denied())}, ()),
        ("the skill is only held", {"assessment": HELD}, ()),
        ("the artefacts are not there", {"surroundings": replace(READY, artefacts=None)}, ()),
        (
            "the artefacts cannot be had",
            {"surroundings": replace(READY, artefacts=Failure("InstallFailed", "no"))},
            (),
        ),
    ],
)
def test_launches_when(sentence: str, changes: dict[str, Any], launch: tuple[str, ...]) -> None:
    assert decide(make_world(**changes)).launch == launch


@pytest.mark.parametrize(
    ("sentence", "changes", "fetch"),
    [
        ("something is to be launched", {}, True),
        (
            "a Task's artefacts were refused",
            {"mode": Mode.TASK, "surroundings": replace(READY, artefacts=Failure("InstallFailed", "no"))},
            True,
        ),
        ("the skill is suspended", {"sandbox": SUSPENDED}, False),
        ("the skill is a Task", {"mode": Mode.TASK}, False),
        ("the skill is denied", {"assessment": make_assessment(denied())}, False),
        ("there are no replicas", {"wanted": ()}, False),
    ],
)
def test_artefacts_are_fetched_only_if(sentence: str, changes: dict[str, Any], fetch: bool) -> None:
    assert decide(make_world(**{"surroundings": replace(READY, artefacts=None), **changes})).fetch is fetch


def test_isolation_is_made_before_anything_else_and_only_for_what_may_run() -> None:
    bare = Surroundings(artefacts=True)
    assert decide(make_world(surroundings=bare)).ensure == tuple(Ensure)
    assert decide(make_world(surroundings=bare, assessment=make_assessment(denied()))).ensure == ()
    assert decide(make_world()).ensure == ()
    assert not bare.isolated
    assert READY.isolated


def test_a_world_that_is_as_it_should_be_asks_for_nothing() -> None:
    plan = decide(make_world(make_pod()))
    assert (plan.remove, plan.ensure, plan.launch, plan.fetch, plan.job) == ((), (), (), False, None)
    assert plan.phase == "Ready"


# -- what is said --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sentence", "world", "reason", "words", "phase"),
    [
        ("it runs", make_world(make_pod()), "Running", "1 of 1", "Ready"),
        ("it starts", make_world(make_pod(ready=False)), "Starting", "0 of 1", "Starting"),
        (
            "it waits for what all wait for",
            make_world(make_pod(ready=False, waiting="PodInitializing")),
            "Starting",
            "0 of 1 replica(s) ready.",
            "Starting",
        ),
        (
            "its image cannot be had",
            make_world(make_pod(ready=False, waiting="ErrImagePull")),
            "Starting",
            "Waiting: ErrImagePull",
            "Starting",
        ),
        (
            "no node takes it",
            make_world(make_pod(ready=False, unschedulable="0/3 nodes")),
            "Starting",
            "0/3 nodes",
            "Starting",
        ),
        (
            "an old replica still stands",
            make_world(make_pod(), make_pod("demo-9")),
            "Starting",
            "1 of 1",
            "Starting",
        ),
        (
            "it crashes",
            make_world(make_pod(ready=False, waiting="CrashLoopBackOff", exit_code=3)),
            "CrashLooping",
            "exit code 3",
            "Failed",
        ),
        (
            "it ends well, again and again",
            make_world(make_pod(ready=False, waiting="CrashLoopBackOff", exit_code=0)),
            "CrashLooping",
            "again and again. See",
            "Failed",
        ),
        (
            "it cannot be prepared",
            make_world(make_pod(ready=False, init_failure="wrong hash")),
            "InstallFailed",
            "wrong hash",
            "Failed",
        ),
        (
            "its node only walks the phases",
            make_world(make_pod(simulated=True)),
            "Simulated",
            "nothing really runs",
            "Failed",
        ),
        ("it is suspended", make_world(sandbox=SUSPENDED), "Suspended", "suspend", "Suspended"),
        ("it is a Task", make_world(mode=Mode.TASK), "OnDemand", "SkillRun", "Ready"),
        (
            "it is denied",
            make_world(assessment=make_assessment(denied())),
            "NotAllowed",
            "Denied",
            "Denied",
        ),
        (
            "it awaits approval",
            make_world(
                assessment=make_assessment(
                    denied(ComplianceReason.APPROVAL_REQUIRED, Action.REQUIRE_APPROVAL)
                )
            ),
            "NotAllowed",
            "ApprovalRequired",
            "AwaitingApproval",
        ),
        (
            "it is held with a Pod",
            make_world(make_pod(), assessment=HELD),
            "NotAllowed",
            "1 Pod(s) that already ran go on",
            "Pending",
        ),
        (
            "it is resolved",
            make_world(assessment=make_assessment(None, job=Job.RESOLVE)),
            "NotAllowed",
            "NoVerdict",
            "Resolving",
        ),
        (
            "it is scanned",
            make_world(assessment=make_assessment(None, job=Job.SCAN)),
            "NotAllowed",
            "NoVerdict",
            "Scanning",
        ),
        (
            "it cannot be resolved",
            make_world(assessment=make_assessment(None)),
            "NotAllowed",
            "NoVerdict",
            "Failed",
        ),
        (
            "the index is asked again",
            make_world(assessment=make_assessment(None, retry=True)),
            "NotAllowed",
            "NoVerdict",
            "Pending",
        ),
        (
            "it is not accepted",
            make_world(
                assessment=make_assessment(None, accepted=draft("Accepted", "InvalidSpec", Status.FALSE))
            ),
            "NotAllowed",
            "NoVerdict",
            "Failed",
        ),
        (
            "the depot does not answer",
            make_world(surroundings=replace(READY, artefacts=Failure("Starting", "depot", retryable=True))),
            "Starting",
            "depot",
            "Starting",
        ),
        (
            "an artefact is another",
            make_world(surroundings=replace(READY, artefacts=Failure("InstallFailed", "wrong hash"))),
            "InstallFailed",
            "wrong hash",
            "Failed",
        ),
        (
            "a quota forbids it",
            make_world(launch_failure=Failure("QuotaExceeded", "too many pods")),
            "QuotaExceeded",
            "too many pods",
            "Failed",
        ),
    ],
)
def test_the_sandbox_is_said_to_be_when(
    sentence: str, world: SkillWorld, reason: str, words: str, phase: str
) -> None:
    found, message = sandbox_of(world)
    assert found == reason
    assert words in message
    assert decide(world).phase == phase


def test_every_condition_is_always_there_in_order() -> None:
    for world in (make_world(), make_world(assessment=make_assessment(None)), make_world(mode=Mode.TASK)):
        assert [item.type for item in decide(world).drafts] == list(ConditionType)


def test_ready_is_the_first_condition_that_stands_in_the_way_but_isolation() -> None:
    open_network = draft(ConditionType.NETWORK_ISOLATED, "OverlappingPolicy", Status.FALSE)
    last = decide(make_world(make_pod(), network=open_network)).drafts[-1]
    assert (last.status, last.reason) == (Status.TRUE, "Ready")
    last = decide(make_world(network=open_network, assessment=make_assessment(denied()))).drafts[-1]
    assert (last.status, last.reason) == (Status.FALSE, "Denied")


def test_what_goes_on_without_a_verdict_stays_isolated() -> None:
    network = (Ensure.DEFAULT_DENY, Ensure.NETWORK_POLICY)
    assert decide(make_world(make_pod(), assessment=HELD, surroundings=Surroundings())).ensure == network
    assert decide(make_world(assessment=HELD, surroundings=Surroundings())).ensure == ()
    fallen = make_assessment(denied())
    assert decide(make_world(make_pod(), assessment=fallen, surroundings=Surroundings())).ensure == ()


def test_a_replica_that_does_not_go_is_named() -> None:
    last = decide(make_world(make_pod(deleting=True))).drafts
    text = next(item.message for item in last if item.type == "SandboxReady")
    assert "Pod demo-0 is being deleted" in text


def test_what_is_held_is_told_by_lock_and_content_only() -> None:
    assert LOCK.digest != HELD.content_digest
    assert decide(make_world(make_pod(spec_hash="older"), assessment=HELD)).remove == ()

"""From a run's observed world to a plan: one Pod, at most once, for as long as its verdict stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from make_domain import NOW
from make_world import READY, denied, draft, make_assessment, make_pod, make_run_world

from skillwarden.domain.assess import Failure, Job
from skillwarden.domain.conditions import Status
from skillwarden.domain.decide import Ensure
from skillwarden.domain.decide_run import decide_run
from skillwarden.domain.policy import Action
from skillwarden.domain.skill import Mode
from skillwarden.domain.verdict import ComplianceReason
from skillwarden.domain.world import ObservedPod, PodPhase, RunPhase, Surroundings

NO_VERDICT = denied(ComplianceReason.NO_VERDICT)
AWAITING = denied(ComplianceReason.APPROVAL_REQUIRED, Action.REQUIRE_APPROVAL)
INVALID = draft("Accepted", "InvalidPackage", Status.FALSE, "a URL")
UNRESOLVABLE = draft("Resolved", "Unresolvable", Status.FALSE, "no such version")


@pytest.mark.parametrize(
    ("sentence", "changes", "phase", "reason", "words"),
    [
        ("all is there", {}, "Pending", "Starting", "starts"),
        (
            "its Pod was refused",
            {"launch_failure": Failure("QuotaExceeded", "too many")},
            "Pending",
            "Starting",
            "too many",
        ),
        (
            "there is no skill",
            {"assessment": None, "accepted": draft("Accepted", "SkillNotFound", Status.FALSE, "no Skill x")},
            "Pending",
            "Waiting",
            "no Skill x",
        ),
        ("the skill is a Service", {"skill_mode": Mode.SERVICE}, "Failed", "NotAllowed", "mode Task"),
        ("the skill is suspended", {"suspended": True}, "Pending", "Waiting", "suspended"),
        ("the skill is denied", {"assessment": make_assessment(denied())}, "Failed", "NotAllowed", "Denied"),
        (
            "the skill awaits approval",
            {"assessment": make_assessment(AWAITING)},
            "Pending",
            "Waiting",
            "judged so",
        ),
        (
            "there is no verdict",
            {"assessment": make_assessment(NO_VERDICT)},
            "Pending",
            "Waiting",
            "judged so",
        ),
        (
            "the skill is invalid",
            {"assessment": make_assessment(None, accepted=INVALID)},
            "Failed",
            "NotAllowed",
            "a URL",
        ),
        (
            "the skill's source does not answer",
            {"assessment": make_assessment(None, accepted=INVALID, retry=True)},
            "Pending",
            "Waiting",
            "judged so",
        ),
        (
            "the skill cannot be resolved",
            {"assessment": make_assessment(None, resolved=UNRESOLVABLE)},
            "Failed",
            "NotAllowed",
            "no such version",
        ),
        (
            "the depot does not answer",
            {"surroundings": replace(READY, artefacts=Failure("Starting", "depot is away", retryable=True))},
            "Pending",
            "Waiting",
            "depot is away",
        ),
        (
            "an artefact is another",
            {"surroundings": replace(READY, artefacts=Failure("InstallFailed", "wrong hash"))},
            "Failed",
            "InstallFailed",
            "wrong hash",
        ),
        ("it ran, and its Pod is gone", {"phase": RunPhase.RUNNING}, "Failed", "PodLost", "demo-1"),
    ],
)
def test_without_a_pod_when(
    sentence: str, changes: dict[str, Any], phase: str, reason: str, words: str
) -> None:
    plan = decide_run(make_run_world(**changes))
    assert (plan.phase, plan.complete.reason) == (phase, reason)
    assert words in plan.complete.message
    assert plan.launch == (reason == "Starting")
    assert plan.complete.status is (Status.FALSE if phase == "Failed" else Status.UNKNOWN)


def test_a_run_is_launched_only_when_the_depot_holds_all_and_isolation_is_asked_for_first() -> None:
    plan = decide_run(make_run_world(surroundings=Surroundings()))
    assert (plan.launch, plan.fetch, plan.ensure) == (False, True, tuple(Ensure))
    plan = decide_run(make_run_world())
    assert (plan.launch, plan.fetch, plan.ensure) == (True, False, ())


def test_a_run_that_waits_says_what_would_bring_it_further() -> None:
    assert decide_run(make_run_world(assessment=make_assessment(None, job=Job.SCAN))).job is Job.SCAN


@pytest.mark.parametrize(
    ("sentence", "pod", "changes", "phase", "reason", "removed"),
    [
        ("it starts", {"phase": PodPhase.PENDING}, {}, "Pending", "Starting", False),
        ("it runs", {}, {}, "Running", "Running", False),
        ("it was tampered with", {"tampered": True}, {}, "Failed", "PodLost", True),
        ("it is being deleted", {"deleting": True}, {}, "Failed", "PodLost", False),
        ("its skill is gone", {}, {"assessment": None}, "Failed", "NotAllowed", True),
        ("its skill is denied", {}, {"assessment": make_assessment(denied())}, "Failed", "NotAllowed", True),
        ("its verdict is void", {}, {"assessment": make_assessment(None)}, "Failed", "NotAllowed", True),
        (
            "its verdict is held",
            {},
            {"assessment": make_assessment(NO_VERDICT, hold=True)},
            "Running",
            "Running",
            False,
        ),
        ("its content is another", {"content_digest": "sha256:x"}, {}, "Failed", "Superseded", True),
        ("its lock is another", {"lock_digest": "sha256:x"}, {}, "Failed", "Superseded", True),
        ("its command is another", {"invocation_digest": "sha256:x"}, {}, "Failed", "Superseded", True),
        (
            "an earlier operator launched it",
            {"invocation_digest": ""},
            {"assessment": make_assessment(invocation_digest="sha256:x")},
            "Running",
            "Running",
            False,
        ),
        (
            "its content is another and going",
            {"content_digest": "x", "deleting": True},
            {},
            "Failed",
            "Superseded",
            False,
        ),
        (
            "the lock is made anew",
            {},
            {"assessment": make_assessment(None, lock=None, hold=True, fallen={"sha256:other": "Banned"})},
            "Running",
            "Running",
            False,
        ),
        ("its skill is suspended", {}, {"suspended": True}, "Running", "Running", False),
    ],
)
def test_with_a_pod_when(
    sentence: str, pod: dict[str, Any], changes: dict[str, Any], phase: str, reason: str, removed: bool
) -> None:
    plan = decide_run(make_run_world(make_pod("demo-1", **pod), **changes))
    assert (plan.phase, plan.complete.reason) == (phase, reason)
    assert [item.uid for item in plan.remove] == (["uid-demo-1"] if removed else [])
    assert not plan.launch


def test_what_runs_stays_isolated() -> None:
    plan = decide_run(make_run_world(make_pod("demo-1"), surroundings=Surroundings()))
    assert plan.ensure == (Ensure.DEFAULT_DENY, Ensure.NETWORK_POLICY)


def ended(**changes: Any) -> ObservedPod:
    return make_pod("demo-1", **{"phase": PodPhase.FAILED, "ready": False, **changes})


@pytest.mark.parametrize(
    ("sentence", "pod", "reason", "words"),
    [
        ("it ended well", ended(phase=PodPhase.SUCCEEDED, exit_code=0), "Succeeded", "exit code 0"),
        ("it failed", ended(exit_code=7, reason="Error"), "Failed", "exit code 7."),
        ("it was evicted", ended(reason="Evicted"), "Failed", "no exit code: Evicted"),
        ("it ran too long", ended(reason="DeadlineExceeded", exit_code=137), "TimedOut", "timeoutSeconds"),
        ("it was killed for its memory", ended(reason="OOMKilled", exit_code=137), "OutOfMemory", "memory"),
        ("a child of it was", ended(reason="OOMKilled", exit_code=1), "Failed", "ended with exit code 1."),
        (
            "its command does not exist",
            ended(reason="StartError", exit_code=128, message="exec: black: not found"),
            "Failed",
            "could not be started: exec: black: not found. See spec.entrypoint.command",
        ),
        ("it was never prepared", ended(init_failure="wrong hash"), "InstallFailed", "wrong hash"),
        ("its node only walks", ended(phase=PodPhase.SUCCEEDED, simulated=True), "Simulated", "not really"),
        ("it ended before its Pod did", ended(phase=PodPhase.RUNNING, exit_code=0), "Succeeded", "code 0"),
    ],
)
def test_a_run_ends_so_when(sentence: str, pod: ObservedPod, reason: str, words: str) -> None:
    plan = decide_run(make_run_world(pod))
    assert plan.complete.reason == reason
    assert words in plan.complete.message
    assert plan.collect is pod
    assert plan.remove == ()
    good = reason == "Succeeded"
    assert plan.phase is (RunPhase.SUCCEEDED if good else RunPhase.FAILED)
    assert plan.complete.status is (Status.TRUE if good else Status.FALSE)


@pytest.mark.parametrize(
    ("sentence", "ttl", "age", "deleted", "revisit"),
    [
        ("has no time to live", None, 9999, False, None),
        ("is younger than that", 60, 59, False, 1),
        ("is as old", 60, 60, True, None),
        ("lives no longer than its end", 0, 0, True, None),
    ],
)
def test_a_run_that_ended_and(
    sentence: str, ttl: int | None, age: int, deleted: bool, revisit: int | None
) -> None:
    world = make_run_world(
        make_pod("demo-1", tampered=True),
        phase=RunPhase.SUCCEEDED,
        finished_at=NOW - timedelta(seconds=age),
        ttl_seconds=ttl,
    )
    plan = decide_run(world)
    assert plan.delete_run is deleted
    assert plan.revisit_at == (None if revisit is None else NOW + timedelta(seconds=revisit))
    assert plan.phase is RunPhase.SUCCEEDED
    assert not plan.launch


@pytest.mark.parametrize("phase", list(RunPhase))
def test_other_pods_that_claim_to_be_the_runs_go(phase: RunPhase) -> None:
    strays = (make_pod("stray"), make_pod("going", deleting=True))
    plan = decide_run(make_run_world(None, phase=phase, strays=strays))
    assert [item.name for item in plan.remove] == ["stray"]


@pytest.mark.parametrize("phase", [RunPhase.SUCCEEDED, RunPhase.FAILED])
@pytest.mark.parametrize(
    ("pod", "removed"),
    [
        ({}, True),
        ({"phase": PodPhase.PENDING}, True),
        ({"phase": PodPhase.SUCCEEDED, "exit_code": 0}, False),
        ({"exit_code": 0}, False),
        ({"deleting": True}, False),
    ],
    ids=["runs", "is pending", "ended", "its container ended", "goes"],
)
def test_a_pod_that_turns_up_after_its_runs_end_is_removed(
    phase: RunPhase, pod: dict[str, Any], removed: bool
) -> None:
    """Made by a request whose answer was lost: the run ended without it, and nobody judges it any more."""
    plan = decide_run(make_run_world(make_pod("demo-1", **pod), phase=phase))
    assert [item.name for item in plan.remove] == (["demo-1"] if removed else [])
    assert plan.phase is phase


def test_a_run_that_ended_is_never_launched_again() -> None:
    for phase in (RunPhase.SUCCEEDED, RunPhase.FAILED):
        assert not decide_run(make_run_world(None, phase=phase)).launch
    assert not decide_run(make_run_world(None, phase=RunPhase.RUNNING)).launch

"""A full disk and a clock that jumps: said clearly, never a pass, and over when the cause is."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from faults_support import make_service
from operator_world import Client, World, condition, make_advisory, make_policy, settled

from skillwarden.kube.kinds import Kind
from skillwarden.runtime.configured import utc_now

SMALL = 1024 * 1024


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL},nr_inodes=4096", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Use up a disk to its last byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return ballast
    raise AssertionError("the disk has no end")


def crowd(folder: Path) -> Path:
    """Use up a disk's last file, so that not even an empty folder can be made."""
    ballast = folder / "ballast"
    ballast.mkdir()
    for number in itertools.count():
        try:
            (ballast / str(number)).touch()
        except OSError:
            return ballast
    raise AssertionError("the disk has no end")


async def test_a_resolver_without_disk_says_so_and_recovers(
    world: World, user: Client, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.index.wheel("disky")
    ballast = fill(tiny)
    monkeypatch.setattr("tempfile.tempdir", str(tiny))
    await user.apply(make_service("disky"))
    status = await user.until_skill("demo", Resolved="ResolverUnavailable")
    assert condition(status, "Resolved")["message"]
    assert await user.pods() == []
    ballast.unlink()
    await user.until_skill("demo", Ready="Ready")


async def test_a_scanner_without_disk_is_an_error_and_recovers(
    world: World, user: Client, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is there, and what ran is stopped: what cannot be scanned is not allowed."""
    world.index.wheel("scanned")
    bands = ("Critical", "High", "Medium", "Low", "Unknown")
    unasked = {"typosquat": "Allow", "vulnerability": dict.fromkeys(bands, "Allow")}
    await user.apply(make_policy(findings=unasked), make_service("scanned"))
    await user.until_skill("demo", Ready="Ready")
    # What only fills up keeps no scanner from its work: they write nothing but folders.
    ballast = crowd(tiny)
    monkeypatch.setattr("tempfile.tempdir", str(tiny))
    # Other advisories: one that was started ahead, with a folder of its own, is of no use.
    world.advisories(make_advisory("scanned", fixed="0.5"))
    await user.apply(make_policy())
    status = await user.until_skill("demo", Resolved="Locked", Scanned="ScannerError")
    assert "No space left" in condition(status, "Scanned")["message"]
    await user.until(user.pods, lambda pods: not pods, "what ran is stopped")
    shutil.rmtree(ballast)
    await user.until_skill("demo", Ready="Ready")


async def test_a_depot_without_disk_holds_the_launch_until_there_is_room(
    world: World, user: Client, tiny: Path
) -> None:
    world.index.wheel("heavy", code="# " + hashlib.sha256(b"heavy").hexdigest() * 100)
    depot = world.root / "depot"
    subprocess.run(["cp", "-a", f"{depot}/.", str(tiny)], check=True)
    ballast = fill(tiny)
    subprocess.run(["mount", "--bind", str(tiny), str(depot)], check=True)
    try:
        await user.apply(make_service("heavy"))

        def stuck(status: dict[str, object]) -> bool:
            conditions = status.get("conditions") or []
            assert isinstance(conditions, list)
            return any(
                (item["reason"] in {"Starting", "ResolverUnavailable"}) and "No space" in item["message"]
                for item in conditions
            )

        async def look() -> dict[str, object]:
            return (await user.get(Kind.SKILL, "demo")).get("status") or {}

        status = await user.until(look, stuck, "it says that the disk is full")
        assert await user.pods() == []
        assert condition(status, "Ready")["status"] != "True"
        ballast.unlink()
        await user.until_skill("demo", Ready="Ready")
    finally:
        subprocess.run(["umount", "-l", str(depot)], check=True)


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "forward"])
async def test_what_runs_goes_on_and_what_is_new_is_judged_when_the_clock_jumps_an_hour(
    hours: int, world: World, user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.core is not None
    await user.apply(make_policy(scanning={"maxAdvisoryAge": "48h"}), make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")
    [before] = await user.until_pods(1, ready=True)

    def jumped() -> datetime:
        return utc_now() + timedelta(hours=hours)

    tools = world.core._parts.skills._tools
    for part in (tools.judge, tools.stages, tools.notifier):
        monkeypatch.setattr(part, "_now", jumped)
    monkeypatch.setattr(world.core._parts.skills, "_tools", tools)
    await user.apply(make_service("greeter", name="later"))
    if hours < 0:
        # The advisories seem to be of the future: nobody knows how old they are, so nothing new is launched.
        status = await user.until_skill("later", Scanned="AdvisoriesStale")
        assert "future" in str(status["conditions"])
    else:
        await user.until_skill("later", Ready="Ready")
    await settled(world)
    pods = await user.until_pods(1 if hours < 0 else 2, ready=True)
    assert before["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in pods}
    monkeypatch.undo()
    await user.apply(make_service("greeter", name="last"))
    await user.until_skill("last", Ready="Ready")
    await user.until_pods(len(pods) + 1, ready=True)

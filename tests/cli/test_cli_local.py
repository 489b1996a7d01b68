"""``skillwarden local`` and the clean-up of ``skillwarden demo``: real processes, in folders of their own."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_support import DEADLINE, Ran, cli, spawn, start, until


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path (a unix socket's is bounded), with nothing left running in it."""
    folder = Path(tempfile.mkdtemp(prefix="skw-"))
    yield folder
    for root in (folder, *folder.iterdir()):
        if (root / "pid").exists():
            cli("local", "down", "--dir", root)
    shutil.rmtree(folder)


def local(verb: str, folder: Path, *options: str) -> Ran:
    return cli("local", verb, "--dir", folder, *options)


def below(pid: int) -> set[int]:
    """Return every process that descends from one."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    todo = [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found |= set(children)
        todo += children
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_up_status_and_down_of_two_clusters_at_once(place: Path) -> None:
    one, two = place / "one", place / "two"
    first = spawn("local", "up", "--dir", one)
    assert first.code == 0, first.err
    exported = dict(line.removeprefix("export ").split("=", 1) for line in first.out.splitlines())
    assert set(exported) == {
        "KUBECONFIG",
        "SKILLWARDEN_DEPOT__UNIX_SOCKET",
        "SKILLWARDEN_DEPOT__KEY_FILE",
    }
    assert all(Path(path).exists() for path in exported.values())
    assert Path(exported["SKILLWARDEN_DEPOT__KEY_FILE"]).stat().st_mode & 0o077 == 0
    assert Path(exported["KUBECONFIG"]).stat().st_mode & 0o077 == 0

    again = local("up", one)
    assert (again.code, again.out) == (0, first.out)
    assert "runs already" in again.err

    assert local("up", two).code == 0
    status = local("status", two, "--format", "json")
    assert status.code == 0
    assert status.json["running"] is True
    assert status.json["kubeconfig"] == str(two / "cluster" / "kubeconfig")
    assert (two / "local.log").stat().st_size > 0
    unknown = cli("explain", "skill/none", "--kubeconfig", exported["KUBECONFIG"])
    assert (unknown.code, "there is no Skill default/none" in unknown.err) == (2, True)

    assert local("down", one).code == 0
    assert local("status", one, "--format", "json").json["running"] is False
    assert local("status", one).code == 1
    assert local("status", two).code == 0, "the other cluster went down with it"
    down_again = local("down", one)
    assert (down_again.code, down_again.err) == (0, "It does not run.\n")
    assert local("down", two).code == 0


def test_a_signal_to_serve_ends_every_child(place: Path) -> None:
    process = start("local", "serve", "--dir", place)
    until(lambda: (place / "ready").exists() or process.poll() is not None, "it is ready")
    children = below(process.pid)
    assert len(children) >= 2, "depot and operator are processes of their own"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    until(lambda: not any(alive(pid) for pid in children), "every child has ended")
    assert not (place / "ready").exists()


def test_a_signal_during_the_start_ends_every_child(place: Path) -> None:
    process = start("local", "serve", "--dir", place)
    until(lambda: len(below(process.pid)) >= 1 or process.poll() is not None, "the first child runs")
    children = below(process.pid)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=DEADLINE)
    until(lambda: not any(alive(pid) for pid in children), "every child has ended")
    assert not (place / "ready").exists()


def test_a_cluster_whose_operator_cannot_start_says_so_and_leaves_nothing(place: Path) -> None:
    ran = spawn("local", "up", "--dir", place, SKILLWARDEN_WORKERS="many")
    assert ran.code == 1, ran.err
    assert "SKILLWARDEN_WORKERS" in ran.err
    assert str(place / "local.log") in ran.err
    assert local("status", place).code == 1


def test_a_demo_that_is_ended_leaves_no_cluster_behind(place: Path, repo_root: Path) -> None:
    demo = start("demo", "--manifests", repo_root / "manifests", TMPDIR=str(place))
    marks = "skillwarden-demo-*/ready"
    until(lambda: list(place.glob(marks)) or demo.poll() is not None, "its cluster is up")
    assert demo.poll() is None, demo.communicate()
    (ready,) = place.glob(marks)
    pid = int((ready.parent / "pid").read_text())
    processes = {pid, *below(pid)}
    demo.send_signal(signal.SIGTERM)
    demo.communicate(timeout=DEADLINE)
    assert demo.returncode not in {0, None}
    until(lambda: not any(alive(item) for item in processes), "its cluster has ended")
    assert list(place.iterdir()) == []

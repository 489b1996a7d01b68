"""What a canary Pod runs, against real sockets and real limits."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from skillwarden.sandbox import canary

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "_PAUSE_SECONDS", 0.01)


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server((HOST, 0), backlog=128) as server:
        yield server, server.getsockname()[1]


def closed_port() -> int:
    with listening() as (_, port):
        return port


def test_what_listens_is_reached_at_once() -> None:
    with listening() as (_, port):
        assert canary.reached(HOST, port, until_blocked=False)


def test_what_does_not_listen_is_not_reached_however_long_it_is_tried() -> None:
    assert not canary.reached(HOST, closed_port(), until_blocked=False, seconds=0.2)
    assert not canary.reached(HOST, closed_port(), until_blocked=True)


def test_what_stays_open_is_open() -> None:
    with listening() as (_, port):
        assert canary.reached(HOST, port, until_blocked=True, seconds=0.3)


def test_a_policy_that_takes_moments_to_hold_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([True, True, False, True, False, False, False, False, True])
    monkeypatch.setattr(canary, "connects", lambda *_, **__: next(seen))
    assert not canary.reached(HOST, 1, until_blocked=True)
    assert next(seen) is True


def test_threads_are_counted_up_to_a_limit() -> None:
    before = threading.active_count()
    assert canary.pids_limit(5) is None
    assert threading.active_count() == before


def test_the_kernels_refusal_ends_the_count() -> None:
    """A user's limit stands in for a cgroup's: both are the kernel's. Root has none, so it is another."""
    code = (
        "import os, resource; from skillwarden.sandbox.canary import pids_limit;"
        "from skillwarden.localcluster.node.procs import tasks_of;"
        "os.getuid() or os.setuid(64999);"
        "resource.setrlimit(resource.RLIMIT_NPROC, (tasks_of(os.getuid()) + 40,) * 2); print(pids_limit())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert 1 < int(answer.stdout) <= 60


@pytest.mark.parametrize(("expected", "keys"), [("reach", {"reached"}), ("blocked", {"reached", "pids"})])
def test_what_it_saw_is_its_termination_message(
    expected: str, keys: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "pids_limit", lambda: 7)
    monkeypatch.setattr(canary, "reached", partial(canary.reached, seconds=0.2))
    message = tmp_path / "message"
    with listening() as (_, port):
        assert canary.main([expected, HOST, str(port)], message=message) == 0
    record = json.loads(message.read_bytes())
    assert record["reached"] is True
    assert record.keys() == keys

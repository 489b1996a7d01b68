"""The cluster that the suite runs against: one that is given, or the embedded one."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from e2e_support import Target, make_agent, make_namespace, make_policy

_NUMBERS = itertools.count(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, aloud, what only a real cluster can show."""
    for mark in item.iter_markers("real"):
        if not item.config.getoption("--e2e-kubeconfig"):
            pytest.skip(f"needs a real cluster (make e2e): {mark.args[0]}")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest, repo_root: Path) -> Iterator[Target]:
    given = request.config.getoption("--e2e-kubeconfig")
    if given:
        values = request.config.getoption("--e2e-values")
        yield Target(Path(given), embedded=False, environment={}, values=Path(values) if values else None)
        return
    folder = Path(tempfile.mkdtemp(prefix="skw-e2e-"))
    advisories = repo_root / "manifests" / "samples" / "advisories"
    try:
        _skillwarden("advisories", "sync", "--from", str(advisories), "--into", str(folder / "advisories"))
        said = _skillwarden("local", "up", "--dir", str(folder))
        environment = dict(line.removeprefix("export ").split("=", 1) for line in said.splitlines())
        yield Target(Path(environment["KUBECONFIG"]), embedded=True, environment=environment)
    finally:
        _skillwarden("local", "down", "--dir", str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _skillwarden(*arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SKILLWARDEN_")}
    done = subprocess.run(
        [sys.executable, "-m", "skillwarden", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=kept,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def namespace(target: Target) -> Iterator[str]:
    """A namespace with an agent and a policy of its own."""
    name = f"e2e-{os.getpid()}-{next(_NUMBERS)}"
    target.apply(make_namespace(name))
    target.apply(make_agent(name), make_policy(name))
    yield name
    target.must("delete", "namespace", name, "--wait=false")

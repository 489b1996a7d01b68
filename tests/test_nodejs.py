"""Node and npm of the wheel: they are found, and what the operator's environment holds is not passed on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from skillwarden import nodejs
from skillwarden.domain.errors import UnavailableError
from skillwarden.nodejs import find_node_tools, npm_environment


def test_npm_runs_with_nothing_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9/evil/")
    monkeypatch.setenv("NODE_OPTIONS", "--require=/nonexistent.js")
    environment = npm_environment(home=tmp_path, cache=tmp_path / "cache")
    assert {"NPM_CONFIG_REGISTRY", "NODE_OPTIONS"}.isdisjoint(environment)
    command = find_node_tools().npm(
        "config", "get", "registry", "ignore-scripts", "allow-git", "allow-remote"
    )
    done = subprocess.run(
        command, env=dict(environment), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "evil" not in done.stdout
    assert {"ignore-scripts=true", "allow-git=none", "allow-remote=none"} <= set(done.stdout.split())


def test_a_missing_wheel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodejs, "find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match="not installed"):
        find_node_tools()

"""A package index on loopback and commands run against it, in this process or in one of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "operator"))
sys.path.insert(0, str(Path(__file__).parent))

from cli_support import Desk, ServedIndex


@pytest.fixture(scope="session")
def served_index() -> Iterator[ServedIndex]:
    with ServedIndex() as served:
        yield served


@pytest.fixture(autouse=True)
def own_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served_index: ServedIndex
) -> Iterator[None]:
    """No setting and no kubeconfig of whoever runs the tests; the loopback index; a state of its own."""
    for name in list(os.environ):
        if name.startswith("SKILLWARDEN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SKILLWARDEN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SKILLWARDEN_INDEX_URL", served_index.index.url)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("COLUMNS", raising=False)
    served_index.reset()
    yield
    served_index.reset()


@pytest.fixture
def desk(tmp_path: Path, served_index: ServedIndex) -> Desk:
    return Desk(tmp_path, served_index)

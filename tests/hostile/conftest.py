"""Makes the builders of other areas importable here; commands run against a loopback index."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
for area in ("operator", "cli", "domain", "services"):
    sys.path.insert(0, str(TESTS / area))
sys.path.insert(0, str(Path(__file__).parent))

from cli_support import Desk, ServedIndex  # noqa: E402 - the path comes first


@pytest.fixture(scope="session")
def served_index() -> Iterator[ServedIndex]:
    with ServedIndex() as served:
        yield served


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served_index: ServedIndex) -> Desk:
    """A folder and a command of their own: no setting and no kubeconfig of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("SKILLWARDEN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SKILLWARDEN_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SKILLWARDEN_INDEX_URL", served_index.index.url)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.setenv("HOME", str(tmp_path))
    served_index.reset()
    return Desk(tmp_path, served_index)

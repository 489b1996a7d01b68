"""Settings are taken as they are meant, wherever the operator is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from skillwarden.runtime.settings import Settings


def test_folders_are_those_of_where_the_operator_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKILLWARDEN_STATE_DIR", "state")
    monkeypatch.setenv("SKILLWARDEN_INDEX_NETRC", "secrets/netrc")
    settings = Settings()
    assert settings.state_dir == tmp_path / "state"
    assert settings.advisories == tmp_path / "state" / "advisories"
    assert settings.index_netrc == tmp_path / "secrets" / "netrc"

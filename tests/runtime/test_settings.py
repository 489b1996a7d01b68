"""Settings are taken as they are meant, wherever the operator is started."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from skillwarden.runtime import settings as settings_module
from skillwarden.runtime.settings import DepotSettings, Settings


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


def test_a_depots_name_that_is_not_known_yet_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restarted node's DNS comes up beside the operator; only the resolver's answers are made up here."""
    answers = [socket.gaierror(-3, "Temporary failure in name resolution")] * 2
    look_up = socket.getaddrinfo

    def resolver(host: str, *rest: Any, **options: Any) -> Any:
        if answers:
            raise answers.pop()
        return look_up("127.0.0.1", *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setattr(settings_module, "LOOKUP_PAUSE", 0.01)
    assert DepotSettings(sandbox_host="depot.example").sandbox_address() == "127.0.0.1"
    assert not answers


def test_a_depots_name_that_nobody_knows_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "LOOKUP_SECONDS", 0.0)
    with pytest.raises(
        ValueError, match=r"depot\.invalid, which cannot be looked up.*Set it to the IP address"
    ):
        DepotSettings(sandbox_host="depot.invalid").sandbox_address()

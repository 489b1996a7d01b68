"""Fixtures of the depot's tests: a store, an index on loopback, a served depot and its client."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "artefact"))
sys.path.insert(0, str(Path(__file__).parent))

from depot_support import SECRET, Index, running_depot, running_index

from skillwarden.depot.client import DepotClient
from skillwarden.depot.store import DepotStore
from skillwarden.depot.tokens import operator_token


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> DepotStore:
    return DepotStore(tmp_path / "state")


@pytest.fixture
async def index() -> AsyncIterator[Index]:
    async with running_index() as index:
        yield index


@pytest.fixture
async def depot_url(tmp_path: Path) -> AsyncIterator[str]:
    async with running_depot(tmp_path / "state") as url:
        yield url


@pytest.fixture
async def client(depot_url: str) -> AsyncIterator[DepotClient]:
    async with DepotClient(depot_url, operator_token=operator_token(SECRET)) as client:
        yield client

"""An API server that charts are installed on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from skillwarden.localcluster.apiserver import ApiServer, ThreadedApiServer, make_certificate

# The world of the operator's tests: its service account is tried in it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "operator"))


@pytest.fixture
def api_server(tmp_path: Path) -> Iterator[ThreadedApiServer]:
    server = ApiServer(token="a-token-for-tests", certificate=make_certificate(tmp_path))
    with ThreadedApiServer(server) as threaded:
        yield threaded

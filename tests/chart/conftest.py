"""The generator of the chart's copies as a module, and an API server that charts are installed on."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from skillwarden.localcluster.apiserver import ApiServer, ThreadedApiServer, make_certificate

# The world of the operator's tests: its service account is tried in it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "operator"))


@pytest.fixture(scope="session")
def generate(repo_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart_generate", repo_root / "charts" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["chart_generate"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def api_server(tmp_path: Path) -> Iterator[ThreadedApiServer]:
    server = ApiServer(token="a-token-for-tests", certificate=make_certificate(tmp_path))
    with ThreadedApiServer(server) as threaded:
        yield threaded

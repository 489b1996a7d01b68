"""What every test shares: how the markers skip, and hypothesis' profile."""

from __future__ import annotations

import ast
import functools
import gc
import importlib.util
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

from skillwarden.runtime.metrics import Metrics
from skillwarden.source.python_code import parse

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# The same examples each time: the gate judges a change, not luck.
# HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile(
    "default",
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", parent=settings.get_profile("default"), derandomize=False, max_examples=1000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@functools.cache
def index_answers() -> bool:
    """Whether the package index that the tools are configured for answers at all."""
    command = [sys.executable, "-m", "pip", "index", "versions", "six"]
    try:
        probe = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False
    return probe.returncode == 0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("e2e")
    group.addoption("--e2e-kubeconfig", metavar="FILE", help="of the cluster that tests/e2e run against")
    group.addoption("--e2e-values", metavar="FILE", help="of the release in it")
    contract = parser.getgroup("contract", "the cluster-facing part on a real API server")
    contract.addoption(
        "--kubeconfig", metavar="FILE", help="of a real API server, to run what the embedded one is asked"
    )


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what was collected, a million objects, out of every later look for garbage."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    alone = item.get_closest_marker("embedded_only")
    if alone and item.config.getoption("--kubeconfig"):
        pytest.skip(f"about the embedded cluster only: {alone.args[0]}")
    if item.get_closest_marker("index") and not index_answers():
        pytest.skip("no package index answers here")
    if item.get_closest_marker("shared") and not SHARED.is_dir():
        pytest.skip("the neighbouring folder ../shared is absent")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture
def watched_metrics() -> Metrics:
    """An operator's metrics, with everything that is shown whenever it is asked for."""
    metrics = Metrics()
    metrics.watch_queue(lambda: 0)
    metrics.watch_advisories(lambda: 0.0, lambda: "")
    metrics.watch_leader(lambda: True)
    metrics.watch_skills(Counter, Counter)
    metrics.watch_isolation(lambda: None, lambda: None)
    return metrics


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    return SHARED


@pytest.fixture(scope="session")
def load_script(repo_root: Path) -> Callable[[str], ModuleType]:
    """Load a script of the repository, by its path, as a module."""

    def load(path: str) -> ModuleType:
        name = path.removesuffix(".py").replace("/", "_")
        spec = importlib.util.spec_from_file_location(name, repo_root / path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def generate(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """The generator of the chart's copies, which renders the chart, as a module."""
    return load_script("charts/generate.py")


@pytest.fixture(scope="session")
def tree_of() -> Callable[[Path], ast.Module]:
    """The syntax tree of a file of Python, as the product parses it: that survives CPython's miscount."""

    def tree(path: Path) -> ast.Module:
        found = parse(path.read_text(encoding="utf-8"))
        assert found is not None, path
        return found

    return tree

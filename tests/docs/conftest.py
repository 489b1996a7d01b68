"""The generator of the reference as a module."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def generate(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("docs/generate.py")

"""Makes the builders of domain values importable here, too; tests are no packages (import mode importlib)."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent

sys.path.insert(0, str(TESTS / "domain"))
sys.path.insert(0, str(TESTS / "services"))

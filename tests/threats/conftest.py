"""Makes the table of defences, and what other folders have for whole worlds, importable."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("artefact", "operator", "threats"):
    sys.path.insert(0, str(Path(__file__).parent.parent / folder))

"""Measures what the design promises in numbers; `make bench` runs it, docs/dev/benchmarks.md explains it."""

import sys
from pathlib import Path

# The world of the operator's tests is the one that the operator is measured in.
for area in ("operator", "services"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / area))

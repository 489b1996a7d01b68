"""Reads artefacts in a process of its own: ``python -I -B -m skillwarden.artefact [pypi|npm NAME FILE]...``.

Prints one JSON object a line, in the order asked: what was found by folder, or ``{"unreadable": reason}``. It
takes its limits before it opens a file, so that no archive can take more of the machine than this; one that
ends the process leaves the lines of those before it.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from ..domain.artefact_facts import ArtefactFacts
from .archive import UnreadableArchiveError
from .tarball import read_npm
from .wheel import read_wheel

MEMORY_BYTES = 1 << 30
CPU_SECONDS = 120


def main(arguments: list[str]) -> int:
    """Set the limits, read the files, print what was found."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for place in range(0, len(arguments), 3):
        ecosystem, name, file = arguments[place : place + 3]
        sys.stdout.write(json.dumps(_record(ecosystem, name, Path(file))) + "\n")
        sys.stdout.flush()
    return 0


def _record(ecosystem: str, name: str, file: Path) -> dict[str, Any]:
    try:
        found = _read(ecosystem, name, file)
    except UnreadableArchiveError as error:
        return {"unreadable": str(error)}
    except MemoryError:
        return {"unreadable": f"reading it takes more than {MEMORY_BYTES >> 20} MiB"}
    return {"folders": {folder: facts.to_json() for folder, facts in found.items()}}


def _read(ecosystem: str, name: str, file: Path) -> dict[str, ArtefactFacts]:
    match ecosystem:
        case "npm":
            return read_npm(file)
        case "pypi":
            return {"": read_wheel(file, name)}
        case other:
            raise SystemExit(f"{other} is neither pypi nor npm")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

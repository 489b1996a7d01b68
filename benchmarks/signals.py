"""What signs of a bad package cost to look for: in a Node closure of 250, in a name, in folders of skills."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from pathlib import Path

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.domain.artefact_facts import ArtefactFacts, LockFacts
from skillwarden.domain.finding import ScannerName, ScanState
from skillwarden.domain.first_seen import FirstSeen
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.malware import LockDetections
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.scan.factory import default_scanners
from skillwarden.scan.runner import ScanRunner
from skillwarden.scan.toplist import top_names
from skillwarden.scan.typosquat import resemblance

from .advisories import generate, sync
from .measure import Measurement, peak_mebibytes, percentile, run_command

ARTEFACTS, RECORDS, FOLDERS, NAMES, ROUNDS = 250, 20_000, 20, 500, 5
#: The scanners that are ours; npm's own auditor is a process of its own, as pip-audit is (see `lookup`).
OURS = frozenset({ScannerName.OSV, ScannerName.TYPOSQUAT, ScannerName.CONFUSION, ScannerName.ARTEFACT})
SKILL = """---
name: folder-{number}
description: Reads a table and says what is in it.
---
Run `python scripts/main.py table.csv`.
"""
SCRIPT = """import csv
import sys

import requests
import yaml

print(len(list(csv.reader(open(sys.argv[1])))), requests.__name__, yaml.__name__)
"""


def measure() -> list[Measurement]:
    """Scan in a process of its own, ask about names here, and import folders as people do."""
    with tempfile.TemporaryDirectory(prefix="skillwarden-bench-") as folder:
        root = Path(folder)
        generate(root / "dump", RECORDS)
        sync(root / "dump", root / "index")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, first, peak = pool.apply(scan_closure, (root / "index",))
        imported = import_folders(root / "skills")
    names = per_name()
    return [
        Measurement(
            f"scan of {ARTEFACTS} locked npm packages, artefacts read before",
            seconds,
            "s",
            1,
            note=f"median; the first {first:.2f} s",
        ),
        Measurement("  peak memory of its process", peak, "MiB", 200, note="VmHWM, interpreter and all"),
        Measurement("typosquat check of a name, p99", percentile(names, 0.99), "ms", 1, note="CPU time"),
        Measurement(f"import of {FOLDERS} folders with a SKILL.md", imported, "s", 2, note="the command"),
    ]


def scan_closure(index_folder: Path) -> tuple[float, float, float]:
    """Return the median seconds of a scan, those of the first, and the MiB that this process took at most."""
    names = [*top_names(Ecosystem.NPM)[: ARTEFACTS // 2]]
    # Of a popular name nothing is to be asked.
    names += [f"{name}-in-house" for name in names]
    lock = Lock(
        Platform(node="24"),
        tuple(
            LockedPackage(PackageId.of(Ecosystem.NPM, name, "1.0.0"), Artefact(f"{number}.tgz", "sha512:00"))
            for number, name in enumerate(sorted(names))
        ),
    )
    taken = asyncio.run(_scan(lock, index_folder))
    return percentile(taken, 0.5), taken[0], peak_mebibytes()


async def _scan(lock: Lock, index_folder: Path) -> list[float]:
    async def read_facts(lock: Lock) -> LockFacts:
        return LockFacts({package.id: ArtefactFacts(licence="MIT") for package in lock.packages})

    async def nothing_detected(lock: Lock) -> LockDetections:
        return LockDetections({package.id: () for package in lock.packages})

    async def unasked(_: Lock) -> FirstSeen:
        raise RuntimeError("no index is asked here")

    taken = []
    for _ in range(ROUNDS):
        index = AdvisoryIndex.open(index_folder)
        offered = default_scanners(
            index, read_facts=read_facts, ask_first_seen=unasked, detect_malware=nothing_detected
        )
        scanners = [item for item in offered if item.name in OURS]
        runner = ScanRunner(scanners, deadline_seconds=60, max_concurrency=4)
        started = time.perf_counter()
        result = await runner.scan(lock, advisory_revision=index.revision)
        taken.append(time.perf_counter() - started)
        if len(result.reports) != len(OURS) or any(item.state is ScanState.ERROR for item in result.reports):
            raise RuntimeError(f"a scanner did not answer: {[item.error for item in result.reports]}")
        await runner.close()
        index.close()
    return taken


def per_name() -> list[float]:
    """Return the milliseconds of CPU that each of some names takes, none asked about before."""
    taken = []
    for ecosystem in Ecosystem:
        resemblance("warm", ecosystem)
        for number, name in enumerate(top_names(ecosystem)[-NAMES:]):
            asked = f"{name}{number % 7}x"
            started = time.thread_time()
            resemblance(asked, ecosystem)
            taken.append(1e3 * (time.thread_time() - started))
    return taken


def import_folders(root: Path) -> float:
    """Return the seconds in which the command makes manifests of folders."""
    for number in range(FOLDERS):
        scripts = root / f"folder-{number}" / "scripts"
        scripts.mkdir(parents=True)
        (scripts.parent / "SKILL.md").write_text(SKILL.format(number=number))
        (scripts / "main.py").write_text(SCRIPT)
    return run_command("import", str(root))[0]

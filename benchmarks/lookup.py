"""The advisory look-up of 112 artefacts, beside pip-audit on the same lock and the same data."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from operator_world import make_advisory

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.sync import sync
from skillwarden.domain.finding import ScannerName, ScanState
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.scan.pip_audit import PipAuditScanner
from skillwarden.scan.protocol import packages_of

from .measure import Measurement, percentile

ARTEFACTS = 112
ROUNDS, AUDITS = 20, 3
DUMP = Path(__file__).resolve().parents[2] / "shared" / "advisories"
GENERATED = 20_000


async def measure() -> list[Measurement]:
    """Look the closure up in a fresh index each time, and have pip-audit do the same."""
    with tempfile.TemporaryDirectory(prefix="skillwarden-bench-") as folder:
        index_folder = Path(folder) / "index"
        source, data = (DUMP, "the dump") if DUMP.is_dir() else (generate(Path(folder) / "osv"), "generated")
        report = await sync(source, into=index_folder)
        lock = make_lock(source / "PyPI")
        ours = []
        for _ in range(ROUNDS):
            # Opened anew, so that nothing of the round before is remembered.
            index = AdvisoryIndex.open(index_folder)
            started = time.perf_counter()
            found = index.affecting_many(packages_of(lock, ScannerName.OSV))
            ours.append(1e3 * (time.perf_counter() - started))
            index.close()
        theirs = []
        index = AdvisoryIndex.open(index_folder)
        for _ in range(AUDITS):
            # A new one: it remembers what it was told.
            scanner = PipAuditScanner(lambda: index)
            started = time.perf_counter()
            answer = await scanner.scan(lock)
            theirs.append(1e3 * (time.perf_counter() - started))
            if answer.state is ScanState.ERROR:
                raise RuntimeError(f"pip-audit did not answer: {answer.error}")
        index.close()
    hits = sum(map(len, found.values()))
    records = report.counts[Ecosystem.PYPI].records
    note = f"{data}: {records:,} PyPI records, {hits:,} advisories found"
    median, audit = percentile(ours, 0.5), percentile(theirs, 0.5)
    return [
        Measurement(f"advisory look-up of {len(lock.packages)} artefacts", median, "ms", 15, note=note),
        Measurement(
            "  times faster than pip-audit",
            audit / median,
            "x",
            25,
            at_least=True,
            note=f"pip-audit {audit:.0f} ms against a local endpoint",
        ),
    ]


def make_lock(folder: Path) -> Lock:
    """Return a closure: one half packages that were ever named in an advisory, the other half never.

    Versions are the first ones that a record lists, so that most of the first half is affected.
    """
    versions: dict[str, str] = {}
    for record in read(folder):
        for entry in record.get("affected") or []:
            package = entry.get("package") or {}
            if package.get("ecosystem") == "PyPI":
                name = PackageId.of(Ecosystem.PYPI, package["name"], "1").name
                versions.setdefault(name, next(iter(entry.get("versions") or []), "1.0"))
    hit = random.Random(1).sample(sorted(versions), ARTEFACTS // 2)
    pins = {name: versions[name] for name in hit}
    pins |= {f"free-of-advisories-{number}": "1.0" for number in range(ARTEFACTS - len(pins))}
    return Lock(
        Platform("3.12"),
        tuple(
            LockedPackage(
                PackageId.of(Ecosystem.PYPI, name, version),
                Artefact(f"{name}.whl", f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"),
                (),
                True,
            )
            for name, version in sorted(pins.items())
        ),
    )


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a dump."""
    archive = folder / "all.zip"
    if archive.is_file():
        with zipfile.ZipFile(archive) as dump:
            for name in dump.namelist():
                yield json.loads(dump.read(name))
    else:
        for file in sorted(folder.glob("*.json")):
            yield json.loads(file.read_bytes())


def generate(folder: Path) -> Path:
    """Write a dump of the size of the real one's, for where that is not at hand."""
    (folder / "PyPI").mkdir(parents=True)
    with zipfile.ZipFile(folder / "PyPI" / "all.zip", "w", zipfile.ZIP_DEFLATED) as dump:
        for number in range(GENERATED):
            identity = f"PYSEC-2020-{number}"
            record = make_advisory(
                f"package-{number % (GENERATED // 20)}", id_=identity, fixed=f"{number % 9}.1"
            )
            record["affected"][0]["versions"] = [f"{number % 9}.0.{patch}" for patch in range(20)]
            dump.writestr(f"{identity}.json", json.dumps(record))
    return folder

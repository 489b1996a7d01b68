"""A dump of the size of OSV's for npm: what indexing takes, and whether a look-up notices the size."""

from __future__ import annotations

import json
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.domain.package import Ecosystem, PackageId

from .measure import Measurement, percentile, run_command

RECORDS, SMALL = 229_000, 1_000
ARTEFACTS, ROUNDS = 250, 20
#: Of OSV's records for npm nine in ten are about malware: one package, each version listed.
_VULNERABILITIES = 10
_DETAILS = (
    "The package was found to send what it finds in a build's environment to an address of its own. " * 6
)


async def measure() -> list[Measurement]:
    """Sync a full-size dump in a process of its own; look one closure up in it and in a small one."""
    with tempfile.TemporaryDirectory(prefix="skillwarden-bench-") as folder:
        root = Path(folder)
        packed = generate(root / "large", RECORDS)
        generate(root / "small", SMALL)
        seconds, peak = sync(root / "large", root / "large-index")
        sync(root / "small", root / "small-index")
        closure = [package(number, "1.0.0") for number in range(ARTEFACTS // 2)]
        closure += [
            PackageId.of(Ecosystem.NPM, f"free-{number}", "1.0.0") for number in range(ARTEFACTS // 2)
        ]
        large, small = look_up(root / "large-index", root / "small-index", closure)
    what = f"{RECORDS:,} records, {packed / 2**20:.0f} MiB packed"
    return [
        Measurement("sync of a dump of npm's size", seconds, "s", 300, note=what),
        Measurement("  peak memory of the process that indexes", peak, "MiB", 400, note="ru_maxrss"),
        Measurement(
            f"  look-up of {ARTEFACTS} artefacts in it, over that in {SMALL:,} records",
            large / small,
            "x",
            2,
            note=f"{large:.1f} ms and {small:.1f} ms",
        ),
    ]


def package(number: int, version: str) -> PackageId:
    """Return a package that the record of this number is about."""
    return PackageId.of(Ecosystem.NPM, f"package-{number}", version)


def generate(folder: Path, records: int) -> int:
    """Write a dump; return its bytes."""
    archive = folder / "npm" / "all.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as dump:
        for number in range(records):
            record = make_record(number)
            dump.writestr(f"{record['id']}.json", json.dumps(record))
    return archive.stat().st_size


def make_record(number: int) -> dict[str, Any]:
    """Return a record as OSV's are: malware with the versions listed, or a range with a severity."""
    entry: dict[str, Any] = {"package": {"ecosystem": "npm", "name": package(number, "1.0.0").name}}
    if number % _VULNERABILITIES:
        entry["versions"] = ["1.0.0", f"1.0.{number % 97}", f"{number % 7}.1.0"]
        more: dict[str, Any] = {"id": f"MAL-2024-{number}"}
    else:
        events = [{"introduced": "0"}, {"fixed": f"{1 + number % 7}.2.{number % 13}"}]
        entry["ranges"] = [{"type": "SEMVER", "events": events}]
        vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
        more = {"id": f"GHSA-{number}", "severity": [{"type": "CVSS_V3", "score": vector}]}
        more["aliases"] = [f"CVE-2024-{number}"]
    return {
        "schema_version": "1.7.0",
        "modified": f"2024-0{1 + number % 9}-01T00:00:00Z",
        "published": "2024-01-01T00:00:00Z",
        "summary": f"Malicious code in package-{number} (npm)",
        "details": _DETAILS + str(number),
        "affected": [entry],
        "references": [{"type": "WEB", "url": f"https://advisories.example/{number}"}],
        **more,
    }


def sync(source: Path, into: Path) -> tuple[float, float]:
    """Sync as people do; return seconds and the MiB of the largest process."""
    return run_command("advisories", "sync", "--from", str(source), "--into", str(into))


def look_up(large: Path, small: Path, closure: Sequence[PackageId]) -> tuple[float, float]:
    """Return the median milliseconds of a look-up in each, in turns, in freshly opened indexes."""
    times: dict[Path, list[float]] = {large: [], small: []}
    for _ in range(ROUNDS):
        found = {}
        for folder, taken in times.items():
            index = AdvisoryIndex.open(folder)
            started = time.perf_counter()
            answer = index.affecting_many(closure)
            taken.append(1e3 * (time.perf_counter() - started))
            found[folder] = sum(map(len, answer.values()))
            index.close()
        if not found[large] == found[small] >= ARTEFACTS // 4:
            raise RuntimeError(f"the indexes do not say the same: {found}")
    return percentile(times[large], 0.5), percentile(times[small], 0.5)

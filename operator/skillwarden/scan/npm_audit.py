"""Scanner ``npm-audit``: npm's own auditor as a cross-check of our evaluation.

It runs in a process of its own over a lockfile written from our lock, against an endpoint that serves the
same index and stands for its registry. Its answer lists what it found and never what it looked at: that is
taken from the question which it put to the endpoint.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skillwarden.advisories.endpoint import serve
from skillwarden.advisories.index import AdvisoryIndex, IndexSource
from skillwarden.domain.errors import UnavailableError
from skillwarden.domain.finding import Finding, ScannerName, ScannerReport
from skillwarden.domain.lock import Lock, LockedPackage
from skillwarden.domain.package import PackageId
from skillwarden.nodejs import NODE_RESERVES, find_node_tools, npm_environment

from ..bounded import TOOL_MEMORY, Finished, OutputTooLargeError, run_bounded
from .ending import ended
from .grouping import finding_of, group
from .protocol import NO_ADVISORIES, answered, failed, packages_of

DEFAULT_MAX_OUTPUT = 32 * 1024 * 1024
_PROJECT = "skillwarden-audit"
_SHOWN = 5


class UnreadableAnswerError(ValueError):
    """What npm wrote is not an answer."""


class NpmAuditScanner:
    """Runs ``npm audit`` over a lock's npm packages.

    Parameters
    ----------
    index
        Gives the index of the moment.
    command
        How npm is started; ``None``: the wheel's.
    max_output
        Bytes that it may write.
    memory_limit_bytes
        What it may have for itself.
    """

    name = ScannerName.NPM_AUDIT

    def __init__(
        self,
        index: IndexSource,
        *,
        command: Sequence[str] | None = None,
        max_output: int = DEFAULT_MAX_OUTPUT,
        memory_limit_bytes: int = TOOL_MEMORY,
    ) -> None:
        self._index = index
        self._command = command
        self._max_output = max_output
        self._memory = memory_limit_bytes

    async def scan(self, lock: Lock) -> ScannerReport:
        """Audit every npm package; anything but a whole, readable answer is an error."""
        index = await asyncio.to_thread(self._index)
        if index is None:
            return failed(self.name, NO_ADVISORIES, retryable=True)
        asked = packages_of(lock, self.name)
        if not asked:
            return answered(self.name, audited=asked, findings=())
        packages = [package for package in lock.packages if package.id in asked]
        try:
            finished, audited = await self._run(index, packages)
            reported = read_answer(finished)
        except UnavailableError as error:
            return failed(self.name, str(error), retryable=False)
        except OSError as error:
            return failed(self.name, f"npm cannot be started: {error}", retryable=True)
        except OutputTooLargeError as error:
            return failed(self.name, f"npm audit was stopped: {error}", retryable=True)
        except UnreadableAnswerError as error:
            return failed(self.name, str(error), retryable=True)
        if audited != asked:
            return failed(self.name, _coverage(asked, audited), audited=audited, retryable=True)
        return await asyncio.to_thread(self._judge, reported, packages, index)

    async def _run(
        self, index: AdvisoryIndex, packages: Sequence[LockedPackage]
    ) -> tuple[Finished, frozenset[PackageId]]:
        with tempfile.TemporaryDirectory(prefix="skillwarden-npm-audit-") as folder:
            work = Path(folder)
            home = work / "home"
            home.mkdir()
            write_project(work, packages)
            async with serve(index) as endpoint:
                arguments = ("audit", "--json", "--package-lock-only", f"--registry={endpoint.url}/")
                command = self._command or find_node_tools().npm(memory_bytes=self._memory)
                environment = dict(npm_environment(home=home, cache=work / "cache"))
                finished = await run_bounded(
                    # npm takes the last of two contrary options, and --no-audit is among those of every call.
                    [*command, *arguments, "--audit", "--fetch-retries=0"],
                    cwd=work,
                    env={**environment, "NO_PROXY": "*", "no_proxy": "*"},
                    max_output=self._max_output,
                    memory_limit_bytes=self._memory + NODE_RESERVES,
                )
                return finished, frozenset(endpoint.asked)

    def _judge(
        self, reported: Mapping[str, set[str]], packages: Iterable[LockedPackage], index: AdvisoryIndex
    ) -> ScannerReport:
        """Return what npm reported under the ids that our own evaluation uses."""
        findings: list[Finding] = []
        seen: set[PackageId] = set()
        for package in packages:
            names = reported.get(package.id.name, set())
            for members in group(index.affecting(package.id)):
                if names & {name for member in members for name in (member.id, *member.aliases)}:
                    findings.append(finding_of(package.id, members, scanner=self.name))
            seen.add(package.id)
        return answered(self.name, audited=seen, findings=findings)


def write_project(folder: Path, packages: Iterable[LockedPackage]) -> None:
    """Write the project that npm audits: every location of the lock, all of them asked for by the project."""
    rows: dict[str, Any] = {}
    for package in packages:
        for place in package.locations or (f"node_modules/{package.id.name}",):
            rows[place] = {"version": package.id.version, "resolved": "", "integrity": ""}
    direct = {
        place.removeprefix("node_modules/"): row["version"]
        for place, row in rows.items()
        if place.count("node_modules/") == 1
    }
    project = {"name": _PROJECT, "version": "0.0.0", "dependencies": direct}
    lock = {**project, "lockfileVersion": 3, "requires": True, "packages": {"": project, **rows}}
    (folder / "package.json").write_text(json.dumps(project), encoding="utf-8")
    (folder / "package-lock.json").write_text(json.dumps(lock), encoding="utf-8")


def read_answer(finished: Finished) -> dict[str, set[str]]:
    """Return the advisories that npm reports, by the name of the package that has them itself.

    Raises
    ------
    UnreadableAnswerError
        Where it is not an answer: npm's errors are JSON without ``vulnerabilities``.
    """
    try:
        document = json.loads(finished.stdout)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswerError(_ended(finished, "did not write JSON")) from error
    vulnerabilities = document.get("vulnerabilities") if isinstance(document, dict) else None
    if finished.status not in {0, 1} or not isinstance(vulnerabilities, dict):
        raise UnreadableAnswerError(_ended(finished, "gave no answer"))
    found: dict[str, set[str]] = {}
    for row in vulnerabilities.values():
        for item in row.get("via", ()) if isinstance(row, dict) else ():
            match item:
                case {"source": str(identity), "name": str(name)}:
                    found.setdefault(name, set()).add(identity)
                case str():
                    continue  # a dependent of what has the advisory
                case _:
                    raise UnreadableAnswerError("npm audit reports something that is no advisory")
    if finished.status == 1 and not found:
        raise UnreadableAnswerError(_ended(finished, "reports no vulnerability"))
    return found


def _ended(finished: Finished, why: str) -> str:
    said = (finished.stderr.strip() or finished.stdout[:300].decode("utf-8", "replace")).splitlines()[:1]
    return ended("npm audit", finished, why, said=said[0] if said else "")


def _coverage(asked: frozenset[PackageId], audited: frozenset[PackageId]) -> str:
    parts = [
        f"{len(packages)} {what} ({', '.join(map(str, sorted(packages)[:_SHOWN]))})"
        for what, packages in (("not audited", asked - audited), ("not asked about", audited - asked))
        if packages
    ]
    return f"npm audit did not audit exactly what it was asked: {', '.join(parts)}"

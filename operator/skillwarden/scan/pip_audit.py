"""Scanner ``pip-audit``: the reference auditor as a cross-check of our own evaluation.

It runs in a process of its own, over bare pins, against an endpoint that serves the same index. Its exit code
says little (1 is a finding, a refused connection and a crash alike; 0 is also "everything was skipped"), so
what counts is JSON that can be read and that speaks of exactly the packages that were asked about.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from skillwarden.advisories.index import Advisory, AdvisoryIndex, IndexSource
from skillwarden.advisories.ranges import parse_version
from skillwarden.advisories.record import one_line
from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScannerReport, ScanState, looks_at
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import Ecosystem, PackageId

from ..bounded import TOOL_MEMORY, Finished, OutputTooLargeError
from .ahead import Ahead
from .auditor import Spare, Tool
from .ending import ended
from .grouping import finding_of, findings_of, fixes, group
from .protocol import NO_ADVISORIES, answered, failed, packages_of
from .remembered import Remembered

#: Isolated from the operator's environment variables, user site and working folder.
DEFAULT_COMMAND = (sys.executable, "-I", "-m", "pip_audit")
DEFAULT_MAX_OUTPUT = 32 * 1024 * 1024
_PIN_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_SHOWN = 5


class UnreadableAnswerError(ValueError):
    """What pip-audit wrote is not an answer."""


@dataclass(frozen=True, slots=True)
class ReportedVulnerability:
    """One vulnerability as pip-audit reports it.

    Attributes
    ----------
    names
        Its id, then its aliases.
    fixed
        Fixing versions.
    """

    names: tuple[str, ...]
    fixed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What pip-audit says.

    Attributes
    ----------
    audited
        Packages that it looked up, with what it found.
    skipped
        ``name: reason`` of what it did not look up.
    """

    audited: Mapping[PackageId, tuple[ReportedVulnerability, ...]]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Answered:
    """A report, and the revision of the advisories that it rests on; empty: there were none."""

    revision: str
    report: ScannerReport


def read_answer(output: bytes) -> Answer:
    """Read pip-audit's JSON, in its present shape (``{"dependencies": []}``) or its first one (a list).

    A package with a ``skip_reason``, or without a list of vulnerabilities, was not audited.

    Raises
    ------
    UnreadableAnswerError
        Where it is neither.
    """
    try:
        document = json.loads(output)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswerError(f"it did not write JSON ({one_line(str(error))[:80]})") from error
    rows = document.get("dependencies") if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise UnreadableAnswerError("its JSON holds no list of dependencies")
    audited: dict[PackageId, tuple[ReportedVulnerability, ...]] = {}
    skipped: list[str] = []
    for row in rows:
        match row:
            case {"name": str(name), "skip_reason": reason}:
                skipped.append(f"{one_line(name)[:80]}: {one_line(str(reason))[:120]}")
            case {"name": str(name), "version": str(version), "vulns": list(reported)}:
                package = PackageId.of(Ecosystem.PYPI, name, version)
                audited[package] = (*audited.get(package, ()), *map(_read_vulnerability, reported))
            case {"name": str(name)}:
                skipped.append(f"{one_line(name)[:80]}: no list of vulnerabilities")
            case _:
                raise UnreadableAnswerError("its JSON holds a dependency without a name")
    return Answer(audited=audited, skipped=tuple(sorted(skipped)))


def _read_vulnerability(row: Any) -> ReportedVulnerability:
    match row:
        case {"id": str(identity)} if identity:
            return ReportedVulnerability(
                names=(one_line(identity), *(one_line(text) for text in _strings(row.get("aliases")))),
                fixed=_strings(row.get("fix_versions")),
            )
        case _:
            raise UnreadableAnswerError("its JSON holds a vulnerability without an id")


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


class PipAuditScanner:
    """Runs pip-audit over a lock's pins.

    Parameters
    ----------
    index
        Gives the index of the moment.
    command
        How pip-audit is started.
    max_output
        Bytes that it may write.
    memory_limit_bytes
        What it may have for itself.
    """

    name = ScannerName.PIP_AUDIT

    def __init__(
        self,
        index: IndexSource,
        *,
        command: Sequence[str] = DEFAULT_COMMAND,
        max_output: int = DEFAULT_MAX_OUTPUT,
        memory_limit_bytes: int = TOOL_MEMORY,
    ) -> None:
        self._index = index
        self._spare = Spare(Tool(tuple(command), max_output, memory_limit_bytes))
        self._remembered = Remembered()
        self._ahead = Ahead[_Answered]()

    async def prepare(self) -> None:
        """Start the next run now: a lock will be there soon."""
        index = await asyncio.to_thread(self._index)
        if index is not None:
            self._spare.prepare(index)

    def look_ahead(self, packages: frozenset[PackageId]) -> None:
        """Begin the audit of a lock whose versions are known."""
        asked = frozenset(package for package in packages if looks_at(self.name, package.ecosystem))
        if asked:
            self._ahead.begin(asked, partial(self._answer, asked))

    async def close(self) -> None:
        """End what was prepared."""
        await self._ahead.close()
        await self._spare.close()

    async def scan(self, lock: Lock) -> ScannerReport:
        """Audit every pin that was not audited at this revision; anything but a whole answer is an error."""
        asked = packages_of(lock, self.name)
        begun = self._ahead.claim(asked)
        if begun is not None:
            answer = await begun
            index = await asyncio.to_thread(self._index)
            if index is not None and index.revision == answer.revision:
                return answer.report
        return (await self._answer(asked)).report

    async def _answer(self, asked: frozenset[PackageId]) -> _Answered:
        index = await asyncio.to_thread(self._index)
        if index is None:
            return _Answered("", failed(self.name, NO_ADVISORIES, retryable=True))
        return _Answered(index.revision, await self._report(index, asked))

    async def _report(self, index: AdvisoryIndex, asked: frozenset[PackageId]) -> ScannerReport:
        unfit = sorted(package for package in asked if not _can_be_pinned(package))
        if unfit:
            return failed(self.name, f"{unfit[0]} cannot be written as a pin", retryable=False)
        known = self._remembered.recall(index.revision, asked)
        report = await self._audit(index, asked - known.keys())
        if report.state is ScanState.ERROR:
            return report
        self._remembered.keep(index.revision, report.audited, report.findings)
        before = (finding for findings in known.values() for finding in findings)
        return answered(self.name, audited=asked, findings=(*before, *report.findings))

    async def _audit(self, index: AdvisoryIndex, asked: frozenset[PackageId]) -> ScannerReport:
        if not asked:
            return answered(self.name, audited=asked, findings=())
        try:
            finished = await self._run(index, sorted(asked))
            answer = read_answer(finished.stdout)
        except OSError as error:
            return failed(self.name, f"pip-audit cannot be started: {error}", retryable=True)
        except OutputTooLargeError as error:
            return failed(self.name, f"pip-audit was stopped: {error}", retryable=True)
        except UnreadableAnswerError as error:
            return failed(self.name, _ended(finished, str(error)), retryable=True)
        return await asyncio.to_thread(self._judge, finished, answer, asked=asked, index=index)

    async def _run(self, index: AdvisoryIndex, packages: Sequence[PackageId]) -> Finished:
        auditor = self._spare.take(index)
        try:
            return await auditor.audit([f"{package.name}=={package.version}" for package in packages])
        finally:
            await auditor.close()

    def _judge(
        self, finished: Finished, answer: Answer, *, asked: frozenset[PackageId], index: AdvisoryIndex
    ) -> ScannerReport:
        audited = frozenset(answer.audited)
        if finished.status not in {0, 1}:
            return failed(self.name, _ended(finished, "its answer is not trusted"), retryable=True)
        if audited != asked:
            return failed(
                self.name, _coverage(answer, asked=asked, audited=audited), audited=audited, retryable=True
            )
        findings = [
            finding
            for package, reported in answer.audited.items()
            for finding in self._findings(package, reported, index=index)
        ]
        if finished.status == 1 and not findings:
            return failed(self.name, _ended(finished, "it reports no vulnerability"), retryable=True)
        return answered(self.name, audited=audited, findings=findings)

    def _findings(
        self, package: PackageId, reported: Iterable[ReportedVulnerability], *, index: AdvisoryIndex
    ) -> list[Finding]:
        """Return what was reported under the ids that our own evaluation uses, where it knows them."""
        groups = group(index.affecting(package))
        matched: dict[str, tuple[Advisory, ...]] = {}
        unknown: list[Finding] = []
        for item in reported:
            names = set(item.names)
            ours = [members for members in groups if names & _names(members)]
            matched.update({members[0].id: members for members in ours})
            if not ours:
                unknown.append(self._unmatched(package, item, index=index))
        return [finding_of(package, members, scanner=self.name) for members in matched.values()] + unknown

    def _unmatched(self, package: PackageId, item: ReportedVulnerability, *, index: AdvisoryIndex) -> Finding:
        """Return a finding that only pip-audit made; what is known of its id from elsewhere is used."""
        known = next((found for name in item.names if (found := index.advisory(name))), None)
        if known is not None:
            [finding] = findings_of(package, [known], scanner=self.name)
            return finding
        bare = Advisory(id=item.names[0], aliases=tuple(sorted(set(item.names[1:]))))
        return Finding(
            kind=FindingKind.MALICIOUS if bare.malicious else FindingKind.VULNERABILITY,
            package=package,
            id=bare.id,
            aliases=bare.aliases,
            fixed_versions=fixes(package, set(item.fixed)),
            scanners=(self.name,),
        )


def _names(members: Iterable[Advisory]) -> set[str]:
    return {name for member in members for name in (member.id, *member.aliases)}


def _can_be_pinned(package: PackageId) -> bool:
    return (
        package.ecosystem is Ecosystem.PYPI
        and _PIN_NAME.fullmatch(package.name) is not None
        and parse_version(package.version) is not None
        and package.version.isascii()
        and not any(char.isspace() for char in package.version)
    )


def _ended(finished: Finished, why: str) -> str:
    return ended("pip-audit", finished, why, said=finished.stderr.strip().rpartition("\n")[2])


def _coverage(answer: Answer, *, asked: frozenset[PackageId], audited: frozenset[PackageId]) -> str:
    parts = [
        f"{len(packages)} {what} ({', '.join(map(str, sorted(packages)[:_SHOWN]))})"
        for what, packages in (("not audited", asked - audited), ("not asked about", audited - asked))
        if packages
    ]
    skipped = f"; skipped {'; '.join(answer.skipped[:_SHOWN])}" if answer.skipped else ""
    return f"pip-audit did not audit exactly what it was asked: {', '.join(parts)}{skipped}"

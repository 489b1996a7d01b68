"""Scanner ``artefact``: code that packages run by themselves, and their licences, read from the locked bytes.

Reading is the depot's: it holds the artefacts, verified. The licence is reported as a fact, like an upload
time: which ones are denied is the policy's to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from skillwarden.domain.artefact_facts import ArtefactFacts, LockFacts
from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScannerReport
from skillwarden.domain.licence import UNKNOWN
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import PackageId

from .ending import unread
from .protocol import answered

#: Has a lock's artefacts read, wherever they are.
ReadFacts = Callable[[Lock], Awaitable[LockFacts]]


class ArtefactScanner:
    """Reports what artefacts say of themselves; one that cannot be read makes the report an error.

    Parameters
    ----------
    read
        Who reads them.
    """

    name = ScannerName.ARTEFACT

    def __init__(self, read: ReadFacts) -> None:
        self._read = read

    async def scan(self, lock: Lock) -> ScannerReport:
        """Report hooks and licences of every package."""
        facts = await self._read(lock)
        if facts.unread:
            return unread(self.name, facts.unread, audited=facts.known)
        findings = [
            finding for package, known in facts.known.items() for finding in _findings(package, known)
        ]
        return answered(self.name, audited=facts.known, findings=findings)


def _findings(package: PackageId, facts: ArtefactFacts) -> Iterator[Finding]:
    for hook in facts.hooks:
        yield Finding(
            kind=FindingKind.INSTALL_SCRIPT,
            package=package,
            id=hook.id,
            severity=hook.severity,
            summary=f"{hook.does}; {hook.text}" if hook.does else hook.text,
            scanners=(ScannerName.ARTEFACT,),
        )
    yield Finding(
        kind=FindingKind.LICENCE,
        package=package,
        id=facts.licence or UNKNOWN,
        summary=facts.licence_text,
        scanners=(ScannerName.ARTEFACT,),
    )

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

from .protocol import answered, failed

#: Has a lock's artefacts read, wherever they are.
ReadFacts = Callable[[Lock], Awaitable[LockFacts]]
_SHOWN = 3


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
            shown = "; ".join(f"{item.package}: {item.message}" for item in facts.unread[:_SHOWN])
            more = f" and {len(facts.unread) - _SHOWN} more" if len(facts.unread) > _SHOWN else ""
            return failed(
                self.name,
                f"{len(facts.unread)} artefact(s) could not be read: {shown}{more}",
                audited=facts.known,
                retryable=any(item.retryable for item in facts.unread),
            )
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

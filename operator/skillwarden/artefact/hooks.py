"""Looks into the code that a hook runs, by the rules for a skill's own files, within bounds.

What cannot be looked into is said, and takes nothing of the finding away: that a package runs code by itself
stands whatever the code does.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from ..domain.artefact_facts import Hook
from ..domain.finding import Severity
from ..domain.skill import SourceFile
from ..domain.source_finding import SourceFinding, gravest_first
from ..source.commands import Run
from .text import shortened

#: Of one file, as much as a skill's own may have in all.
MAX_FILE_BYTES = 192 << 10
#: For all that one hook runs.
_CPU_SECONDS = 3.0
_SHOWN = 2


class _TooLongError(Exception):
    """Looking takes longer than it may."""


def looked_into(hook: Hook, runs: Sequence[Run], contents: Mapping[str, bytes | None]) -> Hook:
    """Return a hook with what was found in the code that it runs.

    Parameters
    ----------
    hook
        Where the code is run from.
    runs
        The code.
    contents
        Bytes of the files, by path; ``None``: more than ``MAX_FILE_BYTES``.
    """
    found: list[SourceFinding] = []
    unseen: list[str] = []
    try:
        with _limited():
            for run in runs:
                if not run.path:
                    found += _look(Run(run.language, path=hook.id), run.code.encode())
                elif run.missing:
                    unseen.append(f"{run.path}, which is not in the package")
                elif (data := contents.get(run.path)) is None:
                    unseen.append(f"{run.path}, which is too large to be looked into")
                else:
                    found += _look(run, data)
    except (_TooLongError, MemoryError, RecursionError):
        unseen.append("code that takes too long to be looked into")
    return _with(hook, found, unseen, [run.path for run in runs if run.path and not run.missing])


def _with(hook: Hook, found: list[SourceFinding], unseen: list[str], files: list[str]) -> Hook:
    first = {finding.rule: finding for finding in sorted(found, key=gravest_first, reverse=True)}
    gravest = sorted(first.values(), key=gravest_first)
    said = [f"{item.place} {item.summary} ({item.severity})" for item in gravest[:_SHOWN]]
    said += [f"runs {what}" for what in unseen[:_SHOWN]]
    if not said and files:
        said = [f"runs {', '.join(files[:_SHOWN])}, in which nothing was found"]
    severity = gravest[0].severity if gravest else Severity.UNKNOWN
    return replace(hook, severity=severity, does=shortened("; ".join(said)))


def _look(run: Run, data: bytes) -> tuple[SourceFinding, ...]:
    # Its rules are compiled only where something runs by itself: most packages have nothing that does.
    from ..source.look import code_findings  # noqa: PLC0415

    return code_findings(SourceFile(run.path, data), language=run.language)


@contextmanager
def _limited() -> Iterator[None]:
    """End the block after some seconds of CPU: the process has a limit for all artefacts that it reads."""

    def stop(_: int, __: FrameType | None) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

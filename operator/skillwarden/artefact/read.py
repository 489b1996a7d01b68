"""Has artefacts read by a process with limits, and makes sense of its answers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..domain.artefact_facts import ArtefactFacts
from ..domain.package import Ecosystem
from .asking import Questions, Unreadable

__all__ = ["ArtefactFile", "Folders", "Unreadable", "read_artefacts"]

COMMAND = (sys.executable, "-I", "-B", "-m", "skillwarden.artefact")
#: Of one process: starting an interpreter costs more than reading most artefacts.
BATCH = 32
DEADLINE_SECONDS = 150.0
#: How the processes that read artefacts are told an ecosystem.
WORDS = {Ecosystem.PYPI: "pypi", Ecosystem.NPM: "npm"}
#: What an artefact says, by folder below its root.
Folders = Mapping[str, ArtefactFacts]


@dataclass(frozen=True, slots=True)
class ArtefactFile:
    """One artefact to read.

    Attributes
    ----------
    ecosystem, name
        Of its package.
    path
        Where it lies; its hash has been verified.
    """

    ecosystem: Ecosystem
    name: str
    path: Path


async def read_artefacts(
    wanted: Sequence[ArtefactFile],
    *,
    command: Sequence[str] = COMMAND,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> list[Folders | Unreadable]:
    """Read some artefacts, ``BATCH`` at most in one process; what ends a process is found by asking singly.

    Returns
    -------
    One answer for each, in order.
    """

    def command_for(batch: Sequence[ArtefactFile]) -> Sequence[str]:
        arguments = [word for one in batch for word in (WORDS[one.ecosystem], one.name, str(one.path))]
        return [*command, *arguments]

    questions = Questions(command=command_for, parse=_folders, deadline_seconds=deadline_seconds)
    answers: list[Folders | Unreadable] = []
    for start in range(0, len(wanted), BATCH):
        answers += await questions.all(wanted[start : start + BATCH])
    return answers


def _folders(record: Mapping[str, Any]) -> Folders:
    return {folder: ArtefactFacts.from_json(facts) for folder, facts in record["folders"].items()}

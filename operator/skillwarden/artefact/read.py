"""Has artefacts read by a process with limits, and makes sense of its answers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..bounded import OutputTooLargeError, run_bounded
from ..domain.artefact_facts import ArtefactFacts
from ..domain.package import Ecosystem

COMMAND = (sys.executable, "-I", "-B", "-m", "skillwarden.artefact")
#: Of one process: starting an interpreter costs more than reading most artefacts.
BATCH = 32
DEADLINE_SECONDS = 150.0
_MAX_OUTPUT = 64 << 20
_WORDS = {Ecosystem.PYPI: "pypi", Ecosystem.NPM: "npm"}
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


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why an artefact cannot be read; trying again with the same bytes gives the same."""

    reason: str


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
    answers: list[Folders | Unreadable] = []
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        found, _ = await _ask(batch, command, deadline_seconds)
        answers += found
        for one in batch[len(found) :]:
            alone, problem = await _ask([one], command, deadline_seconds)
            answers += alone or [Unreadable(problem)]
    return answers


async def _ask(
    batch: Sequence[ArtefactFile], command: Sequence[str], deadline_seconds: float
) -> tuple[list[Folders | Unreadable], str]:
    """Return the answers that one process gave before it ended, and how it ended."""
    arguments = [word for one in batch for word in (_WORDS[one.ecosystem], one.name, str(one.path))]
    env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    try:
        async with asyncio.timeout(deadline_seconds):
            ended = await run_bounded([*command, *arguments], cwd=Path("/"), env=env, max_output=_MAX_OUTPUT)
    except TimeoutError:
        return [], f"reading it takes longer than {deadline_seconds:g} s"
    except (OutputTooLargeError, OSError) as error:
        return [], f"it could not be read: {error}"
    answers = [_answer(line) for line in ended.stdout.split(b"\n")[:-1]]
    last = ended.stderr.strip().rpartition("\n")[2][:200]
    return answers[: len(batch)], f"the process that read it ended with {ended.status}{last and ': '}{last}"


def _answer(line: bytes) -> Folders | Unreadable:
    try:
        record = json.loads(line)
        if "unreadable" in record:
            return Unreadable(str(record["unreadable"]))
        return {folder: ArtefactFacts.from_json(facts) for folder, facts in record["folders"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Unreadable(f"the process that read it answered with something else ({error!r})")

"""Has GuardDog look at artefacts: unpacked within bounds, then read by it in its own environment.

Its environment is not ours: it needs other releases of what we need, and what it brings stays out of the
processes that hold keys. The rules are heuristics of static analysis; nothing of a package is run.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..domain.malware import Detection
from .asking import Questions, Unreadable
from .read import WORDS, ArtefactFile
from .text import shortened
from .unpack import CODE, original_name

log = logging.getLogger("skillwarden.artefact.guarddog")

#: Raised whenever the same bytes and the same GuardDog would give other detections.
RUNNER_VERSION = 1
#: Interpreter of GuardDog's environment where nobody names one: a folder of ours.
DEFAULT_PYTHON = Path(sys.prefix) / "guarddog" / "bin" / "python"
#: Releases of the line that the runner was written for.
_SUPPORTED = re.compile(r"3\.[0-9]+\.[0-9]+[a-z0-9.+]*")
DEADLINE_SECONDS = 150.0
_VERSION_SECONDS = 30.0
#: It took 70 MB for the largest of PyPI's.
MEMORY_BYTES = 384 << 20
_RUNNER = str(Path(__file__).with_name("guarddog_runner.py"))
_UNPACK = (sys.executable, "-I", "-B", "-m", "skillwarden.artefact.unpack")
#: What GuardDog calls a package, by its score: from 5 of 10, it warns.
_QUIET = frozenset({"no_risks_detected", "low"})
_LOUD = frozenset({"suspicious", "high_risk"})
_MAX_DETECTIONS = 20
HELP = (
    "Use an image that has GuardDog, make its environment (docs/operations/malware.md), or set"
    " findings.malware to Allow"
)
Detections = tuple[Detection, ...]


class NoGuardDogError(RuntimeError):
    """GuardDog cannot be asked; the text says why and what would mend it."""


@dataclass(frozen=True, slots=True)
class _Unpacked:
    folder: Path
    file: ArtefactFile


class GuardDog:
    """GuardDog, by the interpreter of its environment.

    Parameters
    ----------
    python
        That interpreter; ``None``: ``DEFAULT_PYTHON``.
    deadline_seconds
        Of one process that reads some artefacts.
    memory_limit_bytes
        What it may have for itself.
    """

    def __init__(
        self,
        python: Path | None = None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        memory_limit_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._python = python or DEFAULT_PYTHON
        self._deadline = deadline_seconds
        self._memory = memory_limit_bytes
        self._warned = False

    async def version(self) -> str:
        """Return what detections depend on, beside the bytes: GuardDog's release, and how it is asked.

        Raises
        ------
        NoGuardDogError
            Where it is not installed, or of a release that is not known.
        """
        questions: Questions[None, str] = Questions(
            command=lambda _: [str(self._python), "-I", "-B", _RUNNER, "version"],
            parse=lambda record: str(record["version"]),
            deadline_seconds=_VERSION_SECONDS,
            memory_limit_bytes=self._memory,
        )
        [answer] = await questions.all([None])
        if isinstance(answer, Unreadable):
            raise NoGuardDogError(
                f"GuardDog is not installed: {self._python} does not answer ({answer.reason}). {HELP}"
            )
        if not _SUPPORTED.fullmatch(answer):
            raise NoGuardDogError(f"GuardDog {shortened(answer)} is not of the 3 line. {HELP}")
        return f"{answer}/{RUNNER_VERSION}"

    async def detect(self, files: Sequence[ArtefactFile]) -> list[Detections | Unreadable]:
        """Return what it detects in each artefact, in order, or why it did not look."""
        work = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="skillwarden-malware-"))
        try:
            return await self._detect(files, work)
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)

    async def _detect(self, files: Sequence[ArtefactFile], work: Path) -> list[Detections | Unreadable]:
        cache = work / "cache"
        places = [_Unpacked(work / str(number), file) for number, file in enumerate(files)]
        for folder in (cache, *(place.folder for place in places)):
            folder.mkdir()
        unpacked = await _unpacking().all(places)
        there = [
            place
            for place, answer in zip(places, unpacked, strict=True)
            if not isinstance(answer, Unreadable)
        ]
        found = dict(zip(there, await self._scanning(cache).all(there), strict=True))
        return [
            answer if isinstance(answer, Unreadable) else self._checked(place, found[place])
            for place, answer in zip(places, unpacked, strict=True)
        ]

    def _scanning(self, cache: Path) -> Questions[_Unpacked, Mapping[str, Any]]:
        def command_for(batch: Sequence[_Unpacked]) -> Sequence[str]:
            asked = [word for one in batch for word in (WORDS[one.file.ecosystem], str(one.folder))]
            return [str(self._python), "-I", "-B", _RUNNER, "scan", str(cache), ",".join(CODE), *asked]

        return Questions(
            command=command_for,
            parse=dict,
            deadline_seconds=self._deadline,
            memory_limit_bytes=self._memory,
            # Where it may write, by its own sandbox.
            env={"TMPDIR": str(cache)},
        )

    def _checked(self, place: _Unpacked, answer: Mapping[str, Any] | Unreadable) -> Detections | Unreadable:
        if isinstance(answer, Unreadable):
            return Unreadable(f"GuardDog gave no answer: {answer.reason}")
        try:
            if not answer["confined"] and not self._warned:
                self._warned = True
                log.warning("this kernel cannot confine GuardDog (no Landlock); limits alone hold it")
            return _detections(answer, str(place.folder))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return Unreadable(f"GuardDog answered with something else ({error!r})")


def _unpacking() -> Questions[_Unpacked, int]:
    def command_for(batch: Sequence[_Unpacked]) -> Sequence[str]:
        asked = [(str(one.folder), WORDS[one.file.ecosystem], str(one.file.path)) for one in batch]
        return [*_UNPACK, *(word for words in asked for word in words)]

    return Questions(
        command=command_for, parse=lambda record: int(record["files"]), deadline_seconds=DEADLINE_SECONDS
    )


def _detections(answer: Mapping[str, Any], folder: str) -> Detections | Unreadable:
    if answer["folder"] != folder:
        return Unreadable("GuardDog answered for another artefact")
    if "error" in answer:
        return Unreadable(f"GuardDog could not look at it: {shortened(str(answer['error']))}")
    label = answer["label"]
    if label in _QUIET:
        return ()
    if label not in _LOUD:
        return Unreadable(f"GuardDog calls it {shortened(str(label))}, whatever that is")
    found: dict[str, Detection] = {}
    for risk in answer["risks"]:
        rule = shortened(str(risk["rule"]))
        place, _, line = str(risk["location"]).rpartition(":")
        text = f"{original_name(place)}:{line}: {risk['message']}"
        found.setdefault(rule, Detection(rule, shortened(text)))
    if not found:
        return Unreadable(f"GuardDog calls it {label} and names no rule")
    # Some packages meet dozens; a reviewer looks at the package after the first few.
    return tuple(sorted(found.values()))[:_MAX_DETECTIONS]

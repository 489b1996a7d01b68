"""Asking a process with limits about artefacts: a line of JSON each, and no answer is never a good one."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..bounded import OutputTooLargeError, run_bounded

_MAX_OUTPUT = 64 << 20
T = TypeVar("T")
W = TypeVar("W")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why an artefact cannot be read; trying again with the same bytes gives the same.

    Attributes
    ----------
    reason
        Which ends without a full stop.
    slow
        Whether that was found by waiting for a deadline.
    """

    reason: str
    slow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions(Generic[W, T]):
    """How some process is asked about things of one kind.

    Attributes
    ----------
    command
        Its command line for some of them.
    parse
        Makes sense of one line of its answers; what it raises makes the answer unreadable.
    deadline_seconds
        Of one process.
    memory_limit_bytes
        What it may have for itself; ``None`` for a program of ours that sets its own limits.
    env
        Besides ``PATH`` and the locale; it gets nothing of ours.
    """

    command: Callable[[Sequence[W]], Sequence[str]]
    parse: Callable[[Mapping[str, Any]], T | Unreadable]
    deadline_seconds: float
    memory_limit_bytes: int | None = None
    env: Mapping[str, str] | None = None

    async def all(self, wanted: Sequence[W]) -> list[T | Unreadable]:
        """Ask one process about all; what it left unanswered is asked about singly, to find what ends it.

        Returns
        -------
        One answer for each, in order.
        """
        if not wanted:
            return []
        answers, problem = await self.ask(wanted)
        left = wanted[len(answers) :]
        if len(wanted) == 1:
            return answers or [problem]
        for one in left:
            alone, problem = await self.ask([one])
            answers += alone or [problem]
        return answers

    async def ask(self, wanted: Sequence[W]) -> tuple[list[T | Unreadable], Unreadable]:
        """Return the answers that one process gave before it ended, and how it ended."""
        env = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", **(self.env or {})}
        try:
            async with asyncio.timeout(self.deadline_seconds):
                ended = await run_bounded(
                    self.command(wanted),
                    cwd=Path("/"),
                    env=env,
                    max_output=_MAX_OUTPUT,
                    memory_limit_bytes=self.memory_limit_bytes,
                )
        except TimeoutError:
            return [], Unreadable(f"reading it takes longer than {self.deadline_seconds:g} s", slow=True)
        except (OutputTooLargeError, OSError) as error:
            return [], Unreadable(f"it could not be read: {error}")
        answers = [self._answer(line) for line in ended.stdout.split(b"\n")[:-1]]
        last = ended.stderr.strip().rpartition("\n")[2][:200]
        how = f"the process that read it ended with {ended.status}{last and ': '}{last}"
        return answers[: len(wanted)], Unreadable(how)

    def _answer(self, line: bytes) -> T | Unreadable:
        try:
            record = json.loads(line)
            if "unreadable" in record:
                return Unreadable(str(record["unreadable"]))
            return self.parse(record)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Unreadable(f"the process that read it answered with something else ({error!r})")

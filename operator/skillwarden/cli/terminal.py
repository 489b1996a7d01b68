"""Where the commands print: folded and coloured on a terminal, one line a fact elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

#: Of an output that is no terminal: a pipe or a file has no edge to fold at, and ``grep`` wants whole lines.
WIDE = 10_000


class OutputFormat(StrEnum):
    """How a command answers."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[OutputFormat, typer.Option("--format", help="text for people, json for scripts.")]


def output() -> Console:
    """Return the console of standard output."""
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else WIDE)


@contextmanager
def progress(first: str) -> Iterator[Callable[[str], None]]:
    """Yield what says how far a command has come: a spinner on a terminal, lines elsewhere; on stderr."""
    if not sys.stderr.isatty():
        typer.echo(first, err=True)
        yield lambda text: typer.echo(text, err=True)
        return
    with Console(stderr=True).status(first) as spinner:
        yield spinner.update

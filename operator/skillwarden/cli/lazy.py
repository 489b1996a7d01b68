"""Commands that are imported when they are called.

All of them together take seconds to import, which nobody should wait for who calls one, asks for the list of
them, or completes a name.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is, and what a list says of it.

    Attributes
    ----------
    where
        ``MODULE:ATTRIBUTE`` within ``skillwarden.cli``: a function, or a ``typer.Typer`` with commands of its
        own.
    summary
        The first paragraph of its help; empty: no list has it.
    """

    where: str
    summary: str


class LazyCommands(Mapping[str, Any]):
    """Commands by name; each is imported when it is looked at.

    Parameters
    ----------
    places
        Where they are, by name.
    """

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._places[name].where.partition(":")
        found = getattr(importlib.import_module(f"{__package__}.{module}"), attribute)
        if isinstance(found, typer.Typer):
            command: Any = get_group(found)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command(name)(found)
            command = get_command(alone)
        command.name = name
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def lazy_group(places: Mapping[str, Place]) -> type[TyperGroup]:
    """Return a kind of group whose commands are ``LazyCommands``, and whose lists import none of them."""

    class LazyGroup(TyperGroup):
        def __init__(self, **attrs: Any) -> None:
            super().__init__(**attrs)
            self.commands = LazyCommands(places)  # type: ignore[assignment]

        def list_commands(self, ctx: Any) -> list[str]:
            return list(places)

        def format_help(self, ctx: Any, formatter: Any) -> None:
            with self._summaries():
                super().format_help(ctx, formatter)

        def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
            with self._summaries():
                return super().shell_complete(ctx, incomplete)

        @contextmanager
        def _summaries(self) -> Iterator[None]:
            whole = self.commands
            self.commands = {
                name: TyperCommand(name, help=place.summary, hidden=not place.summary)
                for name, place in places.items()
            }
            try:
                yield
            finally:
                self.commands = whole

    return LazyGroup

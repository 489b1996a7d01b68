"""Commands that are imported when they are called.

All of them together take seconds to import, which nobody should wait for who calls one.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


class LazyCommands(Mapping[str, Any]):
    """Commands by name; each is imported when it is looked at.

    Parameters
    ----------
    places
        Name to ``MODULE:ATTRIBUTE`` within ``skillwarden.cli``: a function, or a ``typer.Typer`` with
        commands of its own.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self._places[name].partition(":")
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


def lazy_group(places: Mapping[str, str]) -> type[TyperGroup]:
    """Return a kind of group whose commands are ``LazyCommands``."""

    class LazyGroup(TyperGroup):
        def __init__(self, **attrs: Any) -> None:
            super().__init__(**attrs)
            self.commands = LazyCommands(places)  # type: ignore[assignment]

        def list_commands(self, ctx: Any) -> list[str]:
            return list(places)

    return LazyGroup

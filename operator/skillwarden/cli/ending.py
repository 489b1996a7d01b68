"""How a command ends: its exit code, and errors for people."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import typer
from pydantic import ValidationError

from ..domain.errors import SkillwardenError

#: As sysexits(3) has it: what was given cannot be taken, and trying again changes nothing.
WRONG_USE = 64


def run_command(name: str, work: Coroutine[Any, Any, int], *, failed: int = 1) -> None:
    """Run a command to its exit code; an error is said in one line.

    Parameters
    ----------
    name
        Of the command, for the message.
    work
        Returns the exit code.
    failed
        The exit code of an error.
    """
    try:
        code = asyncio.run(work)
    except ValidationError as error:
        # Of the settings: everything else that pydantic reads becomes an error of ours on the way.
        raise refused_settings(f"skillwarden {name}", error) from error
    except SkillwardenError as error:
        typer.echo(f"skillwarden {name}: {error}", err=True)
        raise typer.Exit(failed) from error
    except OSError as error:
        typer.echo(f"skillwarden {name}: {error}", err=True)
        raise typer.Exit(failed) from error
    raise typer.Exit(code)


def refused_settings(who: str, error: ValidationError) -> typer.Exit:
    """Say which settings cannot be read; return the exit of wrong use, to raise."""
    typer.echo(f"{who}: {_settings_error(error)}", err=True)
    return typer.Exit(WRONG_USE)


def _settings_error(error: ValidationError) -> str:
    """Return which environment variables cannot be read, and why."""
    lines = []
    for item in error.errors():
        where = "SKILLWARDEN_" + "__".join(str(part) for part in item["loc"]).upper()
        lines.append(f"{where.rstrip('_')}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)

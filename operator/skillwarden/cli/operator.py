"""``skillwarden operator``: run the operator against a cluster."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from ..domain.errors import SkillwardenError, UnavailableError
from ..runtime import logs
from ..runtime.context import operator
from ..runtime.settings import Settings
from .ending import refused_settings
from .stopping import stop_event

app = typer.Typer(
    help="The operator: watches a cluster, judges its skills and runs what is allowed.", no_args_is_help=True
)


@app.callback()
def group() -> None:
    """The operator: watches a cluster, judges its skills and runs what is allowed."""


@app.command("run")
def run(
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Kubeconfig. Without it: the Pod's account, else those that kubectl would merge.",
        ),
    ] = None,
    context: Annotated[
        str | None, typer.Option(help="Context of the kubeconfig. Without it: the current one.")
    ] = None,
) -> None:
    """Run the operator until it is told to stop (SIGTERM, SIGINT).

    Everything else is set in the environment (SKILLWARDEN_*); docs/operations/settings.md names it all. It
    needs the CRDs (`skillwarden crd`), a depot (`skillwarden depot serve`) with the same key, and synced
    advisories (`skillwarden advisories sync`).
    """
    try:
        settings = load_settings(kubeconfig=kubeconfig, context=context)
    except ValidationError as error:
        raise refused_settings("skillwarden operator", error) from error
    logs.configure(fmt=settings.log_format, level=settings.log_level)
    try:
        asyncio.run(_until_stopped(settings))
    except (SkillwardenError, ValueError) as error:
        typer.echo(f"skillwarden operator: {error}", err=True)
        raise typer.Exit(1) from error


def load_settings(*, kubeconfig: Path | None, context: str | None) -> Settings:
    """Return the settings of the environment, with what the command line says over them."""
    given = {"kubeconfig": kubeconfig, "context": context}
    return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


async def _until_stopped(settings: Settings) -> None:
    stopped = stop_event()
    async with operator(settings) as core:
        ends = [asyncio.create_task(event.wait()) for event in (stopped, core.lost)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in ends:
            task.cancel()
        if core.lost.is_set():
            raise UnavailableError(
                f"the lease {settings.lease} was lost: another operator may lead.",
                fix="Where this is seldom, nothing: the Pod starts anew and stands by. Else look whether the"
                " API server answers in time.",
            )

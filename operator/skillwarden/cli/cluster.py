"""What the commands that talk to a cluster share: the connection, names, and errors for people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from .. import __version__
from ..domain.errors import InvalidInputError, SkillwardenError
from ..kube import auth
from ..kube.gateway import Gateway
from ..kube.kinds import Kind

T = TypeVar("T")

NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; without it the context's, else default.")
]
KubeconfigOption = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig; without it the usual one.")
]
ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
SkillArgument = Annotated[
    str, typer.Argument(metavar="skill/NAME", help="The Skill; `skill/` may be left out.")
]


@asynccontextmanager
async def connected(kubeconfig: Path | None, context: str | None) -> AsyncIterator[Gateway]:
    """Connect for as long as the context is open."""
    gateway = await Gateway.connect(
        kubeconfig=kubeconfig, context=context, user_agent=f"skillwarden-cli/{__version__}"
    )
    try:
        yield gateway
    finally:
        await gateway.close()


def skill_name(text: str) -> str:
    """Return the name in ``skill/NAME`` or ``NAME``."""
    kind, slash, name = text.rpartition("/")
    if slash and kind.lower() not in {"skill", "skills", "skl"}:
        raise InvalidInputError(f"{text} is not a Skill.", fix="Write skill/NAME.")
    return name


def namespace_of(given: str | None, kubeconfig: Path | None, context: str | None) -> str:
    """Return the namespace that was given, else the context's, else ``default``."""
    if given:
        return given
    return auth.default_namespace(kubeconfig=kubeconfig, context=context)


async def the_skill(gateway: Gateway, namespace: str, name: str) -> dict[str, Any]:
    """Return a Skill.

    Raises
    ------
    InvalidInputError
        Where there is none of that name.
    """
    body = await gateway.get(Kind.SKILL, name=name, namespace=namespace)
    if body is None:
        raise InvalidInputError(
            f"there is no Skill {namespace}/{name}.", fix=f"See: kubectl get skills -n {namespace}."
        )
    return body


def run_command(name: str, work: Coroutine[Any, Any, int]) -> None:
    """Run a command to its exit code; errors are said in one line, with exit code 1."""
    try:
        code = asyncio.run(work)
    except SkillwardenError as error:
        typer.echo(f"skillwarden {name}: {error}", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(code)

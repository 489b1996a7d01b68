"""What the commands that talk to a cluster share: the connection and names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from ..domain.errors import InvalidInputError
from ..kube import auth
from ..kube.gateway import Gateway
from ..kube.kinds import Kind


def skill_name(text: str) -> str:
    """Return the name in ``skill/NAME`` or ``NAME``; as a callback of typer, wrong use is exit code 64."""
    kind, slash, name = text.rpartition("/")
    if slash and not names_skills(kind):
        raise typer.BadParameter(f"{text} is not a Skill: write skill/NAME.")
    if not name:
        raise typer.BadParameter("the Skill has no name: write skill/NAME.")
    return name


def names_skills(kind: str) -> bool:
    """Whether a word is one by which kubectl knows Skills."""
    return kind.lower() in {"skill", "skills", "skl"}


NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Its namespace. Without it: the context's, else default."),
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Kubeconfig. Without it: those that kubectl would merge, all of KUBECONFIG.",
    ),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig. Without it: the current one.")
]
SkillArgument = Annotated[
    str,
    typer.Argument(
        metavar="skill/NAME",
        help="The Skill; `skill/` may be left out.",
        callback=skill_name,
    ),
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

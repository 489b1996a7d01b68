"""``skillwarden digest``: the content digest that a Skill's configMapRef pins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..domain.content import content_digest
from ..domain.errors import InvalidInputError
from ..domain.skill import SourceFile


def command(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A folder, or one file: what the ConfigMap is made from.")
    ],
) -> None:
    """Print the sha256 for spec.source.configMapRef of a ConfigMap made from these files.

    Such as one made by: kubectl create configmap NAME --from-file=PATH (files of a folder, not of its
    sub-folders).
    """
    try:
        paths = sorted(item for item in path.iterdir() if item.is_file()) if path.is_dir() else [path]
        if not paths:
            raise InvalidInputError(f"{path} holds no file; those of its sub-folders do not count.")
        digest = content_digest(SourceFile(item.name, item.read_bytes()) for item in paths)
    except OSError as error:
        typer.echo(f"skillwarden digest: {path} cannot be read: {error.strerror}.", err=True)
        raise typer.Exit(64) from error
    except InvalidInputError as error:
        typer.echo(f"skillwarden digest: {error}", err=True)
        raise typer.Exit(64) from error
    typer.echo(digest.removeprefix("sha256:"))

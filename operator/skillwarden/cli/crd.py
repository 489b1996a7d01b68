"""``skillwarden crd``: print the CustomResourceDefinitions, for ``kubectl apply -f -``."""

from __future__ import annotations

from typing import Annotated

import typer

from skillwarden.api.crdgen import render
from skillwarden.api.v1alpha1.kinds import KINDS, Kind

from .ending import WRONG_USE


def _find(name: str) -> Kind:
    """Return a kind by any of its names, as kubectl takes them."""
    for kind in KINDS:
        if name.lower() in {kind.kind.lower(), kind.plural, kind.short}:
            return kind
    raise KeyError(name)


def command(
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Only this kind, by name, plural or short name; may be repeated. Without it: all kinds.",
        ),
    ] = None,
) -> None:
    """Print the CustomResourceDefinitions as YAML.

    To install them: skillwarden crd | kubectl apply --server-side -f -
    """
    try:
        chosen = [_find(name) for name in kind] if kind else list(KINDS)
    except KeyError as error:
        names = ", ".join(known.kind for known in KINDS)
        typer.echo(f"skillwarden crd: there is no kind {error.args[0]!r}; the kinds are {names}.", err=True)
        raise typer.Exit(WRONG_USE) from error
    typer.echo("---\n".join(render(item) for item in chosen), nl=False)

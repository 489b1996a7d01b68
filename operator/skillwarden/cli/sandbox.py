"""``skillwarden sandbox``: what the init container of a sandbox Pod runs."""

from __future__ import annotations

import typer

from ..sandbox.prepare import main

app = typer.Typer(help="Inside a sandbox Pod.", no_args_is_help=True, hidden=True)


@app.callback()
def group() -> None:
    """Inside a sandbox Pod."""


@app.command()
def prepare() -> None:
    """Fetch, verify and install what the Pod's spec names; run by the operator in an init container.

    It reads SKILLWARDEN_DEPOT_URL, SKILLWARDEN_TOKEN, SKILLWARDEN_LOCK_DIGEST, SKILLWARDEN_CONTENT_DIGEST
    and, for a run with input, SKILLWARDEN_INPUT_DIGEST, and writes to /skill. Exit codes: 64 wrong use,
    65 bytes that do not have their digest, 70 installation failed, 75 the depot does not answer.
    """
    raise typer.Exit(main())

"""``skillwarden depot``: the process that keeps artefacts and that sandboxes install from."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from ..api.v1alpha1.quantity import whole_bytes
from ..depot.fetch import FetchSettings, check_netrc
from ..depot.serving import Listening, serving
from ..depot.tokens import check_secret
from ..domain.errors import InvalidInputError, SkillwardenError
from ..runtime.address import host_and_port
from .stopping import stop_event

app = typer.Typer(
    help="The depot: keeps artefacts, sources and scan results by digest; sandboxes install from it.",
    no_args_is_help=True,
)

ENV_KEY = "SKILLWARDEN_DEPOT_KEY"
ENV_INDEX = "SKILLWARDEN_INDEX_URL"
ENV_GUARDDOG = "SKILLWARDEN_GUARDDOG_PYTHON"
EXIT_FAILED = 1
EXIT_USAGE = 64


@app.callback()
def group() -> None:
    """The depot: keeps artefacts, sources and scan results by digest; sandboxes install from it."""


@app.command()
def serve(  # noqa: PLR0917 - typer names every option by its parameter
    state: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of the store; made where it is absent.")
    ],
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="TCP address to listen on; no host: all of them.")
    ] = None,
    unix: Annotated[Path | None, typer.Option(metavar="PATH", help="Unix socket to listen on.")] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"File with the key that tokens derive from; or set {ENV_KEY}."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST[:PORT]", help="Host that artefacts may come from, besides those the index declares."
        ),
    ] = None,
    max_file_bytes: Annotated[
        int, typer.Option(min=1, metavar="BYTES", help="The largest artefact that is taken.")
    ] = 2 * 2**30,
    max_size: Annotated[
        str | None,
        typer.Option(
            metavar="QUANTITY",
            help="What the folder may hold, such as 10Gi; what nobody uses then goes. Without it: anything.",
        ),
    ] = None,
) -> None:
    """Serve the depot until it is told to stop (SIGTERM, SIGINT).

    It holds the index's credentials: from netrc, or in the index URL of SKILLWARDEN_INDEX_URL.
    SKILLWARDEN_GUARDDOG_PYTHON names the interpreter that runs GuardDog.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        listening = _listening(listen, unix)
        secret = read_key(key_file)
        limit = None if max_size is None else _size(max_size)
        check_netrc()
    except InvalidInputError as error:
        raise _stop(error, EXIT_USAGE) from error
    settings = FetchSettings(
        allowed_hosts=frozenset(allow_host or ()),
        index_url=os.environ.get(ENV_INDEX, ""),
        max_bytes=max_file_bytes,
    )
    try:
        asyncio.run(
            _until_stopped(
                state, listening, secret=secret, settings=settings, max_size=limit, guarddog=_guarddog()
            )
        )
    except SkillwardenError as error:
        raise _stop(error, EXIT_FAILED) from error


def read_key(path: Path | None) -> bytes:
    """Return the depot's key from a file or the environment; none is ever made up.

    Raises
    ------
    InvalidInputError
        Where there is none, it cannot be read, or it is too short.
    """
    if path is None:
        return check_secret(os.environ.get(ENV_KEY, "").strip().encode())
    try:
        return check_secret(path.read_bytes().strip())
    except OSError as error:
        raise InvalidInputError(f"the key file {path} cannot be read: {error.strerror}.") from error


async def _until_stopped(
    state: Path,
    listening: Listening,
    *,
    secret: bytes,
    settings: FetchSettings,
    max_size: int | None,
    guarddog: Path | None,
) -> None:
    stopped = stop_event()
    async with serving(
        state, listening, secret=secret, settings=settings, max_size=max_size, guarddog=guarddog
    ) as runner:
        for address in runner.addresses:
            where = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
            typer.echo(f"depot: listening on {where}", err=True)
        await stopped.wait()


def _guarddog() -> Path | None:
    python = os.environ.get(ENV_GUARDDOG)
    return Path(python).absolute() if python else None


def _size(text: str) -> int:
    try:
        return whole_bytes(text)
    except ValueError as error:
        raise InvalidInputError(f"--max-size {text!r} is no quantity.", fix="Such as 10Gi.") from error


def _listening(listen: str | None, unix: Path | None) -> Listening:
    if listen is None:
        if unix is None:
            raise InvalidInputError("there is nothing to listen on.", fix="Give --listen or --unix.")
        return Listening(unix=unix)
    try:
        host, port = host_and_port(listen)
    except ValueError as error:
        raise InvalidInputError(f"--listen {error}.") from error
    return Listening(host=host, port=port, unix=unix)


def _stop(error: SkillwardenError, code: int) -> typer.Exit:
    typer.echo(f"depot: {error}", err=True)
    return typer.Exit(code)

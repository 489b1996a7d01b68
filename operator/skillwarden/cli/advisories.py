"""``skillwarden advisories``: sync the advisories that packages are judged by, and say how old they are."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from skillwarden.advisories.errors import AdvisoryError
from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.sync import SyncProgress, SyncReport, SyncStage, sync
from skillwarden.domain.errors import SkillwardenError
from skillwarden.runtime import logs
from skillwarden.runtime.address import host_and_port
from skillwarden.runtime.advisories import AdvisoryKeeper
from skillwarden.runtime.advisory_server import advisory_server
from skillwarden.runtime.settings import Settings

from .ending import refused_settings
from .stopping import stop_event

app = typer.Typer(
    help="The advisories that packages are judged by: sync them, and see how old they are.",
    no_args_is_help=True,
)

_FAILED = 1
_PLAIN_SECONDS = 2.0
_STAGES = {SyncStage.DOWNLOAD: "fetching the dump", SyncStage.READ: "reading records"}


class OutputFormat(StrEnum):
    """How a command answers."""

    TABLE = "table"
    JSON = "json"


def default_folder() -> Path:
    """Return where everything that judges looks for the advisories, unless told otherwise."""
    try:
        return Settings().advisories
    except ValidationError as error:
        raise refused_settings("error", error) from error


Into = Annotated[
    Path | None,
    typer.Option(
        "--into",
        help="Folder of the index. Default: $SKILLWARDEN_ADVISORIES_DIR, else advisories/ below"
        " $SKILLWARDEN_STATE_DIR or the XDG state.",
    ),
]
Format = Annotated[OutputFormat, typer.Option("--format", help="table for people, json for scripts.")]


@app.command("sync")
def sync_command(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="URL|DIR",
            help="Folder of OSV JSON files or of PyPI/all.zip, or the URL below which PyPI/all.zip lies.",
        ),
    ],
    into: Into = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Take a dump that lost more than half of its records or went back in time."
        ),
    ] = False,
    output: Format = OutputFormat.TABLE,
) -> None:
    """Bring the advisories up to date; the last good ones stand where a source is refused."""
    try:
        with _progress() as say:
            report = asyncio.run(sync(source, into=into or default_folder(), force=force, on_progress=say))
    except AdvisoryError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_FAILED) from error
    if output is OutputFormat.JSON:
        typer.echo(json.dumps(_report_json(report), indent=2))
        return
    records = ", ".join(f"{count.records} for {name.value}" for name, count in report.counts.items())
    typer.echo(f"{'new advisories' if report.changed else 'nothing new'}: {records} in {report.path}")
    typer.echo(f"revision {report.revision}")
    if report.unreadable:
        typer.echo(
            f"warning: {report.unreadable} records cannot be read, e.g. {report.examples[0]}", err=True
        )
    if report.ignored:
        typer.echo(f"ignored, because not judged: {', '.join(report.ignored)}", err=True)


@app.command("serve")
def serve_command(
    source: Annotated[
        str,
        typer.Option("--from", metavar="URL|DIR", help="What is synced and served, as `sync` takes it."),
    ],
    into: Into = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="TCP address to listen on; no host: all of them.")
    ] = "127.0.0.1:8482",
    interval: Annotated[
        int, typer.Option(min=1, metavar="SECONDS", help="Seconds between two syncs.")
    ] = 3600,
) -> None:
    """Sync advisories and serve them until told to stop (SIGTERM, SIGINT): one server for a cluster.

    Operators sync from its URL. `pip-audit --vulnerability-service osv --osv-url URL/v1/query`, `uv audit
    --service-url URL` and `npm audit --registry URL` ask it what they would ask OSV and npm.
    """
    try:
        host_and_port(listen)
    except ValueError as error:
        raise typer.BadParameter(f"--listen {error}.") from error
    logs.configure()
    folder = into or default_folder()
    keeper = AdvisoryKeeper(source, into=folder, interval=interval)
    try:
        asyncio.run(_serve_until_stopped(keeper, folder, listen))
    except SkillwardenError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_FAILED) from error


async def _serve_until_stopped(keeper: AdvisoryKeeper, into: Path, address: str) -> None:
    stopped = stop_event()
    async with advisory_server(keeper, into=into, address=address) as runner:
        for host, port, *_ in runner.addresses:
            typer.echo(f"advisories: listening on {host}:{port}", err=True)
        await stopped.wait()


@app.command("status")
def status_command(into: Into = None, output: Format = OutputFormat.TABLE) -> None:
    """Say which advisories there are, and when they were last synced. Exit 1 where there are none."""
    try:
        index = AdvisoryIndex.open(into or default_folder())
    except AdvisoryError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_FAILED) from error
    status = _status_json(index, now=datetime.now(UTC))
    if output is OutputFormat.JSON:
        typer.echo(json.dumps(status, indent=2))
        return
    age = timedelta(seconds=int(status["ageSeconds"])) if status["ageSeconds"] is not None else "unknown"
    typer.echo(f"revision   {status['revision']}")
    typer.echo(f"synced at  {status['syncedAt'] or 'unknown'}")
    typer.echo(f"age        {age}")
    for name, count in status["ecosystems"].items():
        typer.echo(
            f"{name:<10} {count['records']} records about {count['packages']} packages"
            f" ({count['withdrawn']} withdrawn, {count['malformed']} that cannot be evaluated)"
        )
    if index.unreadable:
        typer.echo(f"unreadable {index.unreadable} records")
    typer.echo(f"path       {status['path']}")


def _report_json(report: SyncReport) -> dict[str, Any]:
    return {
        "source": report.source,
        "path": str(report.path),
        "revision": report.revision,
        "changed": report.changed,
        "syncedAt": report.synced_at.isoformat(),
        "ecosystems": {name.value: asdict(count) for name, count in report.counts.items()},
        "unreadable": report.unreadable,
        "unreadableExamples": list(report.examples),
        "ignored": list(report.ignored),
    }


def _status_json(index: AdvisoryIndex, *, now: datetime) -> dict[str, Any]:
    synced_at = index.synced_at
    return {
        "revision": index.revision,
        "syncedAt": synced_at.isoformat() if synced_at else None,
        "ageSeconds": max(0, int((now - synced_at).total_seconds())) if synced_at else None,
        "ecosystems": {name.value: asdict(count) for name, count in index.counts().items()},
        "unreadable": index.unreadable,
        "path": str(index.path),
    }


@contextmanager
def _progress() -> Iterator[Callable[[SyncProgress], None]]:
    """Yield what shows progress: bars on a terminal, a line now and then elsewhere; both on stderr."""
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {stage: bars.add_task(text, total=None, visible=False) for stage, text in _STAGES.items()}

        def say(progress: SyncProgress) -> None:
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total, visible=True)

        yield say


def _plain_progress() -> Callable[[SyncProgress], None]:
    shown = time.monotonic()

    def say(progress: SyncProgress) -> None:
        nonlocal shown
        if time.monotonic() - shown < _PLAIN_SECONDS:
            return
        shown = time.monotonic()
        whole = f" of {progress.total}" if progress.total is not None else ""
        unit = " bytes" if progress.stage is SyncStage.DOWNLOAD else ""
        typer.echo(f"{_STAGES[progress.stage]}: {progress.done}{whole}{unit}", err=True)

    return say

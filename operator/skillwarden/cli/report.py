"""``skillwarden report skill/NAME``: the full scan result, from the depot."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from ..depot.client import DepotClient
from ..depot.tokens import operator_token
from ..domain.errors import InvalidInputError
from ..domain.finding import FACTS, ScanResult
from ..domain.lock import Lock
from ..domain.merge import merge_findings
from ..runtime.settings import Settings
from .cluster import (
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    SkillArgument,
    connected,
    namespace_of,
    the_skill,
)
from .ending import run_command
from .terminal import FormatOption, OutputFormat, output


def command(
    skill: SkillArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    fmt: FormatOption = OutputFormat.TEXT,
) -> None:
    """Show the whole closure and what every scanner said of it.

    The depot keeps it: set SKILLWARDEN_DEPOT__URL (or SKILLWARDEN_DEPOT__UNIX_SOCKET) and
    SKILLWARDEN_DEPOT__KEY_FILE, as for the operator; `skillwarden local up` prints them.
    """

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = namespace_of(namespace, kubeconfig, context)
            body = await the_skill(gateway, place, skill)
        lock, scan = await records_of(body)
        if fmt is OutputFormat.JSON:
            record = {"lock": lock.to_json(), "scan": scan.to_json() if scan else None}
            typer.echo(json.dumps(record, indent=2))
        else:
            show(lock, scan, output())
        return 0

    run_command("report", work())


async def records_of(body: dict[str, Any]) -> tuple[Lock, ScanResult | None]:
    """Return a Skill's lock and its scan, from the depot.

    Raises
    ------
    InvalidInputError
        Where there is no lock, or the depot's settings do not suffice.
    """
    status = body.get("status") or {}
    digest = (status.get("lock") or {}).get("digest")
    if not digest:
        raise InvalidInputError(
            f"{body['metadata']['name']} has no lock: it was not resolved.", fix="See `skillwarden explain`."
        )
    async with the_depot() as depot:
        lock, scan = await recorded(depot, status)
    if lock is None:
        raise InvalidInputError(
            f"the depot does not have the lock {digest}.", fix="Is it the operator's depot?"
        )
    return lock, scan


@asynccontextmanager
async def the_depot() -> AsyncIterator[DepotClient]:
    """Connect to the depot of the settings.

    Raises
    ------
    InvalidInputError
        Where they do not suffice.
    """
    settings = Settings()
    try:
        token = operator_token(settings.depot.read_key())
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
    async with DepotClient(
        settings.depot.url, operator_token=token, unix_socket=settings.depot.unix_socket
    ) as depot:
        yield depot


async def recorded(depot: DepotClient, status: Mapping[str, Any]) -> tuple[Lock | None, ScanResult | None]:
    """Return the lock that a Skill's status names, and its scan; ``None`` for what is not there."""
    digest = (status.get("lock") or {}).get("digest")
    if not digest:
        return None, None
    revision = (status.get("scan") or {}).get("advisoryRevision")
    scan = await depot.get_scan(digest, revision) if revision is not None else None
    return await depot.get_lock(digest), scan or await depot.latest_scan(digest)


def show(lock: Lock, scan: ScanResult | None, console: Console) -> None:
    """Print a lock and its scan for a person."""
    console.print(f"Lock {lock.digest} for {lock.platform}", highlight=False)
    packages = Table(title=f"{len(lock.packages)} package(s)", title_justify="left", box=None, pad_edge=False)
    for column in ("Package", "Artefact", "SHA-256", "Path"):
        packages.add_column(column, overflow="fold")
    for package in lock.packages:
        path = " > ".join(lock.paths[package.id])
        packages.add_row(str(package.id), package.artefact.filename, package.artefact.digest, path)
    console.print(packages)
    if scan is None:
        console.print("\nIt was not scanned." if lock.packages else "\nThere is nothing to scan.")
        return
    _scanners(scan, console)
    _findings(scan, console)


def _scanners(scan: ScanResult, console: Console) -> None:
    table = Table(title="Scanners", title_justify="left", box=None, pad_edge=False)
    for column in ("Scanner", "State", "Looked at", "Findings", "Error"):
        table.add_column(column, overflow="fold")
    for report in scan.reports:
        table.add_row(
            report.scanner, report.state, str(len(report.audited)), str(len(report.findings)), report.error
        )
    console.print()
    console.print(table)


def _findings(scan: ScanResult, console: Console) -> None:
    table = Table(title="Findings", title_justify="left", box=None, pad_edge=False)
    for column in ("Severity", "Finding", "Aliases", "Package", "Fixed in", "Summary"):
        table.add_column(column, overflow="fold")
    for finding in merge_findings(scan.reports):
        if finding.kind not in FACTS:
            summary = finding.summary.replace("[", "\\[")
            fixed = ", ".join(finding.fixed_versions) or "-"
            aliases = ", ".join(finding.aliases)
            table.add_row(finding.severity, finding.id, aliases, str(finding.package), fixed, summary)
    console.print()
    console.print(table if table.row_count else "No findings.")

"""``skillwarden explain skill/NAME``: why a skill of a cluster may run, or may not, from its status."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

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

NOT_JUDGED = 2


def command(  # noqa: PLR0917 - typer names every option by its parameter
    ctx: typer.Context,
    skill: SkillArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    fmt: FormatOption = OutputFormat.TEXT,
) -> None:
    """Say why a skill may run or may not: conditions, grounds with their fixes, findings with their paths.

    Reads the Skill's status alone, so that whoever may read the Skill may ask.

    Exit code 0: allowed. 1: not allowed. 2: not judged yet, or the cluster does not answer. 64: wrong use.
    """

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = namespace_of(namespace, kubeconfig, context)
            body = await the_skill(gateway, place, skill)
        status = body.get("status") or {}
        if fmt is OutputFormat.JSON:
            typer.echo(json.dumps(status, indent=2, sort_keys=True))
        else:
            show(body, output())
        return {"Allowed": 0, "ApprovalRequired": 1, "Denied": 1}.get(str(status.get("verdict")), NOT_JUDGED)

    run_command(ctx.info_name or "explain", work(), failed=NOT_JUDGED)


def show(body: dict[str, Any], console: Console) -> None:
    """Print a Skill's status for a person."""
    meta, status = body["metadata"], body.get("status") or {}
    verdict = status.get("verdict") or "not judged yet"
    console.print(f"[bold]{meta.get('namespace')}/{meta['name']}[/bold]: {verdict}", highlight=False)
    facts = {
        "Agent": ((body.get("spec") or {}).get("agentRef") or {}).get("name") or "none (Student)",
        "Maturity": status.get("maturity"),
        "Packages": status.get("packages"),
        "Lock": (status.get("lock") or {}).get("digest"),
        "Content": status.get("contentDigest"),
        "Advisories": (status.get("scan") or {}).get("advisoryRevision"),
    }
    for name, value in facts.items():
        if value is not None:
            console.print(f"  {name + ':':<12}{value}", highlight=False, markup=False)
    _conditions(status, console)
    _list("Grounds", status.get("reasons") or [], console)
    decided = [f"{item['policy']}: {item['rule']}" for item in status.get("decidedBy") or []]
    _list("Decided by", decided, console)
    _findings(status.get("topFindings") or [], console)
    _list(
        "Waiting for approval",
        [
            f"{item['declared']}: {', '.join(item['packages'])} (for {item['minMaturity']}"
            f"{'; skillwarden approve ' + item['name'] if item.get('name') else ''})"
            for item in status.get("pendingApprovals") or []
        ],
        console,
    )


def _conditions(status: dict[str, Any], console: Console) -> None:
    table = Table(title="Conditions", title_justify="left", box=None, pad_edge=False)
    for column in ("Type", "Status", "Reason", "Message"):
        table.add_column(column, overflow="fold")
    for item in status.get("conditions") or []:
        # The grounds below say the same, one by one.
        repeated = bool(status.get("reasons")) and item["type"] in {"Compliant", "Ready"}
        message = "see the grounds below" if repeated else item.get("message", "")
        table.add_row(item["type"], item["status"], item["reason"], _plain(message))
    console.print()
    console.print(table)


def _findings(findings: list[dict[str, Any]], console: Console) -> None:
    if not findings:
        return
    table = Table(title="Findings that matter most", title_justify="left", box=None, pad_edge=False)
    for column in ("Severity", "Finding", "Package", "Path", "Fix"):
        table.add_column(column, overflow="fold")
    for item in findings:
        table.add_row(
            *(_plain(str(item.get(key, ""))) for key in ("severity", "id", "package", "path", "fix"))
        )
    console.print()
    console.print(table)


def _list(title: str, lines: list[str], console: Console) -> None:
    if not lines:
        return
    console.print(f"\n[italic]{title}[/italic]")
    for line in lines:
        console.print(f"  - {line}", highlight=False, markup=False, soft_wrap=False)


def _plain(text: str) -> str:
    """Keep a status from being read as markup."""
    return text.replace("[", "\\[")

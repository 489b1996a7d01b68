"""``skillwarden policy diff``: what a policy would change on a cluster, before it is applied."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..depot.client import DepotClient
from ..domain.errors import InvalidInputError
from ..domain.grounds import one_line
from ..domain.skill import ConfigMapSource
from ..domain.source_finding import SourceFinding
from ..kube.gateway import Gateway
from ..kube.kinds import Kind
from ..runtime.configured import utc_now
from ..scan.names import name_findings
from ..services.records import (
    ApprovalRecord,
    PolicyRecord,
    SkillRecord,
    approval_record,
    policy_record,
    skill_record,
)
from ..services.sources import ConfigMapSources
from ..services.store import applicable
from ..services.whatif import Outlook, Recorded, outlook
from ..source.look import source_findings
from .cluster import ContextOption, KubeconfigOption, connected, namespace_of
from .ending import WRONG_USE, run_command
from .judging import read_policies
from .report import recorded, the_depot
from .terminal import FormatOption, OutputFormat, output

SAME, CHANGES, UNDECIDED = 0, 1, 2
_SHOWN = 3


def command(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The policies as they would be."),
    ],
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            help="Look at its skills alone. Without it: at those of all namespaces; a PackagePolicy without"
            " one is then taken to be for the context's.",
        ),
    ] = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    fmt: FormatOption = OutputFormat.TEXT,
) -> None:
    """Say which skills of the cluster would change verdict by these policies; nothing is written.

    A policy replaces the one of its kind and name, or comes to the others. Every skill is judged anew from
    what is on record: its lock and findings in the depot (settings as for `report`), the maturity of its
    agent, its approvals. The age of advisories is not looked at.

    Exit code 0: no verdict would change. 1: one would. 2: none of those that could be judged would, and some
    could not; or the cluster or the depot does not answer. 64: wrong use, such as an unreadable policy.
    """
    try:
        proposed = _proposed(file, namespace_of(namespace, kubeconfig, context))
    except InvalidInputError as error:
        typer.echo(f"skillwarden policy diff: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway, the_depot() as depot:
            found = await _outlooks(gateway, depot, proposed, namespace)
        changed = [item for item in found if item.changes]
        unjudged = [item for item in found if item.obstacle]
        if fmt is OutputFormat.JSON:
            typer.echo(json.dumps(_json(found, changed, unjudged), indent=2))
        else:
            _show(found, changed, unjudged)
        return CHANGES if changed else UNDECIDED if unjudged else SAME

    run_command("policy diff", work(), failed=UNDECIDED)


def _proposed(file: Path, namespace: str) -> list[PolicyRecord]:
    records = []
    for body in read_policies(file):
        if body["kind"] == "PackagePolicy":
            body["metadata"].setdefault("namespace", namespace)
        else:
            body["metadata"].pop("namespace", None)
        record = policy_record(body["kind"], body)
        if record.policy is None:
            raise InvalidInputError(f"{file}: {record.ref} cannot be read: {record.error}")
        records.append(record)
    return records


async def _outlooks(
    gateway: Gateway, depot: DepotClient, proposed: list[PolicyRecord], namespace: str | None
) -> list[Outlook]:
    bodies = (await gateway.list(Kind.SKILL, namespace=namespace)).items
    local = (await gateway.list(Kind.PACKAGE_POLICY, namespace=namespace)).items
    cluster = (await gateway.list(Kind.CLUSTER_PACKAGE_POLICY)).items
    today = [policy_record("PackagePolicy", item) for item in local]
    today += [policy_record("ClusterPackagePolicy", item) for item in cluster]
    replaced = {record.ref for record in proposed}
    then = [record for record in today if record.ref not in replaced] + proposed
    labels = await _labels(gateway, namespace)
    approvals: dict[str, list[ApprovalRecord]] = {}
    for item in (await gateway.list(Kind.PACKAGE_APPROVAL, namespace=namespace)).items:
        approvals.setdefault(item["metadata"]["namespace"], []).append(approval_record(item))
    sources = ConfigMapSources(gateway, look=source_findings)
    found = []
    for body in bodies:
        record = skill_record(body, name_findings=name_findings, source_findings=source_findings)
        place = record.key.namespace
        lock, scan = await recorded(depot, record.status)
        seen = Recorded(
            record=record,
            lock=lock,
            scan=scan,
            source_findings=await _source(sources, record),
            approvals=approvals.get(place, []),
            policies=_applicable(place, labels, today),
        )
        found.append(outlook(seen, _applicable(place, labels, then), now=utc_now()))
    return sorted(found, key=lambda item: item.skill)


def _applicable(
    namespace: str, labels: Mapping[str, Mapping[str, str]], records: list[PolicyRecord]
) -> tuple[PolicyRecord, ...]:
    return applicable(
        namespace,
        labels=labels.get(namespace, {}),
        local=[record for record in records if record.ref.namespace],
        cluster=[record for record in records if not record.ref.namespace],
    )


async def _labels(gateway: Gateway, namespace: str | None) -> dict[str, Mapping[str, str]]:
    if namespace is None:
        items = (await gateway.list(Kind.NAMESPACE)).items
    else:
        body = await gateway.get(Kind.NAMESPACE, name=namespace)
        items = [body] if body is not None else []
    return {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in items}


async def _source(sources: ConfigMapSources, record: SkillRecord) -> tuple[SourceFinding, ...] | None:
    if record.spec is None or not isinstance(record.spec.source, ConfigMapSource):
        return record.source_findings
    seen = await sources.look(record.key.namespace, record.spec.source, invocation=record.spec.invocation)
    return seen[0] if isinstance(seen, tuple) else None


def _json(found: list[Outlook], changed: list[Outlook], unjudged: list[Outlook]) -> dict[str, Any]:
    return {
        "skills": len(found),
        "changes": [
            {
                "skill": item.skill,
                "before": item.before,
                "after": item.after,
                "reason": item.reason,
                "grounds": list(item.grounds),
            }
            for item in changed
        ],
        "notJudged": [
            {"skill": item.skill, "verdict": item.before, "why": item.obstacle} for item in unjudged
        ],
    }


def _show(found: list[Outlook], changed: list[Outlook], unjudged: list[Outlook]) -> None:
    console = output()
    if changed:
        table = Table(box=None, pad_edge=False)
        for column in ("Skill", "Verdict", "Would be", "Reason", "Grounds"):
            table.add_column(column, overflow="fold")
        for item in changed:
            grounds = "\n".join(one_line(text) for text in item.grounds[:_SHOWN])
            row = (item.skill, item.before, item.after, item.reason, grounds)
            table.add_row(*(cell.replace("[", "\\[") for cell in row))
        console.print(table)
    for item in unjudged:
        typer.echo(f"not judged: {item.skill} ({item.before}): {one_line(item.obstacle)}")
    typer.echo(
        f"{len(changed)} of {len(found)} skill(s) would change verdict; {len(unjudged)} could not be judged"
    )

"""``skillwarden approvals``, ``approve`` and ``deny``: what waits for a person, and that person's word."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from ..api.v1alpha1.quantity import parse_duration
from ..domain.errors import InvalidInputError
from ..domain.grounds import one_line
from ..domain.policy import Maturity
from ..kube.errors import Conflict, Forbidden, Invalid
from ..kube.gateway import Gateway
from ..kube.kinds import Kind
from .cluster import ContextOption, KubeconfigOption, NamespaceOption, connected, namespace_of
from .ending import WRONG_USE, run_command
from .judging import named_maturity
from .terminal import FormatOption, OutputFormat, output

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The PackageApproval; `skillwarden approvals` lists them.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept with the decision for good.")]
_SHOWN = 4


def approvals(  # noqa: PLR0917 - typer names every option by its parameter
    namespace: NamespaceOption = None,
    everywhere: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="Those of every namespace.")
    ] = False,
    decided: Annotated[bool, typer.Option("--all", help="Decided ones, too.")] = False,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
    fmt: FormatOption = OutputFormat.TEXT,
) -> None:
    """List what waits for approval: the package, why, for whom, and which policies ask.

    Exit code 0. 1: the cluster does not answer. 64: wrong use.
    """

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = None if everywhere else namespace_of(namespace, kubeconfig, context)
            listing = await gateway.list(Kind.PACKAGE_APPROVAL, namespace=place)
        items = [item for item in listing.items if decided or not _decision(item)]
        if fmt is OutputFormat.JSON:
            typer.echo(json.dumps(items, indent=2, sort_keys=True))
        else:
            _show(items)
        return 0

    run_command("approvals", work())


def approve(  # noqa: PLR0917 - as above
    name: NameArgument,
    reason: ReasonOption,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="DURATION", help="When it ends, such as 720h or 30d. Without it: never."
        ),
    ] = None,
    min_maturity: Annotated[
        str | None,
        typer.Option(
            "--min-maturity",
            metavar="LEVEL",
            help="Cover agents of this level and above only. Without it: the level that it was asked for.",
        ),
    ] = None,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Approve a request: its artefacts by hash, with the findings known now. It cannot be taken back.

    It takes the role skillwarden-approver and the verb approve on every policy that asks. Who may change
    skills in the namespace can approve nothing there. A later ban, finding or artefact voids it.

    Exit code 0. 1: refused, already decided, or no such request. 64: wrong use.
    """
    decision: dict[str, Any] = {"verdict": "Approved", "reason": reason}
    try:
        if expires:
            decision["expiresAt"] = _end(expires)
        if level := named_maturity(min_maturity, option="--min-maturity"):
            decision["minMaturity"] = level.value
    except InvalidInputError as error:
        typer.echo(f"skillwarden approve: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error
    _decide("approve", name, decision, namespace, kubeconfig, context)


def deny(
    name: NameArgument,
    reason: ReasonOption,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Deny a request, for good: its artefacts are denied to every skill of the namespace.

    Exit code 0. 1: refused, already decided, or no such request. 64: wrong use.
    """
    _decide("deny", name, {"verdict": "Denied", "reason": reason}, namespace, kubeconfig, context)


def _decide(  # noqa: PLR0917 - what two commands share
    command: str, name: str, decision: dict[str, Any], namespace: Any, kubeconfig: Any, context: Any
) -> None:
    if not decision["reason"].strip():
        typer.echo(
            f"skillwarden {command}: --reason is empty. Say why, for whoever reads it later.", err=True
        )
        raise typer.Exit(WRONG_USE)

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = namespace_of(namespace, kubeconfig, context)
            body = await _request(gateway, place, name)
            decision["approver"] = await gateway.whoami() or getpass.getuser()
            await write_decision(gateway, body, decision)
        typer.echo(f"{place}/{name}: {decision['verdict']} by {decision['approver']}.")
        return 0

    run_command(command, work())


async def _request(gateway: Gateway, namespace: str, name: str) -> dict[str, Any]:
    body = await gateway.get(Kind.PACKAGE_APPROVAL, name=name, namespace=namespace)
    if body is None:
        raise InvalidInputError(
            f"there is no PackageApproval {namespace}/{name}.",
            fix=f"See: skillwarden approvals -n {namespace}.",
        )
    known = _decision(body)
    if known:
        raise InvalidInputError(
            f"PackageApproval {namespace}/{name} was decided already: {known.get('verdict')} by"
            f" {known.get('approver')} ({one_line(str(known.get('reason')))}).",
            fix="A decision is permanent. To take a package away, ban it: skillwarden ban.",
        )
    return body


async def write_decision(gateway: Gateway, body: dict[str, Any], decision: dict[str, Any]) -> None:
    """Write a decision on a request as it was read: of two approvers at once, the second hears of the first.

    Raises
    ------
    InvalidInputError
        Where the request changed since, or the API server refuses the decision.
    """
    meta = body["metadata"]
    patch = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "status": {"decision": decision}}
    try:
        await gateway.merge(
            Kind.PACKAGE_APPROVAL,
            patch,
            name=meta["name"],
            namespace=meta["namespace"],
            subresource="status",
        )
    except Conflict as error:
        raise InvalidInputError(
            f"PackageApproval {meta['namespace']}/{meta['name']} changed just now; nothing was decided.",
            fix="Look at it again, and repeat the command.",
        ) from error
    except (Forbidden, Invalid) as error:
        raise InvalidInputError(f"the API server refuses the decision: {error.message}") from error


def _end(text: str) -> str:
    days = text.removesuffix("d")
    duration = f"{int(days) * 24}h" if text.endswith("d") and days.isdecimal() else text
    try:
        end = datetime.now(UTC) + parse_duration(duration)
    except (ValueError, OverflowError) as error:
        raise InvalidInputError(f"--expires {text[:40]}: {error}.", fix="Write 30d or 720h.") from error
    return end.strftime("%Y-%m-%dT%H:%M:%SZ")


def _decision(body: dict[str, Any]) -> dict[str, Any]:
    return (body.get("status") or {}).get("decision") or {}


def _show(items: list[dict[str, Any]]) -> None:
    console = output()
    if not items:
        console.print("Nothing waits for approval.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("Namespace", "Name", "Package", "Why", "For", "Asked by", "Decision"):
        table.add_column(column, overflow="fold")
    for item in items:
        table.add_row(*(cell.replace("[", "\\[") for cell in _row(item)))
    console.print(table)


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    spec, status = item["spec"], item.get("status") or {}
    package, source = spec.get("package"), spec.get("source")
    findings = [one_line(f"{found['id']} ({found['severity']})") for found in spec.get("findings") or ()]
    if source:
        findings = [
            one_line(f"{found['rule']} at {found['path']}:{found['line']} ({found['severity']})")
            for found in source.get("findings") or ()
        ]
    why = _some(findings) or f"{len(spec.get('artefacts') or ())} artefact(s) that no policy lists"
    if package and not spec.get("artefacts"):
        seen = [one_line(f"{found['kind']} {found['id']}") for found in spec.get("findings") or ()]
        why = f"to be looked up in the index ({_some(seen)})"
    subject = (
        f"{' '.join(filter(None, (package['name'], package['version'])))} ({package['ecosystem']})"
        if package
        else f"a skill's own files ({str((source or {}).get('digest'))[:19]})"
    )
    asking = (status.get("requestedBy") or {}).get("skills") or ()
    policies = [f"{policy['kind']} {policy['name']}" for policy in spec["policies"]]
    return (
        item["metadata"]["namespace"],
        item["metadata"]["name"],
        subject,
        f"{why}; {_some(policies)} asks",
        Maturity(spec["minMaturity"]).value,
        _some([str(skill) for skill in asking]),
        str(_decision(item).get("verdict") or "waits"),
    )


def _some(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more

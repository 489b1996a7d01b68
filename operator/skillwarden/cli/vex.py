"""``skillwarden vex export``: what people accepted on a cluster, as OpenVEX for other tools."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import typer

from .. import __version__
from ..domain.approval_request import Effect
from ..domain.conditions import timestamp
from ..domain.errors import InvalidInputError
from ..domain.finding import FindingKind
from ..domain.package import Ecosystem, PackageId
from ..kube.kinds import Kind
from ..services.records import approval_record
from .cluster import ContextOption, KubeconfigOption, NamespaceOption, connected, namespace_of
from .ending import WRONG_USE, run_command
from .sbom import TimeOption, read_time

CONTEXT = "https://openvex.dev/ns/v0.2.0"
_ADVISED = {FindingKind.VULNERABILITY.value, FindingKind.MALICIOUS.value}
_HASHES = {"sha256": "sha-256", "sha512": "sha-512"}

app = typer.Typer(help="Accepted findings, for other tools.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Accepted findings, for other tools."""


@app.command("export")
def export(  # noqa: PLR0917 - typer names every option by its parameter
    namespace: NamespaceOption = None,
    everywhere: Annotated[
        bool, typer.Option("--all-namespaces", "-A", help="The approvals of every namespace.")
    ] = False,
    author: Annotated[str, typer.Option("--author", help="Who publishes the document.")] = "Skillwarden",
    time: TimeOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Print the advisories that people accepted, by PackageApprovals that count at --time, as OpenVEX JSON.

    The status is `affected`, for that is what was accepted; the action statement says who accepted it, why,
    for whom and until when. Denied, expired and voided approvals, and findings that are no advisories, are
    left out; standard error says how many. The same approvals and --time give the same document.

    Exit code 0: printed. 1: the cluster does not answer. 64: wrong use.
    """
    try:
        at = read_time(time)
    except InvalidInputError as error:
        typer.echo(f"skillwarden vex export: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = None if everywhere else namespace_of(namespace, kubeconfig, context)
            listing = await gateway.list(Kind.PACKAGE_APPROVAL, namespace=place)
        document, left_out = vex_of(listing.items, at=at, author=author)
        typer.echo(json.dumps(document, indent=2))
        for why, count in sorted(left_out.items()):
            typer.echo(f"left out: {count} {why}", err=True)
        return 0

    run_command("vex export", work())


def vex_of(
    approvals: Iterable[dict[str, Any]], *, at: datetime, author: str
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the document of some PackageApprovals, and how many things were left out for which reason.

    Parameters
    ----------
    approvals
        Objects, in any order.
    at
        The time (UTC) that the document is made at, and that approvals must count at.
    author
        Who publishes it.
    """
    statements: list[dict[str, Any]] = []
    left_out: dict[str, int] = {}

    def leave(why: str, count: int = 1) -> None:
        left_out[why] = left_out.get(why, 0) + count

    for body in approvals:
        why = _void(body, at)
        if why:
            leave(why)
            continue
        findings = body["spec"].get("findings") or []
        advised = [item for item in findings if item["kind"] in _ADVISED]
        others = len(findings) - len(advised) + len((body["spec"].get("source") or {}).get("findings") or ())
        if others:
            leave("accepted finding(s) that are no advisories", others)
        statements += [_statement(body, item) for item in advised]
    statements.sort(key=lambda item: json.dumps(item, sort_keys=True))
    document = {
        "@context": CONTEXT,
        "author": author,
        "timestamp": timestamp(at),
        "version": 1,
        "tooling": f"skillwarden/{__version__}",
        "statements": statements,
    }
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    return {"@context": CONTEXT, "@id": f"urn:skillwarden:vex:{digest}", **document}, left_out


def _void(body: dict[str, Any], at: datetime) -> str:
    """Return why an approval accepts nothing at a time; empty: it does."""
    record = approval_record(body)
    if record.request is None:
        return "approval(s) that cannot be read"
    decision = record.request.decision
    if decision is None:
        return "undecided request(s)"
    if not decision.approved:
        return "denied request(s)"
    if record.request.spent(at):
        return "expired approval(s)"
    if _effective(body).get("reason") != Effect.APPROVED:
        return "approval(s) that the operator does not count"
    return ""


def _effective(body: dict[str, Any]) -> dict[str, Any]:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item.get("type") == "Effective"), {})


def _statement(body: dict[str, Any], finding: dict[str, Any]) -> dict[str, Any]:
    meta, decision = body["metadata"], body["status"]["decision"]
    named = f"PackageApproval {meta['namespace']}/{meta['name']}"
    package = _package(finding)
    artefacts = [item for item in body["spec"].get("artefacts") or () if _package(item) == package]
    hashes = {
        _HASHES[item["digest"].partition(":")[0]]: item["digest"].partition(":")[2] for item in artefacts
    }
    product: dict[str, Any] = {"@id": package.purl, "identifiers": {"purl": package.purl}}
    if hashes:
        product["hashes"] = hashes
    until = f" until {decision['expiresAt']}" if decision.get("expiresAt") else ""
    maturity = decision.get("minMaturity") or body["spec"]["minMaturity"]
    since = _effective(body).get("lastTransitionTime")
    return {
        "vulnerability": {
            "name": finding["id"],
            **({"description": finding["summary"]} if finding.get("summary") else {}),
        },
        "products": [product],
        "status": "affected",
        "status_notes": f"{named}; severity {finding['severity']}.",
        "action_statement": f"Accepted by {decision['approver']} for agents of maturity {maturity} and above"
        f"{until}: {decision['reason']}",
        **({"timestamp": since, "action_statement_timestamp": since} if since else {}),
    }


def _package(item: dict[str, Any]) -> PackageId:
    return PackageId.of(Ecosystem(item["ecosystem"]), item["name"], item["version"])

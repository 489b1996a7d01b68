"""``skillwarden sbom``: what a skill consists of, as CycloneDX, from a file or of a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ..domain.assess import Assessment, verdict_word
from ..domain.errors import InvalidInputError
from ..domain.merge import merge_findings
from ..runtime.configured import utc_now
from ..runtime.settings import Settings
from ..services.offline import obstacle
from ..services.records import SkillRecord
from ..skillmd.manifest import Choices
from .cluster import (
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    connected,
    names_skills,
    namespace_of,
    skill_name,
    the_skill,
)
from .ending import WRONG_USE, run_command
from .importing import (
    EnvOption,
    ExcludeOption,
    TakeProposalsOption,
    WithoutOption,
    choices_of,
    show_remarks,
)
from .judging import (
    AdvisoriesOption,
    MaturityOption,
    PolicyOption,
    bench,
    chosen_policies,
    maturity_for,
    named_maturity,
    one_skill,
)
from .manifests import FOLDER_OPTIONS, read_given
from .render.sbom import Described, render_sbom
from .report import records_of
from .terminal import progress

TimeOption = Annotated[
    str | None,
    typer.Option("--time", help="What the document says it was made at (ISO 8601). Without it: now."),
]


def command(  # noqa: PLR0917 - typer names every option by its parameter
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|skill/NAME",
            help="A manifest or folder, as for check; or a Skill of the cluster. What exists is a file.",
        ),
    ],
    policy: PolicyOption = None,
    maturity: MaturityOption = None,
    advisories: AdvisoriesOption = None,
    time: TimeOption = None,
    env: EnvOption = None,
    exclude: ExcludeOption = None,
    without: WithoutOption = None,
    take_proposals: TakeProposalsOption = False,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Print a skill with its whole closure as CycloneDX 1.6 JSON: purls, hashes, graph, findings, verdict.

    A file is resolved, scanned and judged as `check` does, with its options.
    Of a Skill in the cluster, lock and findings come from the depot (as for `report`), the verdict from its
    status.

    Exit code 0: printed, whatever the verdict is. 1: there is no closure (the skill is invalid, refused by
    names alone, or not resolved). 64: wrong use.
    """
    try:
        at = read_time(time)
        choices = choices_of(env, exclude, without, take_proposals=take_proposals)
        path = Path(what)
        if path.exists():
            given = read_given(path, choices)
            show_remarks(path, given.remarks)
            record = one_skill(given, path)
            policies = chosen_policies(policy, given, record)
            level = maturity_for(named_maturity(maturity), record, given)
        elif _names_a_file(what):
            raise InvalidInputError(f"there is no file {what}.", fix="A Skill of the cluster is skill/NAME.")
        elif policy or maturity or advisories or choices != Choices():
            raise InvalidInputError(
                f"{what} is no file, and --policy, --maturity, --advisories, {FOLDER_OPTIONS} are for files.",
                fix="Name a manifest, or leave them out: the cluster's own verdict counts.",
            )
    except InvalidInputError as error:
        typer.echo(f"skillwarden sbom: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error

    async def of_file() -> int:
        with progress("Reading the advisories …") as say:
            async with bench(Settings(), advisories) as made:
                _, assessment = await made.judge(record, policies, level, say=say)
        typer.echo(_of_assessment(record, assessment, at), nl=False)
        return 0

    async def of_cluster() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = namespace_of(namespace, kubeconfig, context)
            body = await the_skill(gateway, place, skill_name(what))
        lock, scan = await records_of(body)
        findings = merge_findings(scan.reports) if scan else ()
        typer.echo(render_sbom(_of_body(body), lock, findings, at=at), nl=False)
        return 0

    run_command("sbom", of_file() if path.exists() else of_cluster())


def _names_a_file(what: str) -> bool:
    """Whether somebody meant a file, who wrote the name of none."""
    folder, slash, _ = what.rpartition("/")
    return Path(what).suffix in {".yaml", ".yml", ".json"} or (bool(slash) and not names_skills(folder))


def read_time(text: str | None) -> datetime:
    """Return the time that was named, in UTC; without one, now.

    Raises
    ------
    InvalidInputError
        Where it is none.
    """
    if text is None:
        return utc_now().replace(microsecond=0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(
            f"--time {text[:40]} is no time.", fix="Write it as 2026-11-27T08:00:00Z."
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _of_assessment(record: SkillRecord, assessment: Assessment, at: datetime) -> str:
    lock, verdict, scan = assessment.lock, assessment.verdict, assessment.scan
    if lock is None:
        draft = assessment.compliant if verdict is not None else obstacle(assessment)
        raise InvalidInputError(
            f"{record.key.name} has no closure to describe ({draft.reason}): {draft.message}"
        )
    facts = [
        ("verdict", verdict_word(assessment)),
        ("reason", str(assessment.compliant.reason)),
        ("maturity", assessment.maturity.value),
        ("lockDigest", lock.digest),
        ("platform", str(lock.platform)),
        *([("advisoryRevision", scan.advisory_revision)] if scan else []),
        *(("ground", item.message) for item in (verdict.reasons if verdict else ())),
        *(("decidedBy", f"{ref}: {rule}") for ref, rule in (verdict.decided_by if verdict else ())),
    ]
    described = Described(
        name=record.key.name,
        namespace=record.key.namespace,
        content_digest=assessment.content_digest or "",
        properties=tuple(facts),
    )
    return render_sbom(described, lock, merge_findings(scan.reports) if scan else (), at=at)


def _of_body(body: dict[str, Any]) -> Described:
    meta, status = body["metadata"], body.get("status") or {}
    conditions = {item.get("type"): item for item in status.get("conditions") or ()}
    facts = [
        ("verdict", status.get("verdict")),
        ("reason", (conditions.get("Compliant") or {}).get("reason")),
        ("maturity", status.get("maturity")),
        ("lockDigest", (status.get("lock") or {}).get("digest")),
        ("platform", (status.get("lock") or {}).get("platform")),
        ("advisoryRevision", (status.get("scan") or {}).get("advisoryRevision")),
        ("uid", meta.get("uid")),
        *(("ground", text) for text in status.get("reasons") or ()),
        *(("decidedBy", f"{item['policy']}: {item['rule']}") for item in status.get("decidedBy") or ()),
    ]
    return Described(
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        content_digest=status.get("contentDigest") or "",
        properties=tuple((name, str(text)) for name, text in facts if text),
    )

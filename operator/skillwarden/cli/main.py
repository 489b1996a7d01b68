"""``skillwarden``: mounts every command."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from ..domain.errors import SkillwardenError
from . import (
    advisories,
    approvals,
    audit,
    bans,
    check,
    crd,
    demo,
    depot,
    digest,
    explain,
    importing,
    local,
    operator,
    policy,
    refresh,
    report,
    run,
    sandbox,
    sbom,
    vex,
)

#: What a shell gets for wrong use (EX_USAGE of sysexits.h); 2 is taken by "could not be judged".
EXIT_USAGE = 64

app = typer.Typer(
    name="skillwarden",
    help="Governs, scans and sandboxes the skills of AI agents on Kubernetes.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"skillwarden {__version__}")
        raise typer.Exit


@app.callback()
def group(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Governs, scans and sandboxes the skills of AI agents on Kubernetes."""


app.command("check")(check.command)
app.command("explain")(explain.command)
app.command("refresh")(refresh.command)
app.command("report")(report.command)
app.command("sbom")(sbom.command)
app.command("run")(run.command)
app.command("digest")(digest.command)
app.command("crd")(crd.command)
app.command("demo")(demo.command)
app.command("import")(importing.command)
app.command("approvals")(approvals.approvals)
app.command("approve")(approvals.approve)
app.command("deny")(approvals.deny)
app.command("ban")(bans.ban)
app.command("unban")(bans.unban)
app.command("why")(explain.command)
app.add_typer(advisories.app, name="advisories")
app.add_typer(audit.app, name="audit")
app.add_typer(policy.app, name="policy")
app.add_typer(vex.app, name="vex")
app.add_typer(local.app, name="local")
app.add_typer(operator.app, name="operator")
app.add_typer(depot.app, name="depot")
app.add_typer(sandbox.app, name="sandbox", hidden=True)


def main() -> None:
    """Run, with errors for people instead of tracebacks, and wrong use as exit code 64."""
    try:
        code = app(standalone_mode=False, prog_name="skillwarden")
    except typer.Abort:
        sys.exit(130)
    except SkillwardenError as error:
        typer.echo(f"skillwarden: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        typer.echo(f"skillwarden: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        show = getattr(error, "show", None)
        if show is None:
            raise
        # click's usage errors know how to show themselves.
        show()
        sys.exit(EXIT_USAGE)
    sys.exit(code if isinstance(code, int) else 0)

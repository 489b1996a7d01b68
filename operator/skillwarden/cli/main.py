"""``skillwarden``: every command by its name, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from ..domain.errors import SkillwardenError
from .lazy import Place, lazy_group

_EXPLAIN = Place(
    "explain:command",
    "Say why a skill may run or may not: conditions, grounds with their fixes, findings with their paths.",
)
#: Where each command is, and what it is for, in the order of the help; the hidden one says nothing.
COMMANDS = {
    "check": Place(
        "check:command", "Judge a skill with no cluster: resolve its closure, scan it, evaluate the policies."
    ),
    "explain": _EXPLAIN,
    "refresh": Place(
        "refresh:command",
        "Have a skill's packages resolved anew; until then, and unless asked, its lock stays as it is.",
    ),
    "report": Place("report:command", "Show the whole closure and what every scanner said of it."),
    "sbom": Place(
        "sbom:command",
        "Print a skill with its whole closure as CycloneDX 1.6 JSON: purls, hashes, graph, "
        "findings, verdict.",
    ),
    "run": Place(
        "run:command", "Run a Task skill once: its log goes to standard error, its output to standard output."
    ),
    "digest": Place(
        "digest:command",
        "Print the sha256 for spec.source.configMapRef of a ConfigMap made from these files.",
    ),
    "crd": Place("crd:command", "Print the CustomResourceDefinitions as YAML."),
    "demo": Place(
        "demo:command", "Start an embedded cluster, apply the samples, and show what becomes of each."
    ),
    "import": Place(
        "importing:command",
        "Print the manifests of skills that are folders with a SKILL.md; remarks go to standard error.",
    ),
    "approvals": Place(
        "approvals:approvals",
        "List what waits for approval: the package, why, for whom, and which policies ask.",
    ),
    "approve": Place(
        "approvals:approve",
        "Approve a request: its artefacts by hash, with the findings known now. It cannot be taken back.",
    ),
    "deny": Place(
        "approvals:deny",
        "Deny a request, for good: its artefacts are denied to every skill of the namespace.",
    ),
    "ban": Place(
        "bans:ban",
        "Ban a package, over every rule and approval: what runs with it is removed within seconds.",
    ),
    "unban": Place(
        "bans:unban",
        "Take a ban back, as it was written: the same name and range. What was approved before counts again.",
    ),
    "why": _EXPLAIN,
    "advisories": Place(
        "advisories:app", "The advisories that packages are judged by: sync them, and see how old they are."
    ),
    "audit": Place("audit:app", "Read, verify and filter audit records."),
    "policy": Place("policy:app", "Try policies out before they count."),
    "vex": Place("vex:app", "Accepted findings, for other tools."),
    "local": Place("local:app", "The embedded cluster: try Skillwarden on this machine, with no Kubernetes."),
    "operator": Place(
        "operator:app", "The operator: watches a cluster, judges its skills and runs what is allowed."
    ),
    "depot": Place(
        "depot:app",
        "The depot: keeps artefacts, sources and scan results by digest; sandboxes install from it.",
    ),
    "sandbox": Place("sandbox:app", ""),
}
#: What a shell gets for wrong use (EX_USAGE of sysexits.h); 2 is taken by "could not be judged".
EXIT_USAGE = 64

app = typer.Typer(
    name="skillwarden",
    cls=lazy_group(COMMANDS),
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

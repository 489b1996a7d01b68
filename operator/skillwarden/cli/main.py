"""``skillwarden``: every command by its name, and how it ends."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .. import __version__
from ..domain.errors import SkillwardenError
from .lazy import lazy_group

#: Where each command is, in the order of the help.
COMMANDS = {
    "check": "check:command",
    "explain": "explain:command",
    "refresh": "refresh:command",
    "report": "report:command",
    "sbom": "sbom:command",
    "run": "run:command",
    "digest": "digest:command",
    "crd": "crd:command",
    "demo": "demo:command",
    "import": "importing:command",
    "approvals": "approvals:approvals",
    "approve": "approvals:approve",
    "deny": "approvals:deny",
    "ban": "bans:ban",
    "unban": "bans:unban",
    "why": "explain:command",
    "advisories": "advisories:app",
    "audit": "audit:app",
    "policy": "policy:app",
    "vex": "vex:app",
    "local": "local:app",
    "operator": "operator:app",
    "depot": "depot:app",
    "sandbox": "sandbox:app",
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

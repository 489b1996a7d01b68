"""``skillwarden import``: folders with a SKILL.md as manifests, ready for ``kubectl apply``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
import yaml

from ..domain.errors import InvalidInputError
from ..skillmd.frontmatter import SKILL_FILE
from ..skillmd.manifest import Choices, ImportedSkill, import_folder, is_skill_folder, proposals_of
from ..skillmd.problems import FolderError, Remark
from .ending import WRONG_USE
from .manifests import refuse_skill_file

#: Fields that --without can leave out.
LEFT_OUT = re.compile(r"allowed-tools|os|requires\.[A-Za-z]+|[A-Za-z][A-Za-z0-9_-]*")

# What a user decides about a folder with a SKILL.md, for every command that reads one.
EnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env", metavar="NAME=VALUE", help="A variable of the sandbox; not for secrets. May be repeated."
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="PATTERN", help="Files to leave out, such as 'assets/*'. May be repeated."
    ),
]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="FIELD",
        help="A field of SKILL.md that the sandbox cannot honour, and that the skill shall do without,"
        " such as allowed-tools or requires.env. May be repeated.",
    ),
]
TakeProposalsOption = Annotated[
    bool,
    typer.Option(
        "--take-proposals", help="Declare the packages that scripts import, where evidence names them."
    ),
]


def command(  # noqa: PLR0917 - typer names every option by its parameter
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH",
            exists=True,
            help="Folders with a SKILL.md, or that hold such folders.",
        ),
    ],
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="NAME", help="The Agent that the skill works for.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", metavar="NS", help="Namespace to write into the manifest."),
    ] = None,
    env: EnvOption = None,
    exclude: ExcludeOption = None,
    without: WithoutOption = None,
    take_proposals: TakeProposalsOption = False,
) -> None:
    """Print the manifests of skills that are folders with a SKILL.md; remarks go to standard error.

    Packages come from the frontmatter, requirement files, pyproject.toml, package.json and the inline
    metadata of scripts. What scripts import but nobody declares is proposed, with its evidence, and added
    only with --take-proposals.

    Exit code 0: every folder became a manifest. 1: at least one cannot, and is not printed; each reason is
    shown with file and line. 64: wrong use.
    """
    try:
        choices = replace(
            choices_of(env, exclude, without, take_proposals=take_proposals), agent=agent, namespace=namespace
        )
        folders = [folder for path in paths for folder in _folders(path)]
    except InvalidInputError as error:
        typer.echo(f"skillwarden import: {error}", err=True)
        raise typer.Exit(WRONG_USE) from error
    failed = 0
    for folder in folders:
        try:
            imported = import_folder(folder, choices)
        except FolderError as error:
            failed += 1
            show_remarks(folder, error.remarks)
        else:
            show_remarks(folder, imported.remarks)
            sys.stdout.write(as_yaml(imported))
    if failed:
        typer.echo(f"skillwarden import: {failed} of {len(folders)} folder(s) cannot be imported.", err=True)
        raise typer.Exit(1)


def choices_of(
    env: list[str] | None, exclude: list[str] | None, without: list[str] | None, *, take_proposals: bool
) -> Choices:
    """Return what the options say about a folder with a SKILL.md.

    Raises
    ------
    InvalidInputError
        Where one cannot be read.
    """
    return Choices(
        env=tuple(_variable(text) for text in env or ()),
        exclude=tuple(exclude or ()),
        without=frozenset(_field(text) for text in without or ()),
        take_proposals=take_proposals,
    )


def show_remarks(folder: Path, remarks: Iterable[Remark]) -> None:
    """Print remarks on standard error, with the path at which an editor opens them."""
    for remark in remarks:
        typer.echo(f"{folder}/{remark}", err=True)


def as_yaml(imported: ImportedSkill) -> str:
    """Return a manifest as YAML, with the proposals as comments above it."""
    comments = [f"# {line}" for item in proposals_of(imported.remarks) for line in str(item).splitlines()]
    text = yaml.dump(imported.manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return "\n".join(["---", *comments, text])


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that a reviewer can read the skill's files."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _folders(path: Path) -> list[Path]:
    refuse_skill_file(path)
    if not path.is_dir():
        raise InvalidInputError(
            f"{path} is a file, and import takes folders with a {SKILL_FILE}.",
            fix=f"A manifest is judged by: skillwarden check {path}",
        )
    if is_skill_folder(path):
        return [path]
    found = sorted(item for item in path.iterdir() if item.is_dir() and is_skill_folder(item))
    if not found:
        raise InvalidInputError(
            f"{path} has no SKILL.md, and neither has a folder in it.", fix="Give the folder of a skill."
        )
    return found


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise InvalidInputError(f"--env {text:.60} is not NAME=VALUE.")
    return name, value


def _field(text: str) -> str:
    if not LEFT_OUT.fullmatch(text):
        raise InvalidInputError(f"--without {text:.60} is not the name of a field.")
    return text

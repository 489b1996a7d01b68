"""``skillwarden crd`` prints what crds/ holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from skillwarden.cli import crd


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(crd.command)
    return CliRunner().invoke(app, list(arguments))


def test_all_kinds_as_the_files_have_them(repo_root: Path) -> None:
    printed = run()
    assert printed.exit_code == 0
    files = [yaml.safe_load(path.read_text()) for path in (repo_root / "crds").iterdir()]
    documents = list(yaml.safe_load_all(printed.output))
    assert sorted(documents, key=str) == sorted(files, key=str)


@pytest.mark.parametrize("name", ["Skill", "skill", "skills", "skl", "SKILL"])
def test_one_kind_by_any_of_its_names(name: str) -> None:
    (document,) = yaml.safe_load_all(run("--kind", name).output)
    assert document["spec"]["names"]["kind"] == "Skill"


def test_an_unknown_kind_is_wrong_use_and_lists_the_kinds() -> None:
    printed = run("--kind", "Pod")
    assert printed.exit_code == 64
    assert "SkillRun, PackagePolicy" in printed.stderr
    assert not printed.stdout

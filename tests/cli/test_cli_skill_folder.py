"""``skillwarden check FOLDER``: a folder with a SKILL.md, as agents use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from cli_support import Desk, Ran, cli, make_policy
from operator_world import make_advisory

HEAD = "name: csv-stats\ndescription: Statistics of a CSV file\n"


def make_folder(desk: Desk, fields: str = "", **files: str) -> Path:
    """Return a folder with a SKILL.md; ``files`` by name, ``__`` for a dot and ``_in_`` for a slash."""
    desk.text("skill/SKILL.md", f"---\n{HEAD}{fields}---\n# CSV statistics\n")
    for name, text in files.items():
        desk.text(f"skill/{name.replace('_in_', '/').replace('__', '.')}", text)
    return desk.root / "skill"


def check(desk: Desk, folder: Path, *options: object, records: Any = ()) -> Ran:
    policy = desk.write("policy.yaml", make_policy())
    advisories = desk.osv(*records)
    level = () if "--maturity" in options else ("--maturity", "Intern")
    return cli("check", folder, *level, "--policy", policy, "--advisories", advisories, *options)


def test_packages_come_from_frontmatter_and_requirements(desk: Desk) -> None:
    desk.index.wheel("delta")
    folder = make_folder(desk, "packages: [gamma]\n", requirements__txt="# comment\ndelta==1.0  # pinned\n\n")
    ran = check(desk, folder, "--format", "json")
    assert ran.code == 0, ran.said
    assert ran.json["subject"] == "csv-stats"
    assert [line["name"] for line in ran.json["packages"]] == ["delta", "gamma"]


def test_a_vulnerable_package_of_a_folder_is_denied_and_sarif_names_skill_md(desk: Desk) -> None:
    folder = make_folder(desk, "packages: {python: [gamma]}\n")
    ran = check(desk, folder, "--format", "sarif", records=[make_advisory("gamma")])
    assert ran.code == 1
    result = ran.json["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("skill/SKILL.md")


def test_an_option_line_in_requirements_is_refused(desk: Desk) -> None:
    folder = make_folder(desk, requirements__txt="gamma\n--extra-index-url http://example.org\n")
    ran = check(desk, folder)
    assert ran.code == 1
    assert "OptionLine" in ran.out
    assert desk.index.asked == []


@pytest.mark.parametrize(
    ("sentence", "fields", "words"),
    [
        ("Node packages", "node_packages: [left-pad@1]\n", "Node packages are not supported yet"),
        ("another package manager", "package_manager: npm\n", "package_manager cannot be honoured"),
        ("packages of another language", "packages: {node: [x]}\n", "packages.node cannot be honoured"),
        ("packages that are no list", "packages: gamma\n", "must be a list"),
        ("a package that is no text", "packages: [1]\n", "must be a list"),
        ("aliases", "tags: &a [x]\nmore: *a\n", "aliases (*name) are not taken"),
        ("broken YAML", "tags: [\n", "frontmatter"),
    ],
)
def test_frontmatter_is_refused_with(sentence: str, fields: str, words: str, desk: Desk) -> None:
    ran = check(desk, make_folder(desk, fields))
    assert ran.code == 64
    assert words in ran.said
    assert "Traceback" not in ran.said


@pytest.mark.parametrize(
    ("sentence", "content", "words"),
    [
        ("no frontmatter", "# Title\n", "does not begin with YAML frontmatter"),
        ("a name with capitals", "---\nname: CSV\ndescription: x\n---\n", "name 'CSV'"),
        ("a name of two hyphens", "---\nname: a--b\ndescription: x\n---\n", "single hyphens"),
        ("no description", "---\nname: x\n---\n", "description must be"),
        ("frontmatter that is a list", "---\n- x\n---\n", "not a mapping"),
        ("bytes that are no text", b"---\nname: \xff\n---\n", "cannot be read"),
        ("a quarter of a megabyte", "#" * (256 * 1024), "more than"),
    ],
)
def test_a_skill_md_is_refused_with(sentence: str, content: str | bytes, words: str, desk: Desk) -> None:
    folder = desk.text("skill/SKILL.md", content).parent
    ran = check(desk, folder)
    assert ran.code == 64
    assert words in ran.said


@pytest.mark.parametrize("target", ["file", "folder", "nothing"])
def test_a_link_is_refused_wherever_it_leads(target: str, desk: Desk) -> None:
    folder = make_folder(desk)
    outside = desk.root / "outside"
    if target == "file":
        outside.write_text("secret")
    elif target == "folder":
        outside.mkdir()
    (folder / "data").symlink_to(outside)
    ran = check(desk, folder)
    assert ran.code == 64
    assert "data is not a regular file" in ran.said


def test_a_skill_md_that_is_a_link_is_not_read(desk: Desk) -> None:
    real = make_folder(desk) / "SKILL.md"
    real.rename(desk.root / "elsewhere.md")
    real.symlink_to(desk.root / "elsewhere.md")
    ran = check(desk, real.parent)
    assert ran.code == 64
    assert "SKILL.md is not a regular file" in ran.said


def test_a_pipe_is_refused_and_not_waited_for(desk: Desk) -> None:
    folder = make_folder(desk)
    os.mkfifo(folder / "pipe")
    assert check(desk, folder).code == 64


def test_too_many_files_are_refused(desk: Desk) -> None:
    folder = make_folder(desk)
    for number in range(257):
        (folder / f"f{number}").touch()
    ran = check(desk, folder)
    assert ran.code == 64
    assert "256 files" in ran.said


def content_of(desk: Desk, folder: Path) -> str:
    """Return the content digest that the Pod of a folder is bound to."""
    ran = check(desk, folder, "--show-pod", "--format", "json")
    assert ran.code == 0, ran.said
    found = [
        item["value"]
        for container in ran.json["pod"]["spec"]["initContainers"]
        for item in container["env"]
        if item["name"] == "SKILLWARDEN_CONTENT_DIGEST"
    ]
    assert len(found) == 1
    return str(found[0])


def test_hidden_files_count_and_caches_do_not(desk: Desk) -> None:
    folder = make_folder(desk, main__py="print(1)")
    before = content_of(desk, folder)
    desk.text("skill/__pycache__/main.pyc", b"\x00")
    desk.text("skill/.git/HEAD", "ref")
    assert content_of(desk, folder) == before
    desk.text("skill/.hidden", "x")
    assert content_of(desk, folder) != before


@pytest.mark.parametrize(
    ("sentence", "files", "command"),
    [
        ("a main script", {"main__py": "", "scripts_in_other__py": ""}, ["python", "main.py"]),
        ("its only script", {"scripts_in_only__py": ""}, ["python", "scripts/only.py"]),
    ],
)
def test_a_folder_starts(sentence: str, files: dict[str, str], command: list[str], desk: Desk) -> None:
    ran = check(desk, make_folder(desk, **files), "--show-pod", "--format", "json")
    assert ran.json["pod"]["spec"]["containers"][0]["command"] == command

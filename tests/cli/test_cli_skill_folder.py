"""``skillwarden check FOLDER``: a folder with a SKILL.md, as agents use it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_support import Desk, Ran, cli, make_policy, make_skill
from operator_world import make_advisory

from skillwarden.api.v1alpha1 import parse

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
        ("packages of another language", "packages: {ruby: [x]}\n", "packages.ruby cannot be honoured"),
        ("a tool that a sandbox does not have", "allowed-tools: WebFetch\n", "SKILL.md:4"),
        ("packages that are no list", "packages: gamma\n", "must be a list"),
        ("a package that is no text", "packages: [1]\n", "is not a text"),
        ("aliases", "tags: &a [x]\nmore: *a\n", "aliases (*name) are not taken"),
        ("broken YAML", "tags: [\n", "frontmatter"),
    ],
)
def test_frontmatter_is_refused_with(sentence: str, fields: str, words: str, desk: Desk) -> None:
    ran = check(desk, make_folder(desk, fields))
    assert ran.code == 1
    assert words in ran.said
    assert "Traceback" not in ran.said


@pytest.mark.parametrize(
    ("sentence", "content", "words"),
    [
        ("no frontmatter", "# Title\n", "does not begin with YAML frontmatter"),
        ("a name with capitals", "---\nname: CSV\ndescription: x\n---\n", "must be lowercase"),
        ("a name of two hyphens", "---\nname: a--b\ndescription: x\n---\n", "consecutive hyphens"),
        ("no description", "---\nname: x\n---\n", "has no description"),
        ("frontmatter that is a list", "---\n- x\n---\n", "not a mapping"),
        ("bytes that are no text", b"---\nname: \xff\n---\n", "not UTF-8"),
        ("a quarter of a megabyte", "#" * (256 * 1024), "The largest"),
    ],
)
def test_a_skill_md_is_refused_with(sentence: str, content: str | bytes, words: str, desk: Desk) -> None:
    folder = desk.text("skill/SKILL.md", content).parent
    ran = check(desk, folder)
    assert ran.code == 1
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
    assert ran.code == 1
    assert "data: it is not a regular file" in ran.said


def test_a_skill_md_that_is_a_link_is_not_read(desk: Desk) -> None:
    real = make_folder(desk) / "SKILL.md"
    real.rename(desk.root / "elsewhere.md")
    real.symlink_to(desk.root / "elsewhere.md")
    ran = check(desk, real.parent)
    assert ran.code == 1
    assert "SKILL.md: it is not a regular file" in ran.said


def test_a_pipe_is_refused_and_not_waited_for(desk: Desk) -> None:
    folder = make_folder(desk)
    os.mkfifo(folder / "pipe")
    assert check(desk, folder).code == 1


def test_too_many_files_are_refused(desk: Desk) -> None:
    folder = make_folder(desk)
    for number in range(257):
        (folder / f"f{number}").touch()
    ran = check(desk, folder)
    assert ran.code == 1
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


def test_an_error_of_a_folder_is_shown_where_code_scanning_looks_for_it(desk: Desk) -> None:
    folder = make_folder(desk, requirements__txt="gamma\n--extra-index-url http://example.org\n")
    ran = check(desk, folder, "--format", "sarif")
    [result] = ran.json["runs"][0]["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("skill/requirements.txt")
    assert place["region"]["startLine"] == 2


@pytest.mark.parametrize(
    ("fields", "files", "printed", "options"),
    [
        ("metadata: {openclaw: {requires: {env: [TOKEN]}}}\n", {}, "--env TOKEN=VALUE", ["--env", "TOKEN=x"]),
        (
            "metadata: {openclaw: {requires: {env: [TOKEN]}}}\n",
            {},
            "--without requires.env",
            ["--without", "requires.env"],
        ),
        ("", {"__env": "TOKEN=x"}, "--exclude .env", ["--exclude", ".env"]),
        ("", {"main__py": "import numpy\n"}, "--take-proposals", ["--take-proposals"]),
    ],
)
def test_a_fix_that_check_prints_is_an_option_of_check_and_means_what_import_makes_of_it(
    fields: str, files: dict[str, str], printed: str, options: list[str], desk: Desk
) -> None:
    desk.index.wheel("numpy")
    folder = make_folder(desk, fields, **files)
    assert printed in check(desk, folder).said
    ran = check(desk, folder, *options, "--format", "json", "--show-pod")
    assert ran.code == 0, ran.said
    imported = cli("import", folder, *options)
    manifest = desk.text("imported.yaml", imported.out)
    assert ran.json == check(desk, manifest, "--format", "json", "--show-pod").json
    judged_by = ["--maturity", "Intern", "--policy", desk.root / "policy.yaml", "--advisories", desk.osv()]
    assert cli("sbom", folder, *options, *judged_by).code == 0


@pytest.mark.parametrize("command", ["check", "sbom"])
@pytest.mark.parametrize(
    "options", [["--env", "A=b"], ["--exclude", "x"], ["--without", "os"], ["--env", "A"]]
)
def test_options_for_a_folder_are_refused_where_there_is_none(
    command: str, options: list[str], desk: Desk
) -> None:
    ran = cli(command, desk.write("skill.yaml", make_skill()), *options)
    assert (ran.code, ran.out) == (64, "")
    assert "--env" in ran.err


def test_import_prints_what_kubectl_applies(desk: Desk) -> None:
    folder = make_folder(desk, "packages: [gamma]\n", main__py="import gamma\nimport numpy\n")
    ran = cli("import", folder, "--agent", "analyst", "--namespace", "team")
    assert ran.code == 0, ran.said
    [body] = yaml.safe_load_all(ran.out)
    assert parse("Skill", body).to_domain().agent == "analyst"
    assert body["spec"]["packages"]["python"] == ["gamma"]
    assert "main.py:2: proposal: it imports numpy" in ran.err
    assert "# main.py:2: proposal" in ran.out


@pytest.mark.parametrize(
    "given", [["all"], ["all/one", "all/two", "all/three"]], ids=["their folder", "each"]
)
def test_import_of_several_folders_prints_the_good_ones_and_says_which_are_not(
    given: list[str], desk: Desk
) -> None:
    for name, fields in (("one", ""), ("two", "hooks: {a: b}\n"), ("three", "")):
        desk.text(f"all/{name}/SKILL.md", f"---\nname: {name}\ndescription: x\n{fields}---\n")
    ran = cli("import", *(desk.root / path for path in given))
    assert ran.code == 1
    assert [body["metadata"]["name"] for body in yaml.safe_load_all(ran.out)] == ["one", "three"]
    assert "two/SKILL.md:4: error: hooks" in ran.err
    assert "1 of 3 folder(s) cannot be imported" in ran.err


@pytest.mark.parametrize("options", [["--env", "no value"], ["--without", "a b"], ["--nonsense"]])
def test_import_refuses_wrong_use(options: list[str], desk: Desk) -> None:
    ran = cli("import", make_folder(desk), *options)
    assert ran.code == 64
    assert ran.out == ""


def test_import_of_a_folder_without_a_skill_is_wrong_use(desk: Desk) -> None:
    (desk.root / "empty").mkdir()
    ran = cli("import", desk.root / "empty")
    assert ran.code == 64
    assert "has no SKILL.md" in ran.err

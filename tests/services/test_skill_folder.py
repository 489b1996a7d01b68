"""A folder with a SKILL.md as a Skill: what is read, and what is refused rather than dropped."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from skillwarden.api.v1alpha1 import parse
from skillwarden.domain.content import MAX_SOURCE_BYTES, MAX_SOURCE_FILES
from skillwarden.domain.errors import InvalidInputError
from skillwarden.services.skill_folder import read_skill_folder

GOOD = "name: csv-stats\ndescription: Statistics of a CSV file\n"


def make_folder(root: Path, front: str = GOOD, **files: str) -> Path:
    folder = root / "skill"
    for name, text in {"SKILL.md": f"---\n{front}---\n# How to\n", **files}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_folder_becomes_a_skill_that_the_api_takes(tmp_path: Path) -> None:
    front = GOOD + "packages:\n  - pandas>=2.2\n  - numpy\nlicense: MIT\n"
    folder = make_folder(
        tmp_path,
        front,
        **{"main.py": "print(1)", "requirements.txt": "numpy\n# a comment\nrich>=13  # why\n\n"},
    )
    body = read_skill_folder(folder)
    spec = body["spec"]
    assert body["metadata"]["name"] == "csv-stats"
    assert spec["packages"]["python"] == ["pandas>=2.2", "numpy", "rich>=13"]
    assert spec["entrypoint"]["command"] == ["python", "main.py"]
    contents = {item["path"]: base64.b64decode(item["contentBase64"]) for item in spec["source"]["files"]}
    assert contents["main.py"] == b"print(1)"
    assert set(contents) == {"SKILL.md", "main.py", "requirements.txt"}
    parse("Skill", body)


@pytest.mark.parametrize(
    ("sentence", "front", "words"),
    [
        ("no name", "description: x\n", "name None"),
        ("a name with capitals", "name: CSV\ndescription: x\n", "'CSV'"),
        ("a name with a slash", "name: a/b\ndescription: x\n", "'a/b'"),
        ("a name that is too long", f"name: {'a' * 65}\ndescription: x\n", "1 to 64"),
        ("a name that is a number", "name: 7\ndescription: x\n", "name 7"),
        ("no description", "name: a\n", "description"),
        ("an empty description", "name: a\ndescription: ''\n", "description"),
        ("a description that is too long", f"name: a\ndescription: {'x' * 1025}\n", "description"),
        ("text that is no YAML", "name: [\n", "not YAML"),
        ("a list", "- name\n", "not a mapping"),
        ("a tag that would run code", "name: !!python/object/apply:os.system ['id']\n", "not YAML"),
        ("Node packages", GOOD + "node_packages: [lodash]\n", "node_packages"),
        ("another package manager", GOOD + "package_manager: npm\n", "package_manager"),
        ("packages of another language", GOOD + "packages: {node: [lodash]}\n", "packages.node"),
        ("packages that are text", GOOD + "packages: pandas\n", "must be a list"),
        ("packages that are numbers", GOOD + "packages: [7]\n", "must be a list"),
    ],
)
def test_a_frontmatter_is_refused_with(sentence: str, front: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read_skill_folder(make_folder(tmp_path, front))
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("nothing in it", ""),
        ("no frontmatter", "# Title\n"),
        ("frontmatter without an end", "---\nname: a\n"),
    ],
)
def test_a_skill_md_is_refused_with(sentence: str, text: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "SKILL.md").write_text(text)
    with pytest.raises(InvalidInputError, match="frontmatter"):
        read_skill_folder(folder)


def link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")


def link_to_folder(folder: Path) -> None:
    (folder / "link").symlink_to("/etc")


def too_large(folder: Path) -> None:
    (folder / "data.bin").write_bytes(b"x" * (MAX_SOURCE_BYTES + 1))


def too_many(folder: Path) -> None:
    for number in range(MAX_SOURCE_FILES + 1):
        (folder / f"f{number}").touch()


def no_skill_file(folder: Path) -> None:
    (folder / "SKILL.md").unlink()


def no_text(folder: Path) -> None:
    (folder / "SKILL.md").write_bytes(b"---\nname: \xff\n---\n")


@pytest.mark.parametrize("harm", [link, link_to_folder, too_large, too_many, no_skill_file, no_text])
def test_a_folder_is_refused_with(harm: Callable[[Path], None], tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    harm(folder)
    with pytest.raises(InvalidInputError):
        read_skill_folder(folder)


def test_what_tools_leave_behind_is_no_part_of_a_skill(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, **{"main.py": ""})
    (folder / ".git").mkdir(exist_ok=True)
    (folder / ".git" / "HEAD").write_text("ref")
    (folder / "__pycache__").mkdir(exist_ok=True)
    (folder / "__pycache__" / "main.pyc").write_text("x")
    paths = {item["path"] for item in read_skill_folder(folder)["spec"]["source"]["files"]}
    assert not {path for path in paths if path.startswith((".git/", "__pycache__/"))}
    assert "main.py" in paths


def test_option_lines_of_a_requirements_file_reach_intake(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, **{"requirements.txt": "--index-url=https://example.org\n"})
    assert read_skill_folder(folder)["spec"]["packages"]["python"] == ["--index-url=https://example.org"]


@pytest.mark.parametrize(
    ("sentence", "files", "command"),
    [
        ("a main script", {"main.py": "", "scripts__other.py": ""}, ["python", "main.py"]),
        ("a main script among scripts", {"scripts__main.py": ""}, ["python", "scripts/main.py"]),
        ("its only script", {"scripts__stats.py": ""}, ["python", "scripts/stats.py"]),
    ],
)
def test_a_skill_starts_with(
    sentence: str, files: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    assert read_skill_folder(make_folder(tmp_path, **files))["spec"]["entrypoint"]["command"] == command


def test_a_skill_without_a_script_says_so_when_it_starts(tmp_path: Path) -> None:
    command = read_skill_folder(make_folder(tmp_path))["spec"]["entrypoint"]["command"]
    assert command[:2] == ["python", "-c"]

"""A folder with a SKILL.md as a Skill: what is read, and what is refused rather than dropped."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_folder import make_folder, refused, said, spec_of

from skillwarden.api.v1alpha1 import parse
from skillwarden.domain.content import MAX_SOURCE_BYTES, MAX_SOURCE_FILES
from skillwarden.skillmd.frontmatter import MAX_FRONTMATTER_BYTES, read_frontmatter
from skillwarden.skillmd.manifest import Choices, import_folder
from skillwarden.skillmd.problems import FolderError, Remarks


def test_a_folder_becomes_a_skill_that_the_api_takes(tmp_path: Path) -> None:
    files = {
        "main.py": "print(1)\n",
        "requirements.txt": "numpy\n# a comment\nrich>=13  # why\n\n",
        "assets/logo.png": b"\x89PNG\x00",
    }
    folder = make_folder(
        tmp_path, "packages:\n  - pandas>=2.2\n  - numpy\nlicense: MIT\nversion: 1.0\n", files
    )
    imported = import_folder(folder, Choices(agent="analyst", namespace="team"))
    body, spec = imported.manifest, imported.manifest["spec"]
    assert body["metadata"] == {"name": "csv-stats", "namespace": "team"}
    assert spec["agentRef"] == {"name": "analyst"}
    assert spec["description"] == "Statistics of a CSV file"
    assert spec["packages"] == {"python": ["pandas>=2.2", "numpy", "rich>=13"]}
    assert spec["entrypoint"]["command"] == ["python", "main.py"]
    contents = {item["path"]: item for item in spec["source"]["files"]}
    assert contents["main.py"]["content"] == "print(1)\n"
    assert base64.b64decode(contents["assets/logo.png"]["contentBase64"]) == b"\x89PNG\x00"
    assert set(contents) == {"SKILL.md", "main.py", "requirements.txt", "assets/logo.png"}
    assert imported.remarks == ()
    parse("Skill", body)


def test_a_folder_that_declares_nothing_becomes_a_skill_without_packages(tmp_path: Path) -> None:
    spec = spec_of(make_folder(tmp_path))
    assert "packages" not in spec
    assert spec["entrypoint"]["command"][:2] == ["python", "-c"]


def test_the_lower_case_spelling_of_skill_md_is_taken(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "SKILL.md").rename(folder / "skill.md")
    assert spec_of(folder)["source"]["files"][0]["path"] == "skill.md"


@pytest.mark.parametrize(
    ("sentence", "text", "line", "words"),
    [
        ("nothing in it", "", 1, "does not begin with YAML frontmatter"),
        ("no frontmatter", "# Title\n", 1, "does not begin with YAML frontmatter"),
        ("frontmatter without an end", "---\nname: a\n", 1, "does not begin with YAML frontmatter"),
        ("no name", "---\ndescription: x\n---\n", 1, "has no name"),
        ("no description", "---\nname: csv-stats\n---\n", 1, "has no description"),
        ("a name with capitals", "---\nname: CSV\ndescription: x\n---\n", 2, "must be lowercase"),
        ("a name with a slash", "---\ndescription: x\nname: a/b\n---\n", 3, "invalid characters"),
        ("a name of two hyphens", "---\nname: a--b\ndescription: x\n---\n", 2, "consecutive hyphens"),
        ("a name that is too long", f"---\nname: {'a' * 65}\ndescription: x\n---\n", 2, "64 character"),
        ("a name that no object can have", "---\nname: données\ndescription: x\n---\n", 2, "Kubernetes"),
        ("a name that is a number", "---\nname: 7\ndescription: x\n---\n", 2, "name is not a text"),
        ("an empty description", "---\nname: a\ndescription: ''\n---\n", 3, "non-empty"),
        (
            "a description that is too long",
            f"---\nname: a\ndescription: {'x' * 1025}\n---\n",
            3,
            "1024 character",
        ),
        ("text that is no YAML", "---\nname: a\ndescription: b: c\n---\n", 3, "needs quotes"),
        ("a list", "---\n- name\n---\n", 2, "not a mapping"),
        (
            "a tag that would run code",
            "---\nname: !!python/object/apply:os.system [id]\n---\n",
            2,
            "not YAML",
        ),
        ("aliases", "---\nname: a\ndescription: &x b\ntitle: *x\n---\n", 4, "aliases (*name) are not taken"),
        (
            "a field twice",
            "---\nname: a\ndescription: b\npackages: [six]\npackages: [rich]\n---\n",
            5,
            "'packages' is written twice, at lines 4 and 5",
        ),
        (
            "a field twice inside of another",
            "---\nname: a\ndescription: b\nmetadata:\n  openclaw:\n    os: [linux]\n    os: [darwin]\n---\n",
            7,
            "'os' is written twice, at lines 6 and 7",
        ),
        ("too much of it", f"---\nname: a\n#{'x' * MAX_FRONTMATTER_BYTES}\n---\n", 1, "larger than"),
        ("nesting that would exhaust the stack", f"---\nname: {'[' * 5000}\n---\n", None, "frontmatter"),
    ],
)
def test_a_skill_md_is_refused_with(
    sentence: str, text: str, line: int | None, words: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path, files={"SKILL.md": text})
    lines = refused(folder)
    assert any(words in each for each in lines), lines
    if line is not None:
        assert any(each.startswith(f"SKILL.md:{line}: error: ") for each in lines), lines


@pytest.mark.parametrize(
    ("sentence", "front", "words"),
    [
        ("another language", "language: ruby\n", "language 'ruby'"),
        ("another package manager", "package_manager: bower\n", "package_manager 'bower'"),
        ("packages of another language", "packages: {ruby: [rails]}\n", "packages.ruby cannot be honoured"),
        ("packages that are text", "packages: pandas\n", "packages must be a list"),
        ("a package that is a number", "packages: [7]\n", "packages[0] is not a text"),
        (
            "a URL for a package",
            "packages:\n  - a\n  - 'b @ https://example.org/b.whl'\n",
            "SKILL.md:6: error",
        ),
        ("a git address of npm", "node_packages: ['a@git+https://example.org/a']\n", "SKILL.md:4: error"),
        ("hooks", "hooks: {PreToolUse: []}\n", "hooks runs commands"),
        ("dependencies of unclear meaning", "dependencies: [pandas]\n", "dependencies is not read"),
        ("metadata that is text", "metadata: x\n", "metadata is not a mapping"),
    ],
)
def test_a_field_is_refused_that_is(sentence: str, front: str, words: str, tmp_path: Path) -> None:
    lines = refused(make_folder(tmp_path, front))
    assert any(words in each for each in lines), lines


def test_a_field_that_is_refused_can_be_left_out_on_purpose(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "requires:\n  mcp: [tracker]\nhooks: {PreToolUse: []}\n")
    assert all(
        f"--without {name}." in line
        for name, line in zip(("requires", "hooks"), refused(folder), strict=True)
    )
    import_folder(folder, Choices(without=frozenset({"requires", "hooks"})))


def test_every_error_is_shown_and_not_the_first_alone(tmp_path: Path) -> None:
    front = "packages: ['--index-url x', 'a @ file:///x', good]\nlanguage: cobol\nhooks: {a: b}\n"
    assert len(refused(make_folder(tmp_path, front))) == 4


def test_a_field_that_is_not_known_is_said_and_changes_nothing(tmp_path: Path) -> None:
    lines = said(make_folder(tmp_path, "colour: blue\n", {"main.py": ""}))
    assert lines == ["SKILL.md:4: note: the field colour is not known here; nothing acts on it."]


def test_a_folder_with_another_name_than_its_skill_is_said(tmp_path: Path) -> None:
    folder = make_folder(tmp_path).rename(tmp_path / "other")
    assert any("the folder is called other" in line for line in said(folder))


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


def linked_skill_file(folder: Path) -> None:
    (folder / "SKILL.md").rename(folder.parent / "elsewhere")
    (folder / "SKILL.md").symlink_to(folder.parent / "elsewhere")


def no_text(folder: Path) -> None:
    (folder / "SKILL.md").write_bytes(b"---\nname: \xff\n---\n")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (link, "link: error: it is not a regular file"),
        (link_to_folder, "link: error: it is not a regular file"),
        (too_large, "The largest: data.bin"),
        (too_many, f"at most {MAX_SOURCE_FILES} files"),
        (no_skill_file, "there is no such file"),
        (linked_skill_file, "SKILL.md: error: it is not a regular file"),
        (no_text, "not UTF-8"),
    ],
)
def test_a_folder_is_refused_with(harm: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    harm(folder)
    lines = refused(folder)
    assert any(words in line for line in lines), lines


def test_what_does_not_fit_can_be_left_out(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, files={"assets/fonts/big.ttf": b"x" * (MAX_SOURCE_BYTES + 1)})
    paths = {item["path"] for item in spec_of(folder, exclude=("assets/*",))["source"]["files"]}
    assert paths == {"SKILL.md"}


def test_what_tools_leave_behind_is_no_part_of_a_skill_and_said(tmp_path: Path) -> None:
    files = {"main.py": "", "__pycache__/main.pyc": "x", ".venv/pyvenv.cfg": "x", ".vscode/launch.json": "x"}
    folder = make_folder(tmp_path, files=files)
    (folder / ".git").mkdir()
    assert {item["path"] for item in spec_of(folder)["source"]["files"]} == {"SKILL.md", "main.py"}
    for name in ("__pycache__", ".vscode"):
        assert any(line.startswith(f"{name}: note: it is left out") for line in said(folder))


@pytest.mark.parametrize(
    "file", [".env", "scripts/.env.local", "server.pem", "keys/TLS.KEY", ".ssh/id_rsa", "id_ed25519_sk"]
)
def test_a_file_that_holds_a_secret_by_its_name_is_refused_unless_it_is_left_out(
    file: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path, files={"main.py": "", file: "TOKEN=x"})
    [line] = refused(folder)
    assert line.startswith(f"{file}: error: by its name it holds a secret")
    assert line.endswith(f"--exclude {file}")
    paths = {item["path"] for item in spec_of(folder, exclude=(file,))["source"]["files"]}
    assert paths == {"SKILL.md", "main.py"}


@pytest.mark.parametrize("file", [".env.example", ".env.sample", ".env.template", ".envrc", "id_rsa.pub"])
def test_a_file_that_shows_how_a_secret_is_given_is_part_of_a_skill(file: str, tmp_path: Path) -> None:
    assert file in {
        item["path"] for item in spec_of(make_folder(tmp_path, files={file: "TOKEN="}))["source"]["files"]
    }


@pytest.mark.parametrize(
    ("sentence", "files", "command"),
    [
        ("a main script", {"main.py": "", "scripts/other.py": ""}, ["python", "main.py"]),
        ("a main script among scripts", {"scripts/main.py": ""}, ["python", "scripts/main.py"]),
        ("its only script", {"scripts/stats.py": ""}, ["python", "scripts/stats.py"]),
        ("its only script in JavaScript", {"scripts/stats.mjs": ""}, ["node", "scripts/stats.mjs"]),
        (
            "what package.json calls main",
            {"package.json": '{"main": "./lib/a.js"}', "lib/a.js": ""},
            ["node", "lib/a.js"],
        ),
    ],
)
def test_a_skill_starts_with(
    sentence: str, files: dict[str, str], command: list[str], tmp_path: Path
) -> None:
    spec = spec_of(make_folder(tmp_path, files=files))
    assert spec["entrypoint"]["command"] == command
    assert spec.get("runtime", {}).get("language", "Python").lower() == command[0]


@given(st.text(max_size=300))
def test_whatever_stands_in_a_frontmatter_is_read_or_remarked(text: str) -> None:
    remarks = Remarks()
    front = read_frontmatter(Path("csv-stats"), f"---\n{text}\n---\n", "SKILL.md", remarks)
    assert front is not None or remarks.errors


@given(st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=40), max_size=6))
def test_a_folder_error_names_every_error(texts: dict[str, str]) -> None:
    remarks = Remarks()
    for file, message in texts.items():
        remarks.error(file, 1, message)
    error = FolderError(remarks.items)
    assert len(error.remarks) == len(texts)
    assert (f"And {len(texts) - 1} more" in str(error)) == (len(texts) > 1)


# Names that the readers look for, and values of every kind below them.
NAMES = """
    requires bins anyBins env envVars name required install kind uv node brew package formula os linux config
    python npm dependencies optional-dependencies dev sources poetry version requests pandas>=2 a@^1 links
"""
WORDS = st.sampled_from(NAMES.split())
LEAVES = WORDS | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
CLIENT = ["requires", "bins", "anyBins", "env", "envVars", "primaryEnv", "os", "install", "emoji"]
FRONT = ["license", "compatibility", "allowed-tools", "packages", "node_packages", "package_manager", "type"]
PACKAGE = ["dependencies", "optionalDependencies", "devDependencies", "overrides", "main", "workspaces"]
TOML = ["dependencies", "optional-dependencies", "requires-python", "dynamic", "tool"]


def some(names: list[str]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, VALUES))


def as_toml(value: object) -> str:
    """Return a value in TOML's inline form."""
    match value:
        case None:
            return "''"
        case float():
            return str(value)
        case dict():
            inner = ", ".join(f"{json.dumps(name)} = {as_toml(item)}" for name, item in value.items())
            return f"{{{inner}}}"
        case list():
            return f"[{', '.join(as_toml(item) for item in value)}]"
    return json.dumps(value)


def made_or_refused(folder: Path) -> None:
    try:
        parse("Skill", import_folder(folder, Choices(take_proposals=True)).manifest)
    except FolderError as error:
        assert all(item.file for item in error.remarks)
        str(error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some(FRONT), some(CLIENT) | VALUES, some(PACKAGE), some(TOML))
def test_whatever_a_folders_files_hold_it_becomes_a_skill_or_a_folder_error(
    tmp_path: Path,
    front: dict[str, object],
    client: object,
    package: dict[str, object],
    toml: dict[str, object],
) -> None:
    front["metadata"] = {"openclaw": client}
    fields = "".join(f"{json.dumps(name)}: {json.dumps(value)}\n" for name, value in front.items())
    lines = "".join(f"{json.dumps(name)} = {as_toml(value)}\n" for name, value in toml.items())
    inline = "".join(f"# {line}\n" for line in lines.splitlines())
    files: dict[str, str | bytes] = {
        "package.json": json.dumps(package),
        "pyproject.toml": f"[project]\n{lines}",
        "main.py": f"# /// script\n{inline}# ///\nimport os\n",
    }
    made_or_refused(make_folder(tmp_path, fields, files))

"""What a SKILL.md asks of its machine: met, enforced, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_folder import make_folder, refused, said, spec_of

from skillwarden.domain.conditions import AcceptedReason
from skillwarden.domain.skill import InlineSource, SkillSpec
from skillwarden.services.commands import missing_commands

OPENCLAW = {
    "requires": {"bins": ["jq", "python3"], "anyBins": ["curl", "wget"], "env": ["API_KEY"]},
    "primaryEnv": "API_KEY",
    "os": ["darwin", "linux"],
    "emoji": "x",
    "install": [{"id": "b", "kind": "brew", "formula": "jq", "bins": ["jq"]}],
}


@pytest.mark.parametrize("client", ["openclaw", "clawdbot"])
@pytest.mark.parametrize("form", ["on one line", "in block style", "as text"])
def test_requirements_are_read_in_every_form(client: str, form: str, tmp_path: Path) -> None:
    text = json.dumps(OPENCLAW)
    front = {
        "on one line": f"metadata: {{{client}: {text}}}\n",
        "in block style": f"metadata:\n  {client}:\n    requires:\n      bins: [jq, python3]\n"
        "      anyBins: [curl, wget]\n      env:\n        - API_KEY\n",
        "as text": f"metadata:\n  {client}: '{text}'\n",
    }[form]
    folder = make_folder(tmp_path, front)
    spec = spec_of(folder, env=(("API_KEY", "x"),))
    assert spec["runtime"]["commands"] == ["jq", "curl"]
    assert spec["sandbox"]["env"] == [{"name": "API_KEY", "value": "x"}]
    [line] = refused(folder)
    assert "API_KEY" in line
    assert "--env API_KEY=VALUE" in line


def test_json_with_a_trailing_comma_over_several_lines_is_read(tmp_path: Path) -> None:
    front = 'metadata:\n  {\n    "openclaw":\n      {\n        "requires": { "bins": ["git",], },\n'
    front += "      },\n  }\n"
    assert spec_of(make_folder(tmp_path, front))["runtime"]["commands"] == ["git"]


def test_a_package_that_brings_a_command_is_declared_for_it(tmp_path: Path) -> None:
    install = [
        {"kind": "uv", "package": "yt-dlp", "bins": ["yt-dlp"]},
        {"kind": "brew", "formula": "yt-dlp", "bins": ["yt-dlp"]},
        {"kind": "node", "package": "prettier", "bins": ["prettier"]},
    ]
    client = {"requires": {"bins": ["yt-dlp", "prettier"]}, "install": install}
    spec = spec_of(make_folder(tmp_path, f"metadata: {json.dumps({'openclaw': client})}\n"))
    assert spec["packages"] == {"python": ["yt-dlp"], "node": {"dependencies": ["prettier"]}}
    assert "commands" not in spec.get("runtime", {})


def test_a_skill_whose_only_packages_are_offered_ones_of_npm_runs_on_node(tmp_path: Path) -> None:
    install = [{"kind": "node", "package": "prettier", "bins": ["prettier"]}]
    client = {"requires": {"bins": ["prettier"]}, "install": install}
    spec = spec_of(make_folder(tmp_path, f"metadata: {json.dumps({'openclaw': client})}\n"))
    assert spec["runtime"] == {"language": "Node"}
    assert spec["entrypoint"]["command"][0] == "node"


def test_a_package_that_is_offered_for_no_command_that_is_asked_is_declared(tmp_path: Path) -> None:
    install = [
        {"kind": "uv", "package": "pandas", "bins": ["x"]},
        {"kind": "node", "package": "other-x", "bins": ["x"]},
        {"kind": "uv", "package": "rich"},
        {"kind": "node", "package": "prettier", "bins": ["prettier"]},
    ]
    folder = make_folder(tmp_path, f"metadata: {json.dumps({'openclaw': {'install': install}})}\n")
    spec = spec_of(folder)
    assert spec["packages"] == {"python": ["pandas", "rich"], "node": {"dependencies": ["prettier"]}}
    assert "packages" not in spec_of(folder, without=frozenset({"install"}))


def test_an_offer_is_declared_though_another_files_entry_stands_at_its_line(tmp_path: Path) -> None:
    install = [
        {"kind": "uv", "package": "yt-dlp", "bins": ["yt-dlp"]},
        {"kind": "uv", "package": "ruff", "bins": ["ruff"]},
    ]
    client = {"requires": {"bins": ["yt-dlp", "ruff"]}, "install": install}
    front = f"metadata: {json.dumps({'openclaw': client})}\n"
    folder = make_folder(tmp_path, front, {"requirements.txt": "\n\n\nsix\n"})
    assert spec_of(folder)["packages"] == {"python": ["six", "yt-dlp", "ruff"]}


def test_an_installation_that_is_not_made_and_not_asked_for_is_said(tmp_path: Path) -> None:
    install = [{"kind": "brew", "formula": "ffmpeg", "bins": ["ffmpeg", "ffprobe"]}]
    folder = make_folder(tmp_path, f"metadata: {json.dumps({'openclaw': {'install': install}})}\n")
    [line] = [line for line in said(folder) if "by brew (ffmpeg)" in line]
    assert line.startswith("SKILL.md:4: note: ")
    assert "ffmpeg, ffprobe" in line


@pytest.mark.parametrize(
    ("sentence", "client", "words"),
    [
        ("another operating system", {"os": ["darwin"]}, "a sandbox is Linux"),
        ("a client's settings", {"requires": {"config": ["channels.x"]}}, "settings of a client"),
        ("a requirement that is not known", {"requires": {"gpu": True}}, "not a requirement that is known"),
        ("a command with a slash", {"requires": {"bins": ["/bin/sh -c"]}}, "not the name of a command"),
        ("commands that are numbers", {"requires": {"bins": [7]}}, "not the name of a command"),
        ("a variable with an equals sign", {"requires": {"env": ["A=b"]}}, "environment variable"),
        ("a download", {"install": [{"kind": "download", "url": "https://x.example/a"}]}, "by download"),
        (
            "an installation without a kind",
            {"install": [{"package": "x"}]},
            "not an installation with a kind",
        ),
        ("an installation of nothing", {"install": [{"kind": "uv", "bins": ["x"]}]}, "names no package"),
        ("something that loads code", {"on_load": "{baseDir}/x.py"}, "on_load cannot be honoured"),
    ],
)
def test_what_a_sandbox_does_not_have_is_refused(
    sentence: str, client: dict[str, object], words: str, tmp_path: Path
) -> None:
    lines = refused(make_folder(tmp_path, f"metadata: {json.dumps({'openclaw': client})}\n"))
    assert any(words in line for line in lines), lines


def test_allowed_tools_are_met_enforced_or_refused(tmp_path: Path) -> None:
    front = "allowed-tools: Read, Write Bash(git:*) Bash(python3 scripts/a.py:*) Bash(jq *)\n"
    assert spec_of(make_folder(tmp_path / "a", front))["runtime"]["commands"] == ["git", "jq"]
    folder = make_folder(tmp_path / "b", "allowed-tools:\n  - Read\n  - WebFetch\n")
    [line] = refused(folder)
    assert line.startswith("SKILL.md:6: error: ")
    assert "'WebFetch'" in line
    assert "runtime" not in spec_of(folder, without=frozenset({"allowed-tools"}))


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("comma", "allowed-tools: Read, Bash(git commit -m \"a(b)\":*), Bash(jq '.[] | f(x, y)' *), Write"),
        ("space", "allowed-tools: Read Bash(git commit -m \"a(b)\":*) Bash(jq '.[] | f(x, y)' *) Write"),
        (
            "list",
            "allowed-tools:\n  - Read\n  - Bash(git commit -m \"a(b)\":*)\n  - Bash(jq '.[] | f(x, y)' *)",
        ),
        ("nested parentheses", "allowed-tools: Bash(git log (a (b)):*) Bash(jq:*)"),
        ("escaped quotes", 'allowed-tools: \'Bash(git commit -m "a\\"b(":*) Bash(jq)\''),
    ],
)
def test_a_pattern_of_a_tool_may_hold_quotes_and_parentheses(form: str, written: str, tmp_path: Path) -> None:
    assert spec_of(make_folder(tmp_path, f"{written}\n"))["runtime"]["commands"] == ["git", "jq"]


@pytest.mark.parametrize("written", ["Bash(git commit", "Bash(echo don't:*) Bash(jq:*)", "Bash(git:*)x"])
def test_a_tool_whose_parenthesis_does_not_end_is_refused(written: str, tmp_path: Path) -> None:
    [line] = refused(make_folder(tmp_path, f"allowed-tools: {written}\n"))
    assert line.startswith("SKILL.md:4: error: allowed-tools: ")
    assert "does not end its parenthesis" in line


def test_variables_that_are_described_are_needed_unless_they_are_optional(tmp_path: Path) -> None:
    front = """metadata:
  openclaw:
    author: someone
    links: {documentation: https://x.example}
    cliHelp: csv --help
    envVars:
      - name: API_KEY
        required: true
        description: The key
      - name: API_HOST
        required: false
      - name: TOKEN
"""
    folder = make_folder(tmp_path, front)
    assert [line.partition(",")[0] for line in refused(folder)] == [
        "SKILL.md:10: error: it needs the environment variable API_KEY",
        "SKILL.md:15: error: it needs the environment variable TOKEN",
    ]
    env = (("API_KEY", "x"), ("TOKEN", "y"))
    assert any(
        line.startswith("SKILL.md:13: note: the environment variable API_HOST is optional")
        for line in said(folder, env=env)
    )
    assert len(spec_of(folder, env=(*env, ("API_HOST", "z")))["sandbox"]["env"]) == 3
    assert not any("API_" in line for line in said(folder, without=frozenset({"requires.env"})))


@pytest.mark.parametrize(
    "described",
    [{"name": "A"}, "A", 7, [{"name": 7}], [{}], [{"name": "A", "required": "no"}], [{"name": "A=b"}]],
)
def test_variables_that_are_described_otherwise_are_refused(described: object, tmp_path: Path) -> None:
    lines = refused(make_folder(tmp_path, f"metadata: {json.dumps({'openclaw': {'envVars': described}})}\n"))
    assert lines[0].startswith("SKILL.md:4: error: metadata.openclaw.envVars")


def test_one_of_several_commands_is_taken_and_said(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "metadata: {openclaw: {requires: {anyBins: [rg, ag]}}}\n")
    assert any("rg is taken; ag would do, too" in line for line in said(folder))


def test_a_command_that_the_image_is_not_said_to_have_is_not_accepted() -> None:
    spec = SkillSpec(source=InlineSource(()), command=("x",), commands=("git", "python", "sed"))
    failure = missing_commands(spec, "3.12", offered={"3.11": frozenset({"git"})})
    assert failure is not None
    assert failure.reason == AcceptedReason.UNSUPPORTED_RUNTIME
    assert "git" in failure.message
    assert "python" not in failure.message.replace("Python", "")
    assert missing_commands(spec, "3.12", offered={"3.12": frozenset({"git"})}) is None

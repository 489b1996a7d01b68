"""What a newcomer meets: help, versions, wrong use, and the small commands."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import typer.main
import yaml
from cli_support import Desk, cli, make_skill, spawn

from skillwarden import __version__
from skillwarden.cli.main import COMMANDS as PLACES
from skillwarden.cli.main import app
from skillwarden.domain.content import content_digest
from skillwarden.domain.skill import SourceFile

COMMANDS = (
    "",
    "check",
    "explain",
    "report",
    "run",
    "digest",
    "crd",
    "demo",
    "advisories",
    "advisories sync",
    "advisories status",
    "local",
    "local up",
    "local down",
    "local status",
    "local serve",
    "operator",
    "operator run",
    "depot",
    "depot serve",
    "sandbox prepare",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_every_option(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ran = cli(*command.split(), "--help")
    assert ran.code == 0
    assert f"Usage: skillwarden {command}".strip() in ran.out
    for line in ran.out.splitlines():
        words = line.strip("│ ").split()
        if words and words[0].startswith("--"):
            # The option, its metavar, and then at least three words on what it is for.
            assert len(words) >= 5, f"{command}: {line.strip()} says too little"


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    commands = typer.main.get_group(app).commands
    said = {name: " ".join((each.help or "").split("\n\n")[0].split()) for name, each in commands.items()}
    hidden = {name for name, each in commands.items() if each.hidden}
    assert hidden == {"sandbox"}
    assert {name: place.summary for name, place in PLACES.items()} == said | dict.fromkeys(hidden, "")


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--help"], {}),
        ([], {"_SKILLWARDEN_COMPLETE": "complete_bash", "COMP_WORDS": "skillwarden ch", "COMP_CWORD": "1"}),
    ],
    ids=["help", "completion"],
)
def test_a_list_of_commands_imports_none(arguments: list[str], environment: dict[str, str]) -> None:
    code = (
        "import sys\nfrom skillwarden.cli.main import main\n"
        f"sys.argv = ['skillwarden', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('imported:', *(name for name in sys.modules if name == 'skillwarden.cli.check'))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    listed, _, imported = ran.stdout.rpartition("imported:")
    assert "check" in listed
    assert imported.strip() == ""


def test_the_hidden_command_of_the_sandbox_is_not_listed() -> None:
    assert "sandbox" not in {line.strip("│ ").split(" ")[0] for line in cli("--help").out.splitlines()}


def test_the_version_is_the_packages() -> None:
    assert cli("--version").out == f"skillwarden {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nonsense",), "nonsense"),
        (("check",), "PATH"),
        (("check", "x.yaml", "--oops"), "--oops"),
        (("check", "x.yaml", "--format", "xml"), "xml"),
        (("check", "x.yaml", "--advisories", "nowhere"), "nowhere"),
        (("explain", "pod/x"), "write skill/NAME"),
        (("explain", "skill/"), "has no name"),
        (("explain", "x", "--format", "yaml"), "yaml"),
        (("explain", "x", "--kubeconfig", "/nowhere"), "/nowhere"),
        (("operator", "run", "--kubeconfig", "/nowhere"), "/nowhere"),
        (("report", "pod/x"), "write skill/NAME"),
        (("run", "x", "--timeout", "0"), "timeout"),
        (("run", "x", "--ttl", "soon"), "--ttl"),
        (("local", "up", "--dir", "/tmp/" + "x" * 120), "too long a path"),
        (("local", "status", "--format", "xml"), "xml"),
        (("crd", "--kind", "Pod"), "there is no kind 'Pod'"),
        (("digest", "/nowhere/at/all"), "/nowhere/at/all cannot be read: No such file or directory."),
        (("audit", "verify", "/nowhere"), "/nowhere cannot be read: No such file or directory."),
        (("audit", "query", "/"), "/ cannot be read: Is a directory."),
        (
            ("approve", "x", "--reason", "y", "--min-maturity", "Foo"),
            "--min-maturity Foo is not one of Student",
        ),
        (("sbom", "nope.yaml"), "there is no file nope.yaml"),
        (("sbom", "skills/nope.json"), "there is no file skills/nope.json"),
        (("sbom", "manifests/csv-stats"), "there is no file manifests/csv-stats"),
        (("local", "up", "--dir", "/etc/passwd"), "is a file"),
        (("advisories", "sync"), "--from"),
        (("advisories", "serve", "--from", "/nowhere", "--listen", "foo"), "'foo' is not HOST:PORT"),
        (("advisories", "serve", "--from", "/nowhere", "--listen", "::1:x"), "is not HOST:PORT"),
        (("depot", "serve", "--state", "/tmp/x"), "nothing to listen on"),
        (("depot", "serve", "--state", "/tmp/x", "--listen", "foo"), "'foo' is not HOST:PORT"),
    ],
)
def test_wrong_use_ends_with_64_and_says_what_is_wrong(arguments: tuple[str, ...], words: str) -> None:
    ran = cli(*arguments)
    assert ran.code == 64, ran.said
    assert words in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", [("operator", "run"), ("check", "skill.yaml")])
@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("SKILLWARDEN_RUNTIMES", "foo", "'foo' is not JSON, such as {"),
        ("SKILLWARDEN_RUNTIMES", "[1]", "dictionary"),
        ("SKILLWARDEN_NODE_RUNTIMES", "{", "is not JSON"),
        ("SKILLWARDEN_MIXED_RUNTIMES", "x=y", "is not JSON"),
        ("SKILLWARDEN_RUNTIME_COMMANDS", "git,jq", "is not JSON"),
        ("SKILLWARDEN_DEPOT__SELECTOR", "a=b", "is not JSON"),
        ("SKILLWARDEN_METRICS_ADDRESS", "foo", "is not HOST:PORT"),
        ("SKILLWARDEN_WEBHOOK_ADDRESS", "0.0.0.0:70000", "is not HOST:PORT"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(
    command: tuple[str, ...],
    variable: str,
    value: str,
    words: str,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(desk.root)
    desk.write("skill.yaml", make_skill())
    monkeypatch.setenv(variable, value)
    ran = cli(*command)
    assert ran.code == 64, ran.said
    assert f"{variable}: " in ran.err
    assert words in ran.err


def test_wrong_use_ends_with_64_as_a_process_too() -> None:
    ran = spawn("check", "--oops")
    assert ran.code == 64
    assert "--oops" in ran.err
    assert "Traceback" not in ran.err


def test_digest_is_what_a_config_map_of_the_folders_files_is_pinned_to(desk: Desk) -> None:
    desk.text("src/main.py", "print(1)")
    desk.text("src/sub/ignored.py", "print(2)")
    wanted = content_digest([SourceFile("main.py", b"print(1)")]).removeprefix("sha256:")
    for path in (desk.root / "src", desk.root / "src" / "main.py"):
        assert cli("digest", path).out == f"{wanted}\n"


def test_digest_refuses_a_folder_without_files(desk: Desk) -> None:
    desk.text("src/sub/main.py", "print(1)")
    ran = cli("digest", desk.root / "src")
    assert (ran.code, ran.out) == (64, "")
    assert "holds no file" in ran.err


def test_digest_refuses_what_no_skill_can_have(desk: Desk) -> None:
    ran = cli("digest", desk.text("big", b"x" * (200 * 1024)))
    assert ran.code == 64
    assert "at most" in ran.err


def test_crd_prints_the_files_of_the_repository(repo_root: Path) -> None:
    printed = list(yaml.safe_load_all(cli("crd").out))
    kept = [yaml.safe_load(path.read_text()) for path in (repo_root / "crds").glob("*.yaml")]
    assert {body["metadata"]["name"]: body for body in printed} == {
        body["metadata"]["name"]: body for body in kept
    }
    assert [
        body["spec"]["names"]["kind"] for body in yaml.safe_load_all(cli("crd", "--kind", "skl").out)
    ] == ["Skill"]


def test_an_installed_wheel_has_the_baseline(repo_root: Path, tmp_path: Path) -> None:
    """A wheel has no manifests folder beside it: the baseline must be in it, where `check` looks."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    done = subprocess.run(build, cwd=repo_root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(site)
    assert "skillwarden/_manifests/baseline/baseline.yaml" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]
    script = "from skillwarden.cli.manifests import baseline_policies as b; print(b()[0]['metadata']['name'])"
    # From elsewhere and with the wheel first: the repository's own folder must not be what is found.
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.stdout == "baseline\n", found.stderr
    shipped = hashlib.sha256((site / "skillwarden/_manifests/baseline/baseline.yaml").read_bytes())
    kept = hashlib.sha256((repo_root / "manifests/baseline/baseline.yaml").read_bytes())
    assert shipped.digest() == kept.digest()

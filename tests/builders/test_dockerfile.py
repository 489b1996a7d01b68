"""The images: nothing unlocked is installed, nobody is root, and what the builder relies on is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from skillwarden.artefact.malware import DEFAULT_PYTHON
from skillwarden.builders.pod import PREPARE_COMMAND, USER_ID


@pytest.fixture(scope="module")
def stages(repo_root: Path) -> dict[str, str]:
    text = (repo_root / "Dockerfile").read_text().replace("\\\n", " ")
    parts = re.split(r"^FROM \S+ AS (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_targets_are_the_operator_and_the_runtimes(stages: dict[str, str]) -> None:
    assert list(stages) == ["build", "operator", "runtime-python", "runtime-node"]


def test_every_base_image_is_an_argument(repo_root: Path) -> None:
    bases = re.findall(r"^FROM (\S+)", (repo_root / "Dockerfile").read_text(), flags=re.MULTILINE)
    assert all(base.startswith("${") for base in bases)


def test_what_is_installed_is_locked_by_hash_and_never_built(stages: dict[str, str]) -> None:
    installs = [line for text in stages.values() for line in text.splitlines() if "pip install" in line]
    assert installs
    for line in installs:
        assert "--require-hashes" in line
        assert "--only-binary :all:" in line


@pytest.mark.index
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("locked", ["operator.txt", "malware.txt"])
def test_the_index_has_a_wheel_for_the_image_of_all_that_is_installed(
    locked: str, machine: str, repo_root: Path, tmp_path: Path
) -> None:
    """Where it had none, the image could not be built: no build backend is run."""
    dockerfile = (repo_root / "Dockerfile").read_text()
    base = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)-slim-bookworm$", dockerfile, flags=re.MULTILINE)
    assert base is not None
    # Debian 12 has glibc 2.36.
    for_image = ("--python-version", base[1], "--python-platform", f"{machine}-manylinux_2_36")
    strict = ("--no-config", "--no-build", "--no-deps", "--require-hashes")
    command = (find_uv_bin(), "pip", "install", "--dry-run", "--target", str(tmp_path), *strict, *for_image)
    requirements = repo_root / "requirements" / locked
    tried = subprocess.run([*command, "-r", str(requirements)], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert " + requests==" in tried.stderr, "it would install something"


def test_guarddog_is_there_for_who_asks_and_where_the_depot_looks(stages: dict[str, str]) -> None:
    assert "ARG GUARDDOG=no" in stages["build"]
    assert "python -m venv /opt/skillwarden/guarddog" in stages["build"]
    # The operator's interpreter is /opt/skillwarden/bin/python.
    assert DEFAULT_PYTHON.relative_to(sys.prefix) == Path("guarddog/bin/python")


@pytest.mark.parametrize("target", ["operator", "runtime-python", "runtime-node"])
def test_nobody_is_root(stages: dict[str, str], target: str) -> None:
    users = re.findall(r"^USER (\S+)$", stages[target], flags=re.MULTILINE)
    assert users == [f"{USER_ID}:{USER_ID}"]


def test_the_init_containers_command_finds_its_interpreter(stages: dict[str, str]) -> None:
    assert PREPARE_COMMAND[0] == "python"
    assert "PATH=/opt/skillwarden/bin:" in stages["operator"]


def test_the_runtimes_have_no_installer(stages: dict[str, str]) -> None:
    assert "pip uninstall" in stages["runtime-python"]
    for installer in ("npm", "npx", "corepack", "yarn", "node_modules"):
        assert f"/{installer}" in stages["runtime-node"].partition("RUN rm -rf")[2]
    for target in ("runtime-python", "runtime-node"):
        assert "COPY --from" not in stages[target]

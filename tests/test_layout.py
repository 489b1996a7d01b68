"""What must never be in the tree, whatever else changes."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = sorted((ROOT / "operator").rglob("*.py"))
#: Spelt so that this file does not hold them itself.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
    )
)
HOMES = re.compile(
    r"(?<![\w.\-])/(?:root/[.\w-]+|home/[a-z][\w-]*|Users/[A-Za-z][\w-]*|work/(?:main|dev|shared))/"
)
SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell"}


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git has, or would take; without git, everything but caches."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    paths = (ROOT / name for name in answer.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def texts() -> Iterator[tuple[Path, str]]:
    for path in tracked():
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_the_folder_operator_is_no_package() -> None:
    """It would shadow the standard library's ``operator``."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert (ROOT / "operator" / "skillwarden" / "__init__.py").exists()


def test_the_tests_are_no_packages_and_their_names_are_unique() -> None:
    tests = list((ROOT / "tests").rglob("*.py"))
    assert not [path for path in tests if path.name == "__init__.py"]
    names = [path.name for path in tests if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT / "operator")))
def test_no_code_is_made_from_text_and_no_shell_is_started(
    path: Path, tree_of: Callable[[Path], ast.Module]
) -> None:
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Name(id=name):
                assert name not in {"eval", "exec", "compile", "__import__"}, f"{name} in line {node.lineno}"
            case ast.Attribute(value=ast.Name(id="platform"), attr="system"):
                pass
            case ast.Attribute(attr=attribute):
                assert attribute not in SHELLS, f"{attribute} in line {node.lineno}"
        for keyword in node.keywords:
            no_shell = isinstance(keyword.value, ast.Constant) and not keyword.value.value
            assert keyword.arg != "shell" or no_shell, f"shell= in line {node.lineno}"


def test_no_file_names_the_host_of_a_package_registry() -> None:
    found = [(str(path), host) for path, text in texts() for host in REGISTRIES if host in text]
    assert found == []


def test_no_file_holds_an_absolute_path_of_somebodys_machine() -> None:
    found = [(str(path), match[0]) for path, text in texts() for match in HOMES.finditer(text)]
    assert found == []

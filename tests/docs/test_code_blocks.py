"""What a reader copies from the docs works: manifests are read, and commands, options and targets exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from skillwarden.api.v1alpha1 import MODELS, parse
from skillwarden.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: What ends a command in a shell.
_ENDS = {";", "2>"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def console_commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each line that is typed, up to what ends the command."""
    for block in blocks(page, "console"):
        joined = block.replace("\\\n", " ")
        for line in joined.splitlines():
            if line.startswith("$ "):
                typed = re.sub(r"\s+#.*", "", line.removeprefix("$ "))
                for part in re.split(r"\||&&|\"?\$\(|\)\"?", typed):
                    yield from _words(part)


def inline_commands(page: Path) -> Iterator[list[str]]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`((?:kubectl )?skillwarden [^`]+)`", text):
        yield from _words(span)


def _words(text: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.escape = ""
    lexer.quotes = "'\""
    try:
        words = list(lexer)
    except ValueError:
        words = text.split()
    end = next((index for index, word in enumerate(words) if word in _ENDS or word[0] in "<>|"), len(words))
    if words[:end]:
        yield words[:end]


def ours(words: list[str]) -> list[str] | None:
    """Return what follows ``skillwarden``, or ``None`` where the command is another."""
    if words[:2] == ["kubectl", "skillwarden"]:
        return words[2:]
    return words[1:] if words[0] == "skillwarden" else None


def complaint(arguments: list[str]) -> str:
    """Return what the command line would not know of this; empty: nothing."""
    command: Any = typer.main.get_command(app)
    for index, word in enumerate(arguments):
        if not isinstance(command, TyperGroup):
            return _unknown_option(command, arguments[index:])
        if word in {"COMMAND", "--version", "--help"}:
            return ""
        found = command.commands.get(word)
        if found is None:
            return f"there is no command {word!r}"
        command = found
    return ""


def _unknown_option(command: Any, arguments: list[str]) -> str:
    known = {"--help"} | {
        name for option in command.params for name in [*option.opts, *option.secondary_opts]
    }
    given = [word.split("=")[0] for word in arguments if re.match(r"--?[A-Za-z]", word)]
    missing = [word for word in given if word not in known]
    return f"{command.name} has no option {', '.join(missing)}" if missing else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    commands = [*console_commands(page), *inline_commands(page)]
    wrong = {
        " ".join(words): said
        for words in commands
        if (arguments := ours(words)) is not None and (said := complaint(arguments))
    }
    assert wrong == {}


def test_options_in_the_table_of_commands_exist() -> None:
    wrong = []
    for line in (ROOT / "docs" / "user" / "cli.md").read_text().splitlines():
        if match := re.match(r"\| `skillwarden ([^`]+)`.* \| (.*) \|$", line):
            options = re.findall(r"`(--?[a-zA-Z-]+)", match[2])
            wrong += [said for option in options if (said := complaint([*_command_of(match[1]), option]))]
    assert wrong == []


def _command_of(span: str) -> list[str]:
    words = re.split(r"[^a-z -]", span)[0].split()
    return words[:2] if complaint(words[:2]) == "" and len(words) > 1 else words[:1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_is_yaml_and_our_kinds_are_read(page: Path) -> None:
    for block in blocks(page, "yaml"):
        for body in yaml.safe_load_all(block):
            if isinstance(body, dict) and body.get("kind") in MODELS:
                parse(body["kind"], body).to_domain()


def test_targets_of_make_exist() -> None:
    known = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        word
        for page in PAGES
        for words in console_commands(page)
        if words[0] == "make"
        for word in words[1:]
        if re.fullmatch(r"[a-z0-9-]+", word)
    }
    assert named
    assert named <= known


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "x.yaml", "--polcy", "y"], "no option --polcy"),
        (["advisories", "snyc"], "no command 'snyc'"),
        (["approve", "NAME", "--reason", "..."], ""),
    ],
)
def test_a_mistake_would_be_seen(arguments: list[str], said: str) -> None:
    found = complaint(arguments)
    assert said in found if said else not found


def test_the_blocks_are_found() -> None:
    """A pattern that matches nothing would hold nothing."""
    commands = [words for page in PAGES for words in [*console_commands(page), *inline_commands(page)]]
    assert sum(ours(words) is not None for words in commands) > 40
    bodies = [body for page in PAGES for block in blocks(page, "yaml") for body in yaml.safe_load_all(block)]
    assert {"Skill", "PackagePolicy"} <= {body.get("kind") for body in bodies if isinstance(body, dict)}

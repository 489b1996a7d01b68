"""What a SKILL.md says that its machine must have: commands, variables, an operating system, tools.

``metadata.openclaw`` says it in a structure of its own (in block style, or as JSON on one line),
``allowed-tools`` in patterns such as ``Bash(git:*)``. Each entry is met by the sandbox, becomes something
that the operator enforces, or is refused: none is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .frontmatter import Frontmatter
from .plain_yaml import Place, YamlTextError, load_document
from .problems import Remarks
from .tools import COMMAND, commands_of_tools

#: Names under which the same structure was published, the present one first.
_CLIENTS = ("openclaw", "clawdbot", "moltbot", "clawdis")
#: Of that structure: about how a client shows the skill, or when it loads it.
_SHOWN = frozenset(
    {
        *("emoji", "homepage", "always", "skillKey", "tags", "label", "name", "description"),
        *("author", "links", "cliHelp", "category", "version", "type", "source", "original_url", "repo"),
        *("repository", "license", "keywords", "triggers"),
    }
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry, and the line that asks for it."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Offer:
    """One way in which a client could install commands.

    Attributes
    ----------
    ecosystem
        ``python`` or ``node``; ``""`` for a way that the sandbox does not have (brew, go, download, ...).
    kind, package, line
        As written.
    commands
        What it would bring.
    """

    ecosystem: str
    kind: str
    package: str
    commands: tuple[str, ...]
    line: int


@dataclass(slots=True)
class Needs:
    """What a SKILL.md asks of its machine.

    Attributes
    ----------
    commands
        All must be there.
    any_of
        Of each group, one must.
    variables
        Environment variables that must be set.
    optional
        Environment variables that may be set.
    offers
        How commands could be had.
    """

    commands: list[Wanted] = field(default_factory=list)
    any_of: list[tuple[Wanted, ...]] = field(default_factory=list)
    variables: list[Wanted] = field(default_factory=list)
    optional: list[Wanted] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)


def read_needs(front: Frontmatter, remarks: Remarks, *, without: frozenset[str] = frozenset()) -> Needs:
    """Return what the frontmatter asks for; what the sandbox cannot give is remarked.

    Parameters
    ----------
    front
        The frontmatter.
    without
        Fields that the user has decided to leave out, such as ``allowed-tools`` or ``requires.env``.
    """
    needs = Needs()
    if "allowed-tools" not in without:
        needs.commands += [Wanted(command, line) for command, line in commands_of_tools(front, remarks)]
    metadata = front.fields.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        remarks.error(front.file, front.line("metadata"), "metadata is not a mapping of keys to values.")
    elif metadata:
        _ClientReader(front, needs, remarks, without).read(metadata)
    return needs


class _ClientReader:
    """Reads ``metadata.openclaw`` and its older names."""

    def __init__(self, front: Frontmatter, needs: Needs, remarks: Remarks, without: frozenset[str]) -> None:
        self._front = front
        self._needs = needs
        self._remarks = remarks
        self._without = without

    def read(self, metadata: Mapping[str, Any]) -> None:
        for client in _CLIENTS:
            value = metadata.get(client)
            if isinstance(value, str) and value.lstrip().startswith("{"):
                value = self._from_text(value, ("metadata", client))
            if value is None:
                continue
            if not isinstance(value, Mapping):
                self._error(("metadata", client), f"metadata.{client} is not a mapping.")
                continue
            self._read_client(value, ("metadata", client))

    def _from_text(self, text: str, place: Place) -> Any:
        try:
            return load_document(text, first_line=self._front.line(*place)).value
        except YamlTextError as error:
            self._error(place, f"{_dotted(place)} cannot be read: {error.message}")
            return None

    def _read_client(self, value: Mapping[str, Any], place: Place) -> None:
        for name, item in value.items():
            at = (*place, str(name))
            match name:
                case "requires" if isinstance(item, Mapping):
                    self._read_requires(item, at)
                # Some write them beside `requires` instead of below it.
                case "bins" | "anyBins" | "env":
                    self._read_requires({name: item}, place)
                case "primaryEnv":
                    self._variables([item] if isinstance(item, str) else item, at)
                case "envVars":
                    self._described_variables(item, at)
                case "os":
                    self._system(item, at)
                case "install" if "install" not in self._without:
                    self._offers(item, at)
                case _ if name in _SHOWN:
                    continue
                case _:
                    self._unless_left_out(
                        name, at, f"{_dotted(at)} cannot be honoured: a sandbox has no such thing."
                    )

    def _read_requires(self, value: Mapping[str, Any], place: Place) -> None:
        for name, item in value.items():
            at = (*place, str(name))
            match name:
                case "bins":
                    self._needs.commands += self._names(item, at, COMMAND, "command")
                case "anyBins":
                    if group := tuple(self._names(item, at, COMMAND, "command")):
                        self._needs.any_of.append(group)
                case "env":
                    self._variables(item, at)
                case "config":
                    if item:
                        text = f"{_dotted(at)} asks for settings of a client; a sandbox has none."
                        self._unless_left_out("requires.config", at, text)
                case "os":
                    self._system(item, at)
                case _:
                    self._unless_left_out(
                        f"requires.{name}", at, f"{_dotted(at)} is not a requirement that is known."
                    )

    def _variables(self, item: Any, place: Place) -> None:
        if "requires.env" in self._without:
            return
        known = {wanted.text for wanted in self._needs.variables}
        for wanted in self._names(item, place, _VARIABLE, "environment variable"):
            if wanted.text not in known:
                self._needs.variables.append(wanted)
                known.add(wanted.text)

    def _described_variables(self, item: Any, place: Place) -> None:
        if not isinstance(item, list):
            self._error(place, f"{_dotted(place)} is not a list of variables, such as [{{name: API_KEY}}].")
            return
        for index, entry in enumerate(item):
            at = (*place, index)
            variable = entry if isinstance(entry, Mapping) else {"name": entry}
            required = variable.get("required", True)
            if not isinstance(required, bool):
                self._error((*at, "required"), f"{_dotted((*at, 'required'))} is neither true nor false.")
            elif required:
                self._variables([variable.get("name")], (*at, "name"))
            elif "requires.env" not in self._without:
                names = [variable.get("name")]
                at = (*at, "name")
                self._needs.optional += self._names(names, at, _VARIABLE, "environment variable")

    def _system(self, item: Any, place: Place) -> None:
        names = [item] if isinstance(item, str) else item
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self._error(place, f"{_dotted(place)} is not a list of operating systems.")
        elif names and "linux" not in {name.lower() for name in names}:
            self._unless_left_out(
                "os", place, f"the skill is for {', '.join(names)} only, and a sandbox is Linux."
            )

    def _offers(self, item: Any, place: Place) -> None:
        if not isinstance(item, list):
            self._error(place, f"{_dotted(place)} is not a list.")
            return
        for index, entry in enumerate(item):
            at = (*place, index)
            if not isinstance(entry, Mapping) or not isinstance(entry.get("kind"), str):
                self._error(at, f"{_dotted(at)} is not an installation with a kind.")
                continue
            kind = entry["kind"]
            ecosystem = {"uv": "python", "pip": "python", "node": "node", "npm": "node"}.get(kind, "")
            package = entry.get("package") or entry.get("formula") or entry.get("module") or entry.get("url")
            commands = tuple(
                wanted.text
                for wanted in self._names(entry.get("bins", []), (*at, "bins"), COMMAND, "command")
            )
            if ecosystem and not (isinstance(package, str) and package.strip()):
                self._error(at, f"{_dotted(at)} names no package.")
                continue
            self._needs.offers.append(
                Offer(ecosystem, kind, str(package or ""), commands, self._front.line(*at))
            )

    def _names(self, item: Any, place: Place, pattern: re.Pattern[str], what: str) -> list[Wanted]:
        texts = [item] if isinstance(item, str) else item
        if not isinstance(texts, list):
            self._error(place, f"{_dotted(place)} is not a list of names.")
            return []
        found = []
        for index, text in enumerate(texts):
            if isinstance(text, str) and pattern.fullmatch(text):
                found.append(Wanted(text, self._front.line(*place, index)))
            else:
                self._error(
                    (*place, index), f"{_dotted((*place, index))}: {text!r:.80} is not the name of a {what}."
                )
        return found

    def _unless_left_out(self, name: str, place: Place, message: str) -> None:
        if name not in self._without:
            self._error(place, message, f"Remove it, or leave it out with --without {name}.")

    def _error(self, place: Place, message: str, fix: str = "") -> None:
        self._remarks.error(self._front.file, self._front.line(*place), message, fix)


def _dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")

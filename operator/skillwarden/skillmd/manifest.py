"""A skill's folder as a Skill manifest, with everything that is to be said about it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api.v1alpha1 import API_VERSION, parse
from ..domain.errors import InvalidInputError
from ..domain.package import Ecosystem
from ..domain.skill import Language
from . import entrypoint
from .declared import Declared, add_offer, check_entries, read_declared
from .entry import Entry
from .files import Folder, read_folder
from .frontmatter import SKILL_FILES, Frontmatter, read_frontmatter
from .imports import Proposal, propose
from .needs import Needs, Wanted, read_needs
from .problems import FolderError, Level, Remark, Remarks

_LANGUAGES = {
    "python": Language.PYTHON,
    "py": Language.PYTHON,
    "node": Language.NODE,
    "nodejs": Language.NODE,
    "javascript": Language.NODE,
    "js": Language.NODE,
    "typescript": Language.NODE,
}
#: Commands that the runtime images have under these names, whatever the skill is written in.
_INTERPRETERS = {
    Language.PYTHON: frozenset({"python", "python3"}),
    Language.NODE: frozenset({"node"}),
}
#: What installs packages for a client; here the closure is installed before the skill starts.
_INSTALLERS = frozenset({"pip", "pip3", "uv", "uvx", "npm", "npx", "pnpm", "yarn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the user decides about an import.

    Attributes
    ----------
    agent, namespace
        For the manifest; ``None``: not in it.
    env
        Variables and values.
    exclude
        Patterns of files to leave out.
    without
        Fields to leave out, such as ``allowed-tools``.
    take_proposals
        Declare what is imported and undeclared, where evidence names the package.
    """

    agent: str | None = None
    namespace: str | None = None
    env: tuple[tuple[str, str], ...] = ()
    exclude: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    take_proposals: bool = False


@dataclass(frozen=True, slots=True)
class ImportedSkill:
    """What a folder amounts to.

    Attributes
    ----------
    manifest
        The Skill.
    remarks
        Notes and proposals; no errors.
    """

    manifest: dict[str, Any]
    remarks: tuple[Remark, ...]


def is_skill_folder(path: Path) -> bool:
    """Whether a folder holds a SKILL.md."""
    return any((path / name).is_file() for name in SKILL_FILES)


def import_folder(root: Path, choices: Choices | None = None) -> ImportedSkill:
    """Return the Skill that a folder amounts to.

    Raises
    ------
    FolderError
        With every reason why it cannot be one.
    """
    choices = choices or Choices()
    remarks = Remarks()
    folder = read_folder(root, remarks, exclude=choices.exclude)
    file = next((name for name in SKILL_FILES if name in folder.files), None)
    if file is None:
        if not remarks.errors:
            remarks.error(
                SKILL_FILES[0], None, "there is no such file.", "A skill is a folder with a SKILL.md."
            )
        raise FolderError(remarks.items)
    text = folder.text(file)
    if text is None:
        remarks.error(file, None, "it is not UTF-8 text.")
        raise FolderError(remarks.items)
    front = read_frontmatter(root, text, file, remarks, without=choices.without)
    if front is None:
        raise FolderError(remarks.items)
    manifest = _manifest(front, folder, choices, remarks)
    if not remarks.errors:
        try:
            parse("Skill", manifest)
        except InvalidInputError as error:
            remarks.error(file, None, error.message)
    if remarks.errors:
        raise FolderError(remarks.items)
    return ImportedSkill(manifest, tuple(remarks.items))


def _manifest(front: Frontmatter, folder: Folder, choices: Choices, remarks: Remarks) -> dict[str, Any]:
    declared = read_declared(front, folder, remarks)
    needs = read_needs(front, remarks, without=choices.without)
    language = _language(front, folder, declared, needs, remarks)
    commands = _commands(needs, declared, language, front.file, remarks)
    taken = check_entries(declared, remarks)
    proposals = propose(folder, front.file, taken)
    if choices.take_proposals:
        _take(proposals, declared)
    _remark_proposals(proposals, choices, remarks)
    command = entrypoint.find(folder, language)
    if command is None:
        command = entrypoint.nothing_to_run(language, front.file)
        remarks.note(
            front.file, None, "no script is the one to start; the skill prints where its instructions are."
        )
    sandbox: dict[str, Any] = {}
    if env := _environment(needs, choices, front.file, remarks):
        sandbox["env"] = env
    spec: dict[str, Any] = {"description": _description(front, remarks)}
    if choices.agent:
        spec["agentRef"] = {"name": choices.agent}
    spec["source"] = {"files": [_file(path, data) for path, data in folder.files.items()]}
    runtime: dict[str, Any] = {}
    if language is not Language.PYTHON:
        runtime["language"] = language.value
    if commands:
        runtime["commands"] = commands
    if runtime:
        spec["runtime"] = runtime
    if packages := _packages(declared):
        spec["packages"] = packages
    spec["entrypoint"] = {"command": command}
    if sandbox:
        spec["sandbox"] = sandbox
    metadata = {"name": str(front.fields.get("name", "")).strip()}
    if choices.namespace:
        metadata["namespace"] = choices.namespace
    return {"apiVersion": API_VERSION, "kind": "Skill", "metadata": metadata, "spec": spec}


def _description(front: Frontmatter, remarks: Remarks) -> str:
    """Return the description on one line, as the Skill's field takes it."""
    text = front.fields.get("description")
    return " ".join(text.split()) if isinstance(text, str) else ""


def _language(
    front: Frontmatter, folder: Folder, declared: Declared, needs: Needs, remarks: Remarks
) -> Language:
    for name in ("language", "type"):
        written = front.fields.get(name)
        if isinstance(written, str) and written.lower() in _LANGUAGES:
            return _LANGUAGES[written.lower()]
        if name == "language" and written is not None:
            text = f"language {written!r:.40} is not one that a sandbox runs: python or node."
            remarks.error(front.file, front.line(name), text)
    found = entrypoint.language_of(folder)
    if found is not None:
        return found
    # Commands that packages are offered for become packages, too.
    offered = {offer.ecosystem for offer in needs.offers}
    node, python = declared.node or "node" in offered, declared.python or "python" in offered
    return Language.NODE if node and not python else Language.PYTHON


def _commands(needs: Needs, declared: Declared, language: Language, file: str, remarks: Remarks) -> list[str]:
    """Return the commands that the image must have; what a package brings is declared instead."""
    found: list[str] = []
    for wanted in needs.commands:
        if not _provided(wanted, needs, declared, language, file):
            found.append(wanted.text)
    for group in needs.any_of:
        if any(_provided(wanted, needs, declared, language, file) for wanted in group):
            continue
        found.append(group[0].text)
        if len(group) > 1:
            others = ", ".join(wanted.text for wanted in group[1:])
            text = f"of the commands that it asks one of, {group[0].text} is taken; {others} would do, too."
            remarks.note(file, group[0].line, text)
    _account_for_offers(needs, declared, file, remarks)
    return list(dict.fromkeys(found))


def _account_for_offers(needs: Needs, declared: Declared, file: str, remarks: Remarks) -> None:
    """Declare the packages that are offered for nothing that is asked; no other offer is passed over."""
    # Of several offers of one command, one is enough.
    met = {wanted.text for wanted in needs.commands}
    met |= {wanted.text for group in needs.any_of for wanted in group}
    for offer in needs.offers:
        if offer.ecosystem and not (offer.commands and met.issuperset(offer.commands)):
            add_offer(declared, offer, file)
            met.update(offer.commands)
    for offer in needs.offers:
        what = f"an installation by {offer.kind} ({offer.package:.80})"
        if offer.ecosystem or (offer.commands and met.issuperset(offer.commands)):
            continue
        if offer.commands:
            text = f"{what} is not made, and the image is not asked for {', '.join(offer.commands)}."
            remarks.note(file, offer.line, text, "If the skill needs it, name the command in requires.bins.")
        else:
            text = f"{what} cannot be honoured: a sandbox installs packages of PyPI and npm only."
            remarks.error(file, offer.line, text, "Have the image hold it, and name its command in bins.")


def _provided(wanted: Wanted, needs: Needs, declared: Declared, language: Language, file: str) -> bool:
    if wanted.text in _INTERPRETERS[language] or wanted.text in _INSTALLERS:
        return True
    for offer in needs.offers:
        if offer.ecosystem and wanted.text in offer.commands:
            add_offer(declared, offer, file)
            return True
    return False


def _take(proposals: tuple[Proposal, ...], declared: Declared) -> None:
    for proposal in proposals:
        if proposal.package:
            entries = declared.python if proposal.ecosystem is Ecosystem.PYPI else declared.node
            entries.append(Entry(proposal.package, proposal.file, proposal.line))


def _remark_proposals(proposals: tuple[Proposal, ...], choices: Choices, remarks: Remarks) -> None:
    for item in proposals:
        where = "packages" if item.ecosystem is Ecosystem.PYPI else "node_packages"
        if not item.package:
            text = f"it imports {item.imported}, which no declared package brings; {item.evidence}."
            remarks.propose(item.file, item.line, text, f"Find out which one does, and add it to {where}.")
        elif choices.take_proposals:
            text = f"it imports {item.imported}; {item.package} is declared for it ({item.evidence})."
            remarks.note(item.file, item.line, text)
        else:
            text = (
                f"it imports {item.imported}, which no declared package brings; {item.package} may"
                f" ({item.evidence})."
            )
            fix = f"If so, add {item.package} to {where}, or give --take-proposals."
            remarks.propose(item.file, item.line, text, fix)


def _environment(needs: Needs, choices: Choices, file: str, remarks: Remarks) -> list[dict[str, str]]:
    given = dict(choices.env)
    for wanted in needs.variables:
        if wanted.text not in given:
            remarks.error(
                file,
                wanted.line,
                f"it needs the environment variable {wanted.text}, which nothing sets.",
                f"Give --env {wanted.text}=VALUE (not for secrets: whoever reads the Skill sees it), or leave"
                " it out with --without requires.env.",
            )
    known = {*given, *(wanted.text for wanted in needs.variables)}
    for wanted in needs.optional:
        if wanted.text not in known:
            known.add(wanted.text)
            text = f"the environment variable {wanted.text} is optional, and not set."
            remarks.note(file, wanted.line, text, f"Give --env {wanted.text}=VALUE to set it.")
    return [{"name": name, "value": value} for name, value in given.items()]


def _packages(declared: Declared) -> Mapping[str, Any]:
    packages: dict[str, Any] = {}
    if python := declared.texts("python"):
        packages["python"] = python
    if node := declared.texts("node"):
        packages["node"] = {"dependencies": node}
        if declared.manager is not None:
            packages["node"] = {"manager": declared.manager.value, **packages["node"]}
    return packages


def _file(path: str, data: bytes) -> dict[str, str]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    # YAML and JSON lose a carriage return or a NUL on the way through a person's editor.
    if text is None or any(char < " " and char not in "\n\t" for char in text) or "\ufeff" in text:
        return {"path": path, "contentBase64": base64.b64encode(data).decode("ascii")}
    return {"path": path, "content": text}


def proposals_of(remarks: tuple[Remark, ...]) -> tuple[Remark, ...]:
    """Return the proposals among some remarks."""
    return tuple(item for item in remarks if item.level is Level.PROPOSAL)

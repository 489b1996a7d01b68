"""Reads what users give the CLI: manifests, folders, policies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..api.v1alpha1 import API_VERSION, GROUP, MODELS, parse
from ..domain.errors import InvalidInputError
from ..domain.grounds import listed, one_line
from ..skillmd.frontmatter import SKILL_FILE, SKILL_FILES
from ..skillmd.manifest import Choices, import_folder, is_skill_folder
from ..skillmd.plain_yaml import YamlTextError, load_yaml
from ..skillmd.problems import Remark

MAX_MANIFEST_BYTES = 4 * 2**20
FOLDER_OPTIONS = "--env, --exclude, --without and --take-proposals"


@dataclass(frozen=True, slots=True)
class Given:
    """What a path holds.

    Attributes
    ----------
    skills, agents, policies
        Objects by kind; policies of both kinds, with their kind.
    namespaces
        The labels of each Namespace.
    config_maps
        Which may hold a skill's files.
    remarks
        What is to be said about a skill's folder.
    """

    skills: list[dict[str, Any]] = field(default_factory=list)
    agents: list[dict[str, Any]] = field(default_factory=list)
    policies: list[dict[str, Any]] = field(default_factory=list)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    config_maps: list[dict[str, Any]] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)


def read_given(path: Path, choices: Choices | None = None) -> Given:
    """Read a manifest file, a folder with a SKILL.md, or a folder of manifests.

    Parameters
    ----------
    path
        Which.
    choices
        What the user decides about a folder with a SKILL.md; anything else has none to take.

    Raises
    ------
    InvalidInputError
        Where there is nothing to read, or it cannot be read; a ``FolderError`` holds every reason why a
        skill's folder cannot be taken.
    """
    refuse_skill_file(path)
    given = Given()
    if path.is_dir() and is_skill_folder(path):
        imported = import_folder(path, choices)
        given.skills.append(imported.manifest)
        given.remarks.extend(imported.remarks)
        return given
    if choices not in {None, Choices()}:
        raise InvalidInputError(
            f"{path} is no folder with a {SKILL_FILE}, and {FOLDER_OPTIONS} are for one.",
            fix="Leave them out: a manifest says itself what they would.",
        )
    sources = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
    for source in sources:
        for body in read_documents(source):
            _check_known(body, source)
            _sort(body, source, given)
    if not (given.skills or given.policies or given.agents):
        raise _holds_nothing(path)
    return given


def refuse_skill_file(path: Path) -> None:
    """Refuse a SKILL.md itself: a skill is its folder."""
    if path.name in SKILL_FILES and path.is_file():
        raise InvalidInputError(f"{path} is one file of a skill.", fix=f"Give its folder: {path.parent}")


def _holds_nothing(path: Path) -> InvalidInputError:
    below = sorted(path.iterdir()) if path.is_dir() else []
    folders = [item for item in below if item.is_dir() and is_skill_folder(item)]
    if folders:
        names = listed([item.name for item in folders])
        return InvalidInputError(
            f"{path} is not a skill, but holds {len(folders)}: {names}. One is taken at a time.",
            fix=f"Give its folder, such as {folders[0]}",
        )
    return InvalidInputError(
        f"{path} holds no object of {GROUP}.", fix=f"Give a Skill manifest, or a folder with a {SKILL_FILE}."
    )


def _check_known(body: dict[str, Any], path: Path) -> None:
    """Refuse an object of ours whose kind or version is unknown: else a policy would be left out silently."""
    version, kind = str(body.get("apiVersion")), str(body.get("kind"))
    if version.partition("/")[0] != GROUP or (version == API_VERSION and kind in MODELS):
        return
    raise InvalidInputError(
        f"{path} holds {one_line(kind, 60)} of {one_line(version, 60)}, which is not known.",
        fix=f"Known of {API_VERSION} are {', '.join(MODELS)}.",
    )


def check_named(body: dict[str, Any], path: Path) -> None:
    """Refuse an object of a file that has no name, or has it in no shape; a cluster's API server does so.

    Raises
    ------
    InvalidInputError
        Names the file and the field.
    """
    metadata = body.get("metadata", {})
    if not isinstance(metadata, dict):
        raise InvalidInputError(f"{path}: metadata must be an object.")
    if not metadata.get("name"):
        raise InvalidInputError(f"{path}: metadata.name is required.")
    for key in ("name", "namespace"):
        if not isinstance(metadata.get(key) or "", str):
            raise InvalidInputError(f"{path}: metadata.{key} must be a string.")
    for key in ("labels", "annotations"):
        if not isinstance(metadata.get(key) or {}, dict):
            raise InvalidInputError(f"{path}: metadata.{key} must be an object.")


def _sort(body: dict[str, Any], path: Path, given: Given) -> None:
    match body:
        case {"apiVersion": "v1", "kind": "Namespace"}:
            check_named(body, path)
            meta = body["metadata"]
            given.namespaces[meta["name"]] = meta.get("labels") or {}
        case {"apiVersion": "v1", "kind": "ConfigMap"}:
            check_named(body, path)
            given.config_maps.append(body)
        case {"apiVersion": version} if version == API_VERSION:
            check_named(body, path)
            _sort_ours(body, path, given)


def _sort_ours(body: dict[str, Any], path: Path, given: Given) -> None:
    match body["kind"]:
        case "Skill":
            # What a cluster said of it once counts for nothing here.
            body.pop("status", None)
            given.skills.append(body)
        case "Agent":
            _check_agent(body, path)
            given.agents.append(body)
        case "PackagePolicy" | "ClusterPackagePolicy":
            given.policies.append(body)


def _check_agent(body: dict[str, Any], path: Path) -> None:
    """Refuse an Agent that cannot be read: in a cluster the schema does, here it would count as a Student."""
    try:
        parse("Agent", body)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error.message}", fix=error.fix) from error


def read_documents(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a YAML or JSON file; those of a List one by one.

    Raises
    ------
    InvalidInputError
        Where the file is missing, too large, or not YAML.
    """
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise InvalidInputError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes.")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        documents = load_yaml(data)
    except YamlTextError as error:
        place = f"{path}:{error.line}:" if error.line else f"{path} cannot be read:"
        raise InvalidInputError(f"{place} {error}") from error
    except InvalidInputError as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error
    for document in documents:
        match document:
            case None:
                continue
            case {"kind": "List", "items": list() as items}:
                yield from (item for item in items if isinstance(item, dict))
            case dict():
                yield document
            case _:
                raise InvalidInputError(f"{path} holds something that is not a Kubernetes object.")


def baseline_policies() -> list[dict[str, Any]]:
    """Return the baseline that ships with the product."""
    packaged = Path(str(files("skillwarden"))) / "_manifests" / "baseline"
    folder = packaged if packaged.is_dir() else Path(__file__).resolve().parents[3] / "manifests" / "baseline"
    bodies = [body for path in sorted(folder.glob("*.yaml")) for body in read_documents(path)]
    if not bodies:
        raise InvalidInputError(
            "the shipped baseline policy is not there.", fix="Reinstall, or give --policy FILE."
        )
    return bodies

"""Reading ``pnpm-lock.yaml``, versions 6 (pnpm 8) and 9 (pnpm 9 and later)."""

from __future__ import annotations

from typing import Any

from ..domain.semver import parse_semver
from .lockfile_graph import Graph, Row, foreign_reason
from .lockfile_yaml import Text, read_yaml, table, text
from .npmlock import sha512_of

FILE = "pnpm-lock.yaml"
_TABLES = (("dependencies", False), ("optionalDependencies", True))


def read_pnpm(content: str) -> Graph:
    """Return what a ``pnpm-lock.yaml`` says.

    Raises
    ------
    LockfileError
        Where it is none, or of another version.
    """
    graph = Graph(FILE)
    document = read_yaml(content, FILE)
    version = text(document.get(Text("lockfileVersion")))
    if version not in {"6.0", "6.1", "9.0"}:
        raise graph.error(
            f"its lockfileVersion is {version!r:.20}; 6.0, 6.1 and 9.0 are read.",
            fix="Lock anew with pnpm 8 or newer.",
        )
    packages = {key.removeprefix("/"): value for key, value in table(document.get(Text("packages"))).items()}
    snapshots = table(document.get(Text("snapshots"))) if version == "9.0" else None
    for key, value in (snapshots if snapshots is not None else table(document.get(Text("packages")))).items():
        plain = key.removeprefix("/")
        described = table(value if snapshots is None else packages.get(_bare(plain)))
        graph.rows[plain] = _row(graph, plain, key.line, described, table(value))
    project = table(table(document.get(Text("importers"))).get(Text("."))) or document
    roots: dict[str, str] = {}
    for kind, _ in _TABLES:
        for name, value in table(project.get(Text(kind))).items():
            wanted = text(table(value).get(Text("version")))
            roots[str(name)] = _target(graph, str(name), wanted, name.line)
    graph.root = lambda name, _range: roots.get(name)
    return graph


def _bare(key: str) -> str:
    """Return a key without the peers that it was chosen with."""
    return key.partition("(")[0]


def _row(graph: Graph, key: str, line: int, described: dict[Any, Any], entry: dict[Any, Any]) -> Row:
    name, _, version = _bare(key).rpartition("@")
    resolution = table(described.get(Text("resolution")))
    integrity = text(resolution.get(Text("integrity")))
    refusal = ""
    if parse_semver(version) is None:
        refusal = foreign_reason(name, version) or "comes from elsewhere than a registry"
    elif "(patch_hash=" in key or text(described.get(Text("patched"))) == "true":
        refusal = "is a patch of a package"
    elif not integrity or set(resolution) - {"integrity", "tarball"}:
        refusal = "comes from elsewhere than a registry: it has no integrity, or a type"
    needs = tuple(
        (str(child), _target(graph, str(child), text(wanted), child.line), optional)
        for kind, optional in _TABLES
        for child, wanted in table(entry.get(Text(kind))).items()
    )
    return Row(name, version, line, sha512_of(integrity), needs, refusal)


def _target(graph: Graph, name: str, wanted: str, line: int) -> str:
    """Return the row of a dependency; one that is none of the registry's gets a row that is refused."""
    if parse_semver(_bare(wanted)) is not None:
        return f"{name}@{wanted}"
    other = _bare(wanted).removeprefix("/").rpartition("@")
    alias = parse_semver(other[2]) is not None and "//" not in wanted
    reason = "is an alias of another package" if alias else foreign_reason(name, wanted)
    key = f"{name}@ {wanted}"
    graph.rows[key] = Row(name, "", line, refusal=reason or "comes from elsewhere than a registry")
    return key

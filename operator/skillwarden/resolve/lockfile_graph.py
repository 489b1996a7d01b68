"""What the lockfiles of npm, yarn and pnpm have in common: packages, their needs, their lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..domain.errors import InvalidInputError, RefusalCode
from ..domain.package import DeclaredPackage
from ..domain.pins import Pin, PinnedPackage, Pins
from ..domain.semver import parse_semver, parse_semver_range
from .intake_npm import name_fault, parse_node

_REASONS = {
    RefusalCode.ALIAS: "is an alias of another package",
    RefusalCode.VCS: "comes from a version control repository",
    RefusalCode.URL: "comes from an address",
    RefusalCode.LOCAL_PATH: "is a folder, a link, a workspace or a patch",
}
FOREIGN_FIX = "Name a package and version of the registry, and lock anew."


class LockfileError(InvalidInputError):
    """A lockfile cannot be honoured; the message names the file and, where one is known, the line."""

    def __init__(self, file: str, why: str, *, line: int | None = None, fix: str = "") -> None:
        where = f"{file}, line {line}" if line else file
        super().__init__(f"{where}: {why}", fix=fix or "Lock anew, or remove the file.")


@dataclass(frozen=True, slots=True)
class Row:
    """One package of a lockfile.

    Attributes
    ----------
    name, version, line
        As the file says.
    digest
        ``sha512:`` of its tarball, or empty.
    needs
        Name, row and whether it can do without, of each dependency.
    refusal
        Why it cannot be had from the registry; empty: it can.
    bundled
        Whether it lies in another package's tarball, which alone decides its version.
    """

    name: str
    version: str
    line: int
    digest: str = ""
    needs: tuple[tuple[str, str, bool], ...] = ()
    refusal: str = ""
    bundled: bool = False


@dataclass(slots=True)
class Graph:
    """A lockfile.

    Attributes
    ----------
    file
        Its name.
    rows
        By what the format calls them.
    root
        The row of a declared package, by name and range; ``None``: it has none.
    """

    file: str
    rows: dict[str, Row] = field(default_factory=dict)
    root: Callable[[str, str], str | None] = lambda _name, _range: None

    def error(self, why: str, *, line: int | None = None, fix: str = "") -> LockfileError:
        """Return an error about this file."""
        return LockfileError(self.file, why, line=line, fix=fix)


def foreign_reason(name: str, wanted: str) -> str:
    """Say why a range is none of the registry's, or return nothing."""
    for refusal in parse_node([f"{name}@{wanted}"]).refusals if wanted else ():
        if refusal.code in _REASONS:
            return _REASONS[refusal.code]
    return ""


def pins_of(graph: Graph, declared: Sequence[DeclaredPackage]) -> Pins:
    """Return what a lockfile pins for the declared packages.

    Raises
    ------
    LockfileError
        Where it lacks one of them, contradicts a declared range, or needs a package of elsewhere.
    """
    direct: list[Pin] = []
    queue: deque[str] = deque()
    for item in declared:
        key = _root(graph, item)
        direct.append((item.name, graph.rows[key].version))
        queue.append(key)
    seen: dict[str, PinnedPackage | None] = {}
    while queue:
        key = queue.popleft()
        if key not in seen:
            seen[key] = _pinned(graph, graph.rows[key])
            queue.extend(target for _, target, _ in graph.rows[key].needs if target in graph.rows)
    found: dict[Pin, PinnedPackage] = {}
    for package in seen.values():
        if package is not None:
            known = found.get((package.name, package.version))
            found[package.name, package.version] = package if known is None else _merged(known, package)
    return Pins(graph.file, tuple(sorted(direct)), tuple(found[pin] for pin in sorted(found)))


def _root(graph: Graph, item: DeclaredPackage) -> str:
    key = graph.root(item.name, item.specifier)
    if key is None or key not in graph.rows:
        raise graph.error(
            f"it does not lock {item.requirement}, which the skill declares.",
            fix="Lock anew with the dependencies that the skill declares, or remove the file.",
        )
    row = graph.rows[key]
    version, wanted = parse_semver(row.version), parse_semver_range(item.specifier or "*")
    if not row.refusal and (version is None or wanted is None or not wanted.contains(version)):
        raise graph.error(
            f"it locks {item.name} to {row.version:.80}, which {item.requirement} does not allow.",
            line=row.line,
            fix="Lock anew, or declare a range that has this version.",
        )
    return key


def _pinned(graph: Graph, row: Row) -> PinnedPackage | None:
    if row.refusal:
        text = f"{row.name:.200} {row.refusal}; only packages of the configured registry can be judged."
        raise graph.error(text, line=row.line, fix=FOREIGN_FIX)
    if name_fault(row.name) or parse_semver(row.version) is None:
        raise graph.error(f"{row.name!r:.200} has no name and version of npm.", line=row.line)
    needs: list[Pin] = []
    for name, target, optional in row.needs:
        if target in graph.rows:
            if not graph.rows[target].bundled:
                needs.append((name, graph.rows[target].version))
        elif not optional:
            raise graph.error(f"{row.name} needs {name:.200}, which it does not lock.", line=row.line)
    if row.bundled:
        return None
    return PinnedPackage(row.name, row.version, row.digest, tuple(sorted(needs)))


def _merged(one: PinnedPackage, other: PinnedPackage) -> PinnedPackage:
    """Return one package of two rows; needs in which they differ are left to npm, and compared later."""
    common = set(one.needs) & set(other.needs)
    return PinnedPackage(one.name, one.version, one.digest or other.digest, tuple(sorted(common)))


def by_range(rows: Mapping[str, Row]) -> Callable[[str, str], str | None]:
    """Return what finds a declared package among rows called ``name@range``.

    The range may be written otherwise than in the lockfile: then the only version of the name counts.
    """

    def find(name: str, wanted: str) -> str | None:
        exact = next((key for key in (f"{name}@{wanted}", f"{name}@{wanted or '*'}") if key in rows), None)
        if exact is not None:
            return exact
        same = {row.version: key for key, row in rows.items() if row.name == name and not row.refusal}
        return next(iter(same.values())) if len(same) == 1 else None

    return find

"""pip-audit, uv and npm themselves ask the server of a cluster, and find what our own evaluation finds."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import zipfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from uv import find_uv_bin

from skillwarden.advisories.export import Exports
from skillwarden.advisories.feed import AdvisoryFeed
from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.ranges import parse_ordered
from skillwarden.advisories.server import build_app
from skillwarden.advisories.sync import sync
from skillwarden.domain.lock import Artefact, LockedPackage
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.nodejs import find_node_tools, npm_environment
from skillwarden.scan.grouping import group
from skillwarden.scan.npm_audit import write_project

Found = dict[PackageId, set[str]]


def entry(ecosystem: str, name: str, *events: dict[str, str], versions: Sequence[str] = ()) -> dict[str, Any]:
    kind = "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
    ranges = [{"type": kind, "events": list(events)}] if events else []
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges, "versions": list(versions)}


def record(identity: str, *entries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "schema_version": "1.6.0",
        "modified": "2024-01-01T00:00:00Z",
        "affected": list(entries),
        **fields,
    }


FROM_START = {"introduced": "0"}
RECORDS = [
    record("PYSEC-1", entry("PyPI", "Widget_Kit", FROM_START, {"fixed": "2.0"})),
    record("GHSA-1", entry("PyPI", "widget-kit", FROM_START, {"fixed": "1.9"}), aliases=["PYSEC-1"]),
    record("PYSEC-2", entry("PyPI", "listed", versions=["1.0", "1.2rc1"])),
    record("PYSEC-3", entry("PyPI", "closed", {"introduced": "1.0"}, {"last_affected": "1.5"})),
    record("PYSEC-4", entry("PyPI", "back", FROM_START), withdrawn="2024-02-01T00:00:00Z"),
    record("PYSEC-5", entry("PyPI", "epoch", {"introduced": "1!1.0"}, {"fixed": "1!2.0"})),
    record("MAL-1", entry("PyPI", "bad", FROM_START), entry("npm", "bad", FROM_START)),
    record("GHSA-2", entry("npm", "@scope/kit", {"introduced": "1.0.0-beta.2"}, {"fixed": "1.0.0"})),
    record("GHSA-3", entry("npm", "twice", {"introduced": "2.0.0"}, {"fixed": "2.1.0"})),
    record("GHSA-4", entry("npm", "twice", {"introduced": "1.0.0"}, {"fixed": "1.5.0"}), aliases=["CVE-4"]),
]
PYTHON = [
    ("widget-kit", "1.9"),
    ("listed", "1.2rc1"),
    ("closed", "1.5"),
    ("back", "1.0"),
    ("epoch", "1!1.5"),
    ("bad", "3.0"),
    ("clean", "1.0"),
]
NODE = [("@scope/kit", "1.0.0-beta.10"), ("twice", "2.0.5"), ("bad", "0.1.0"), ("clean", "1.0.0")]


class Case:
    """Advisories on a server, and packages to ask about.

    Attributes
    ----------
    url
        Of the server.
    index
        What it holds.
    python, node
        The packages.
    """

    def __init__(
        self, url: str, index: AdvisoryIndex, python: list[PackageId], node: list[PackageId]
    ) -> None:
        self.url = url
        self.index = index
        self.python = python
        self.node = node

    def check(self, packages: Iterable[PackageId], reported: Mapping[PackageId, set[str]]) -> None:
        """Hold what a client reported against our own evaluation, advisory by advisory."""
        ours = {package: group(self.index.affecting(package)) for package in packages}
        expected = {package: len(groups) for package, groups in ours.items() if groups}
        assert expected
        assert {package: len(names) for package, names in reported.items()}.keys() == expected.keys()
        for package, names in reported.items():
            known = [
                {name for one in members for name in (one.id, *one.aliases)} for members in ours[package]
            ]
            assert all(names & group_names for group_names in known), (package, names)
            assert names <= set().union(*known), (package, names)


def written(folder: Path, _: Path | None) -> tuple[Path, list[tuple[str, str]], list[tuple[str, str]]]:
    folder.mkdir()
    for document in RECORDS:
        (folder / f"{document['id']}.json").write_text(json.dumps(document))
    return folder, PYTHON, NODE


def shared(_: Path, real: Path | None) -> tuple[Path, list[tuple[str, str]], list[tuple[str, str]]]:
    """The real dumps; of every package the first version that a record lists or begins with."""
    assert real is not None
    source = real / "advisories"
    return source, versions_of(source, "PyPI")[:400], versions_of(source, "npm")[:400]


def versions_of(source: Path, ecosystem: str) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    with zipfile.ZipFile(source / ecosystem / "all.zip") as archive:
        for name in sorted(archive.namelist()):
            for item in json.loads(archive.read(name))["affected"]:
                if item["package"]["ecosystem"] != ecosystem:
                    continue
                events = [event for part in item.get("ranges", ()) for event in part["events"]]
                starts = [event["introduced"] for event in events if event.get("introduced", "0") != "0"]
                candidates = [*item.get("versions", ()), *starts, "1.0.0"]
                # Of what no tool reads as a version there is some, too.
                first = next(
                    one for one in candidates if parse_ordered(one, Ecosystem(ecosystem)) is not None
                )
                package = PackageId.of(Ecosystem(ecosystem), item["package"]["name"], first)
                found.setdefault(package.name, package.version)
    return sorted(found.items())


@pytest.fixture(params=[pytest.param(written, id="written"), pytest.param(shared, marks=pytest.mark.shared)])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    real = request.getfixturevalue("shared_dir") if request.param is shared else None
    source, python, node = request.param(tmp_path / "source", real)
    await sync(source, into=tmp_path / "advisories")
    app = build_app(AdvisoryFeed(tmp_path / "advisories"), Exports(tmp_path / "x"), count=lambda *_: None)
    server = TestServer(app)
    await server.start_server()
    yield Case(
        str(server.make_url("/")).rstrip("/"),
        AdvisoryIndex.open(tmp_path / "advisories"),
        [PackageId.of(Ecosystem.PYPI, *pin) for pin in python],
        [PackageId.of(Ecosystem.NPM, *pin) for pin in node],
    )
    await server.close()


async def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Any:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, "NO_PROXY": "*", **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode in {0, 1}, err.decode()
    try:
        return json.loads(out)
    except ValueError:
        pytest.fail(f"{out[:400]!r} {err.decode()[:2000]}")


async def test_pip_audit_finds_what_we_find(case: Case, tmp_path: Path) -> None:
    pins = tmp_path / "requirements.txt"
    pins.write_text("".join(f"{package.name}=={package.version}\n" for package in case.python))
    answer = await run(
        *(sys.executable, "-m", "pip_audit", "-r", pins, "--no-deps", "--disable-pip"),
        *("-s", "osv", "--osv-url", f"{case.url}/v1/query", "-f", "json", "--aliases", "on"),
        *("--progress-spinner", "off", "--cache-dir", tmp_path / "cache"),
        cwd=tmp_path,
    )
    found: Found = {}
    for row in answer["dependencies"]:
        if row["vulns"]:
            package = PackageId.of(Ecosystem.PYPI, row["name"], row["version"])
            found[package] = {vuln["id"] for vuln in row["vulns"]}
    assert len(answer["dependencies"]) == len(case.python)
    case.check(case.python, found)


async def test_uv_finds_what_we_find(case: Case, tmp_path: Path) -> None:
    write_uv_project(tmp_path, case.python, index=f"{case.url}/simple")
    answer = await run(
        *(find_uv_bin(), "audit", "--preview-features", "audit,json-output", "--frozen"),
        *("--output-format", "json", "--service-url", case.url, "--no-config"),
        *("--cache-dir", tmp_path / "cache"),
        cwd=tmp_path,
    )
    found: Found = {}
    for row in answer["vulnerabilities"]:
        package = PackageId.of(Ecosystem.PYPI, row["dependency"]["name"], row["dependency"]["version"])
        found.setdefault(package, set()).add(row["id"])
    assert answer["summary"]["audited_packages"] == len(case.python)
    case.check(case.python, found)


def write_uv_project(folder: Path, packages: Sequence[PackageId], *, index: str) -> None:
    """Write a project and its lock, which names no file: an audit needs none."""
    pins = [f"{package.name}=={package.version}" for package in packages]
    project = f'[project]\nname = "audited-project"\nversion = "0"\ndependencies = {json.dumps(pins)}\n'
    (folder / "pyproject.toml").write_text(f'{project}requires-python = ">=3.9"\n')
    named = ", ".join(f'{{ name = "{package.name}" }}' for package in packages)
    parts = [
        'version = 1\nrevision = 3\nrequires-python = ">=3.9"\n',
        '[[package]]\nname = "audited-project"\nversion = "0"\nsource = { virtual = "." }\n'
        f"dependencies = [{named}]\n",
    ]
    for package in packages:
        what = f'name = "{package.name}"\nversion = "{package.version}"\n'
        parts.append(f'[[package]]\n{what}source = {{ registry = "{index}" }}\n')
    (folder / "uv.lock").write_text("\n".join(parts))


async def test_npm_finds_what_we_find(case: Case, tmp_path: Path) -> None:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    home.mkdir()
    packages = [LockedPackage(package, Artefact("x.tgz", "sha512:00")) for package in case.node]
    nested = PackageId.of(Ecosystem.NPM, "twice", "1.2.0")
    if any(package.name == "twice" for package in case.node):
        place = ("node_modules/clean/node_modules/twice",)
        packages.append(LockedPackage(nested, Artefact("y.tgz", "sha512:00"), locations=place))
    write_project(project, packages)
    answer = await run(
        *(*find_node_tools().npm(), "audit", "--json", "--package-lock-only", f"--registry={case.url}/"),
        *("--audit", "--fetch-retries=0"),
        cwd=project,
        env=npm_environment(home=home, cache=tmp_path / "cache"),
    )
    found: dict[str, set[str]] = {}
    for row in answer["vulnerabilities"].values():
        for via in row["via"]:
            if isinstance(via, dict):
                found.setdefault(via["name"], set()).add(via["source"])
    # npm reports by name; a name's versions are told apart by our own evaluation only.
    affected = [item.id for item in packages if case.index.affecting(item.id)]
    for name in {package.name for package in affected}:
        ours = {one.id for item in affected if item.name == name for one in case.index.affecting(item)}
        assert found.pop(name) == ours
    assert affected
    assert not found

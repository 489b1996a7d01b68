"""The resolver against the index that the tools are configured for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from skillwarden.domain.lock import Lock, Platform
from skillwarden.resolve.errors import SourceOnlyError, UnresolvableError
from skillwarden.resolve.first_seen import ProjectAges
from skillwarden.resolve.first_seen_memory import FirstSeenMemory
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.intake_npm import parse_node
from skillwarden.resolve.npm import NpmResolver
from skillwarden.resolve.npm_settings import NpmSettings
from skillwarden.resolve.python import PythonResolver
from skillwarden.resolve.settings import ResolverSettings

pytestmark = pytest.mark.index


async def resolve(*texts: str, arch: str = "amd64") -> Lock:
    resolver = PythonResolver(ResolverSettings())
    return await resolver.resolve(parse_python(texts).declared, platform=Platform("3.12", arch=arch))


@pytest.mark.parametrize(("arch", "machine"), [("amd64", "x86_64"), ("arm64", "aarch64")])
async def test_numpy_and_pandas_are_locked_for_each_architecture(arch: str, machine: str) -> None:
    lock = await resolve("numpy", "pandas>=2.2,<3", arch=arch)
    by_name = {package.id.name: package for package in lock.packages}
    assert {"numpy", "pandas", "python-dateutil", "pytz", "tzdata"} <= set(by_name)
    for name in ("numpy", "pandas"):
        assert "cp312-cp312-manylinux_2_" in by_name[name].artefact.filename
        assert machine in by_name[name].artefact.filename
        assert by_name[name].artefact.size
        assert by_name[name].artefact.uploaded_at
    assert "pandas" in {parent.name for parent in by_name["numpy"].parents}
    assert lock.paths[by_name["python-dateutil"].id] == ("pandas", "python-dateutil")
    assert all(package.artefact.url.startswith("https://") for package in lock.packages)


async def test_an_extra_is_locked() -> None:
    names = {package.id.name for package in (await resolve("requests[socks]==2.31.0")).packages}
    assert {"requests", "pysocks", "urllib3"} <= names


async def test_ranges_that_exclude_each_other_are_explained() -> None:
    with pytest.raises(UnresolvableError, match="numpy"):
        await resolve("pandas==2.2.3", "numpy<1.20")


async def test_a_package_without_wheels_is_source_only() -> None:
    with pytest.raises(SourceOnlyError) as caught:
        await resolve("docopt==0.6.2")
    assert caught.value.packages == ("docopt",)


async def test_old_projects_of_both_ecosystems_are_old(tmp_path: Path) -> None:
    npm = NpmResolver(NpmSettings())
    node = await npm.resolve(parse_node(["debug@^4.3.4"]).declared, platform=Platform(node="24"))
    python = await resolve("requests==2.31.0")
    ages = ProjectAges(
        python=ResolverSettings(),
        npm=NpmSettings(),
        index_url=PythonResolver(ResolverSettings()).index_url,
        registry_url=npm.registry_url,
        memory=FirstSeenMemory(tmp_path / "first-seen.sqlite"),
    )
    for lock in (node, python):
        found = await ages.of(lock)
        assert not found.unanswered
        assert set(found.known) == {package.id for package in lock.packages}
        # A mirror may give the time of its own copy: younger than the project, and never older.
        assert all(when and when < datetime(2025, 1, 1, tzinfo=UTC) for when in found.known.values()), found

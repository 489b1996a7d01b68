"""The resolver against the index that the tools are configured for."""

from __future__ import annotations

import pytest

from skillwarden.domain.lock import Lock, Platform
from skillwarden.resolve.errors import SourceOnlyError, UnresolvableError
from skillwarden.resolve.intake import parse_python
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

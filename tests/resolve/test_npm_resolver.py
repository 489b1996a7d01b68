"""npm closures by the real npm, against a registry on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from npm_support import Registry, running_registry

from skillwarden.domain.errors import InvalidInputError, UnsupportedRuntimeError
from skillwarden.domain.lock import Lock, Platform
from skillwarden.domain.package import DeclaredPackage
from skillwarden.resolve.closure import ClosureResolver
from skillwarden.resolve.errors import (
    ForbiddenHostError,
    IndexUnavailableError,
    ResolverDeadlineError,
    UnresolvableError,
)
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.intake_npm import parse_node
from skillwarden.resolve.npm import NpmResolver
from skillwarden.resolve.npm_settings import NpmSettings
from skillwarden.resolve.python import PythonResolver
from skillwarden.resolve.settings import ResolverSettings

NODE = Platform(node="24")
Make = Callable[..., NpmResolver]


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with running_registry() as made:
        yield made


@pytest.fixture
def make(registry: Registry, tmp_path: Path) -> Make:
    def resolver(**settings: Any) -> NpmResolver:
        defaults: dict[str, Any] = {
            "registry_url": registry.url,
            "cache_dir": tmp_path / "npm",
            "probe_seconds": 2,
        }
        return NpmResolver(NpmSettings(**(defaults | settings)))

    return resolver


def declare(*texts: str) -> tuple[DeclaredPackage, ...]:
    intake = parse_node(texts)
    assert intake.refusals == ()
    return intake.declared


def names(lock: Lock) -> list[str]:
    return [str(package.id) for package in lock.packages]


async def test_a_closure_is_locked_with_hashes_places_parents_and_times(
    registry: Registry, make: Make
) -> None:
    registry.add("leaf", "1.0.0")
    registry.add("leaf", "2.0.0")
    registry.add("@acme/middle", "1.1.0", dependencies={"leaf": "^1.0.0"})
    registry.add("top", "3.0.0", dependencies={"@acme/middle": "1", "leaf": "^2.0.0"})
    lock = await make().resolve(declare("top@^3"), platform=NODE)
    assert names(lock) == ["@acme/middle 1.1.0", "leaf 1.0.0", "leaf 2.0.0", "top 3.0.0"]
    found = {str(package.id): package for package in lock.packages}
    assert [package.direct for package in lock.packages] == [False, False, False, True]
    assert [str(parent) for parent in found["leaf 1.0.0"].parents] == ["@acme/middle 1.1.0"]
    assert found["leaf 1.0.0"].locations == ("node_modules/@acme/middle/node_modules/leaf",)
    assert found["leaf 2.0.0"].locations == ("node_modules/leaf",)
    assert all(package.artefact.algorithm == "sha512" for package in lock.packages)
    assert all(package.artefact.uploaded_at is not None for package in lock.packages)
    assert Lock.from_json(lock.to_json()).digest == lock.digest
    # Nothing but metadata was asked for: no package was downloaded.
    assert not [path for path in registry.requests if path.endswith(".tgz")]


async def test_no_lifecycle_script_runs(registry: Registry, make: Make, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    scripts = dict.fromkeys(("preinstall", "install", "postinstall", "prepare"), f"touch {trace}")
    registry.add("evil", scripts=scripts)
    await make().resolve(declare("evil"), platform=NODE)
    assert not trace.exists()


async def test_the_versions_of_the_last_lock_are_kept_where_they_satisfy(
    registry: Registry, make: Make
) -> None:
    registry.add("leaf", "1.0.0")
    registry.add("middle", "1.0.0", dependencies={"leaf": "^1"})
    registry.add("top", "1.0.0", dependencies={"middle": "^1"})
    first = await make().resolve(declare("top"), platform=NODE)
    registry.add("leaf", "1.1.0")
    registry.add("middle", "1.2.0", dependencies={"leaf": "^1"})
    again = await make(cache_dir=None).resolve(declare("top@^1"), platform=NODE, preference=first)
    assert again.digest == first.digest
    assert len(again.packages) == 3
    assert names(
        await make(cache_dir=None).resolve(declare("leaf@>=1.1"), platform=NODE, preference=first)
    ) == ["leaf 1.1.0"]


async def test_packages_of_other_platforms_are_left_out(registry: Registry, make: Make) -> None:
    for system, cpu in (("linux", "x64"), ("linux", "arm64"), ("darwin", "arm64")):
        registry.add(f"bin-{system}-{cpu}", os=[system], cpu=[cpu])
    registry.add("bin-musl", os=["linux"], libc=["musl"])
    registry.add("bin-any", os=["!win32"])
    wanted = ("bin-linux-x64", "bin-linux-arm64", "bin-darwin-arm64", "bin-musl", "bin-any")
    registry.add("native", optionalDependencies=dict.fromkeys(wanted, "1.0.0"))
    lock = await make().resolve(declare("native"), platform=NODE)
    assert names(lock) == ["bin-any 1.0.0", "bin-linux-x64 1.0.0", "native 1.0.0"]
    arm = await make().resolve(declare("native"), platform=Platform(node="24", arch="arm64"))
    assert names(arm) == ["bin-any 1.0.0", "bin-linux-arm64 1.0.0", "native 1.0.0"]


async def test_peers_are_installed_and_judged(registry: Registry, make: Make) -> None:
    registry.add("host", "2.0.0")
    registry.add("plugin", peerDependencies={"host": "^2"})
    assert names(await make().resolve(declare("plugin"), platform=NODE)) == ["host 2.0.0", "plugin 1.0.0"]


@pytest.mark.parametrize(
    ("sentence", "dependency"),
    [
        ("by git", "git+https://127.0.0.1:9/x.git"),
        ("from an address", "http://127.0.0.1:9/x.tgz"),
        ("from a folder", "file:../x"),
        ("under another name", "npm:leaf@1.0.0"),
    ],
)
async def test_a_dependency_is_refused_that_comes(
    sentence: str, dependency: str, registry: Registry, make: Make
) -> None:
    registry.add("leaf")
    registry.add("sly", dependencies={"x": dependency})
    with pytest.raises((UnresolvableError, InvalidInputError)) as refused:
        await make().resolve(declare("sly"), platform=NODE)
    assert "registry" in str(refused.value)


async def test_a_package_that_bundles_others_is_refused_for_that(registry: Registry, make: Make) -> None:
    """npm says no more than that something came from an address."""
    registry.add("inner")
    registry.add("holder", dependencies={"inner": "1"}, bundleDependencies=["inner"])
    with pytest.raises(UnresolvableError, match="bundleDependencies"):
        await make().resolve(declare("holder"), platform=NODE)


async def test_a_tarball_on_another_host_is_refused(registry: Registry, make: Make) -> None:
    registry.add("leaf")
    registry.documents["leaf"]["versions"]["1.0.0"]["dist"]["tarball"] = "http://192.0.2.7/leaf-1.0.0.tgz"
    with pytest.raises(ForbiddenHostError, match=r"192\.0\.2\.7"):
        await make().resolve(declare("leaf"), platform=NODE)
    lock = await make(allowed_hosts=frozenset({"192.0.2.7"})).resolve(declare("leaf"), platform=NODE)
    assert names(lock) == ["leaf 1.0.0"]


async def test_a_package_with_a_sha_1_alone_is_refused(registry: Registry, make: Make) -> None:
    registry.add("old")
    dist = registry.documents["old"]["versions"]["1.0.0"]["dist"]
    dist.pop("integrity")
    dist["shasum"] = "0" * 40
    with pytest.raises(UnresolvableError, match="no SHA-512"):
        await make().resolve(declare("old"), platform=NODE)


@pytest.mark.parametrize(
    ("sentence", "wanted", "words"),
    [
        ("a package that does not exist", "nothing-like-this", "nothing-like-this"),
        ("a version that does not exist", "leaf@^9", r"leaf@\^9"),
        ("versions that exclude each other", "plugin host@1", "host"),
        ("a package for another system", "mac-only", "does not run in the sandbox.*mac-only"),
    ],
)
async def test_a_closure_is_unresolvable_with(
    sentence: str, wanted: str, words: str, registry: Registry, make: Make
) -> None:
    registry.add("leaf")
    registry.add("host", "1.0.0")
    registry.add("plugin", peerDependencies={"host": "^2"})
    registry.add("mac-only", os=["darwin"])
    with pytest.raises(UnresolvableError, match=words) as refused:
        await make().resolve(declare(*wanted.split()), platform=NODE)
    assert "127.0.0.1" not in str(refused.value)


async def login_page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>please log in</html>", content_type="text/html")


async def broken(request: web.Request) -> web.StreamResponse:
    return web.Response(status=503)


async def forbidden(request: web.Request) -> web.StreamResponse:
    return web.Response(status=403)


@pytest.mark.parametrize("trouble", [login_page, broken, forbidden])
async def test_a_registry_that_is_not_well_is_not_an_unresolvable_closure(
    trouble: Any, registry: Registry, make: Make
) -> None:
    registry.add("leaf")
    registry.trouble = trouble
    with pytest.raises(IndexUnavailableError, match="npm registry is not available"):
        await make().resolve(declare("leaf"), platform=NODE)


async def test_a_registry_that_does_not_answer_is_waited_for_no_longer_than_the_deadline(
    registry: Registry, make: Make
) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(600)
        raise AssertionError

    registry.trouble = hang
    with pytest.raises((ResolverDeadlineError, IndexUnavailableError)):
        await make(deadline_seconds=3, probe_seconds=1).resolve(declare("leaf"), platform=NODE)


async def test_credentials_reach_the_registry_and_nothing_else(registry: Registry, make: Make) -> None:
    registry.add("leaf")
    registry.token = "hunter2"
    with pytest.raises(IndexUnavailableError, match="401"):
        await make().resolve(declare("leaf"), platform=NODE)
    lock = await make(token="hunter2").resolve(declare("leaf"), platform=NODE)
    assert "hunter2" not in str(lock.to_json())


async def test_times_that_the_registry_does_not_tell_are_not_known(registry: Registry, make: Make) -> None:
    registry.add("leaf")
    registry.documents["leaf"].pop("time")
    [package] = (await make().resolve(declare("leaf"), platform=NODE)).packages
    assert package.artefact.uploaded_at is None


async def test_a_platform_without_node_is_refused(make: Make) -> None:
    with pytest.raises(UnsupportedRuntimeError):
        await make().resolve(declare("leaf"), platform=Platform(python="3.12"))


async def test_a_mixed_skill_has_one_lock(
    registry: Registry, make: Make, make_resolver: Any, index: Any
) -> None:
    index.wheel("pair")
    registry.add("pair", "2.0.0")
    closure = ClosureResolver(python=make_resolver(), npm=make())
    both = (*parse_python(["pair"]).declared, *declare("pair@2"))
    lock = await closure.resolve(both, platform=Platform(python="3.12", node="24"))
    assert [(p.id.ecosystem.value, str(p.id)) for p in lock.packages] == [
        ("PyPI", "pair 1.0"),
        ("npm", "pair 2.0.0"),
    ]
    again = await closure.resolve(both[::-1], platform=lock.platform, preference=lock)
    assert again.digest == lock.digest
    with pytest.raises(UnsupportedRuntimeError, match="npm"):
        await closure.resolve(both, platform=Platform(python="3.12"))
    index.files.clear()
    with pytest.raises(UnresolvableError):
        await closure.resolve((*parse_python(["gone"]).declared, *declare("pair@2")), platform=lock.platform)


@pytest.mark.parametrize("url", ["ftp://example.org", "https://user:secret@example.org/", "nonsense"])
def test_a_registry_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        NpmSettings(registry_url=url)
    assert "secret" not in str(refused.value)


def test_the_key_of_a_lock_names_the_registry_only_where_it_is_not_the_default() -> None:
    def identity(**npm: Any) -> str:
        python = PythonResolver(ResolverSettings(index_url="https://example.org/simple"))
        return ClosureResolver(python=python, npm=NpmResolver(NpmSettings(**npm))).index_identity

    assert identity() == "https://example.org/simple"
    assert (
        identity(registry_url="https://npm.example.org/")
        == "https://example.org/simple https://npm.example.org"
    )


@pytest.mark.index
async def test_a_public_closure_with_packages_by_platform(tmp_path: Path) -> None:
    resolver = NpmResolver(NpmSettings(cache_dir=tmp_path, deadline_seconds=120))
    lock = await resolver.resolve(declare("esbuild@0.25.0", "@types/node@22.0.0"), platform=NODE)
    assert {"esbuild 0.25.0", "@esbuild/linux-x64 0.25.0", "@types/node 22.0.0"} <= set(names(lock))
    assert not any("darwin" in name for name in names(lock))
    assert all(package.artefact.uploaded_at for package in lock.packages)

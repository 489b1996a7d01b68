"""The Python resolver against an index on loopback: what it locks, and that nothing runs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from skillwarden import limited as limited_module
from skillwarden.domain.errors import InvalidInputError, UnsupportedRuntimeError
from skillwarden.domain.lock import Lock, Platform
from skillwarden.domain.package import DeclaredPackage, PackageId
from skillwarden.resolve import python as python_module
from skillwarden.resolve.errors import (
    ForbiddenHostError,
    ResolverDeadlineError,
    ResolverFailedError,
    SourceOnlyError,
    UnresolvableError,
)
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.process import run_limited
from skillwarden.resolve.python import PythonResolver
from skillwarden.resolve.settings import ResolverSettings

AMD64 = Platform("3.12", arch="amd64")
ARM64 = Platform("3.12", arch="arm64")
MakeResolver = Callable[..., PythonResolver]


def declare(*texts: str) -> tuple[DeclaredPackage, ...]:
    intake = parse_python(texts)
    assert not intake.refusals
    return intake.declared


def versions(lock: Lock) -> dict[str, str]:
    return {package.id.name: package.id.version for package in lock.packages}


def names_of(packages: Any) -> tuple[str, ...]:
    return tuple(package.name for package in packages)


async def test_a_closure_has_artefacts_parents_and_paths(resolver: PythonResolver, index: Any) -> None:
    index.wheel("app", "1.0", requires=["lib>=1", "leaf"])
    filename = index.wheel("lib", "1.5", requires=["leaf"])
    index.wheel("leaf", "0.1")
    told: list[frozenset[PackageId]] = []
    lock = await resolver.resolve(declare("app", "leaf"), platform=AMD64, on_versions=told.append)
    by_name = {package.id.name: package for package in lock.packages}
    assert versions(lock) == {"app": "1.0", "leaf": "0.1", "lib": "1.5"}
    assert names_of(by_name["app"].parents) == ()
    assert names_of(by_name["lib"].parents) == ("app",)
    assert names_of(by_name["leaf"].parents) == ("app", "lib")
    assert {name for name, package in by_name.items() if package.direct} == {"app", "leaf"}
    assert lock.paths[by_name["lib"].id] == ("app", "lib")
    artefact = by_name["lib"].artefact
    assert artefact.filename == filename
    assert artefact.hex == hashlib.sha256(index.files[filename]).hexdigest()
    assert artefact.size == len(index.files[filename])
    assert artefact.uploaded_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert artefact.url.endswith(f"/files/{filename}")
    assert told == [frozenset(package.id for package in lock.packages)]


async def test_nothing_declared_asks_nobody(resolver: PythonResolver, index: Any) -> None:
    assert await resolver.resolve((), platform=AMD64) == Lock(AMD64, ())
    assert index.requests == []


async def test_an_extra_brings_its_packages_under_the_packages_name(
    resolver: PythonResolver, index: Any
) -> None:
    index.wheel("app", requires=["plug; extra == 'fancy'"], extras=["fancy"])
    index.wheel("plug")
    assert versions(await resolver.resolve(declare("app"), platform=AMD64)) == {"app": "1.0"}
    lock = await resolver.resolve(declare("app[fancy]"), platform=AMD64)
    assert {p.id.name: (names_of(p.parents), p.direct) for p in lock.packages} == {
        "app": ((), True),
        "plug": (("app",), False),
    }


async def test_what_only_another_platform_needs_is_not_locked(resolver: PythonResolver, index: Any) -> None:
    index.wheel(
        "app",
        requires=[
            "winonly; sys_platform == 'win32'",
            "oldpython; python_version < '3.12'",
            "armonly; platform_machine == 'aarch64'",
            "linuxonly; sys_platform == 'linux'",
        ],
    )
    for name in ("winonly", "oldpython", "armonly", "linuxonly"):
        index.wheel(name)
    assert set(versions(await resolver.resolve(declare("app"), platform=AMD64))) == {"app", "linuxonly"}
    assert set(versions(await resolver.resolve(declare("app"), platform=ARM64))) == {
        "app",
        "armonly",
        "linuxonly",
    }


async def test_each_platform_gets_its_own_wheel(resolver: PythonResolver, index: Any) -> None:
    for tag in (
        "py3-none-any",
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_28_x86_64",
        "cp312-cp312-manylinux_2_39_x86_64",
        "cp312-cp312-manylinux_2_17_aarch64",
        "cp312-cp312-musllinux_1_2_x86_64",
        "cp312-cp312-win_amd64",
    ):
        index.wheel("app", tag=tag)

    async def chosen(platform: Platform) -> str:
        lock = await resolver.resolve(declare("app"), platform=platform)
        return lock.packages[0].artefact.filename.removeprefix("app-1.0-").removesuffix(".whl")

    assert await chosen(AMD64) == "cp312-cp312-manylinux_2_28_x86_64"
    assert await chosen(ARM64) == "cp312-cp312-manylinux_2_17_aarch64"
    assert await chosen(Platform("3.12", libc="glibc-2.17")) == "cp312-cp312-manylinux_2_17_x86_64"
    assert await chosen(Platform("3.12", libc="glibc-2.39")) == "cp312-cp312-manylinux_2_39_x86_64"
    assert await chosen(Platform("3.11")) == "cp311-cp311-manylinux_2_17_x86_64"
    assert await chosen(Platform("3.13")) == "py3-none-any"


async def test_a_preference_keeps_its_pins_until_they_no_longer_fit(
    resolver: PythonResolver, index: Any
) -> None:
    index.wheel("app", "1.0", requires=["lib"])
    index.wheel("lib", "1.0")
    old = await resolver.resolve(declare("app"), platform=AMD64)
    index.wheel("app", "2.0", requires=["lib"])
    index.wheel("lib", "2.0")
    fresh = PythonResolver(ResolverSettings(index_url=index.url))
    assert versions(await fresh.resolve(declare("app"), platform=AMD64)) == {"app": "2.0", "lib": "2.0"}
    kept = await fresh.resolve(declare("app"), platform=AMD64, preference=old)
    assert kept == old
    moved = await fresh.resolve(declare("app", "lib>=2"), platform=AMD64, preference=old)
    assert versions(moved) == {"app": "1.0", "lib": "2.0"}


async def test_an_index_that_forbids_caching_is_asked_twice(resolver: PythonResolver, index: Any) -> None:
    index.headers["Cache-Control"] = "no-store"
    index.wheel("app", requires=["lib"])
    index.wheel("lib")
    lock = await resolver.resolve(declare("app"), platform=AMD64)
    assert {package.id.name: names_of(package.parents) for package in lock.packages} == {
        "app": (),
        "lib": ("app",),
    }


async def test_requirements_that_exclude_each_other_are_explained(
    resolver: PythonResolver, index: Any
) -> None:
    index.wheel("app", requires=["lib<2"])
    index.wheel("lib", "1.0")
    index.wheel("lib", "2.0")
    with pytest.raises(UnresolvableError) as caught:
        await resolver.resolve(declare("app", "lib>=2"), platform=AMD64)
    message = caught.value.message
    assert "app" in message
    assert "lib" in message
    assert "unsatisfiable" not in message
    assert str(Path(sys.prefix)) not in message
    with pytest.raises(UnresolvableError) as again:
        await resolver.resolve(declare("app", "lib>=2"), platform=AMD64)
    assert again.value.message == message, "a status message is stable"


async def test_a_package_that_does_not_exist_is_unresolvable(resolver: PythonResolver) -> None:
    with pytest.raises(UnresolvableError, match="nope was not found"):
        await resolver.resolve(declare("nope"), platform=AMD64)


async def test_an_sdist_is_neither_built_nor_locked(
    resolver: PythonResolver, index: Any, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    index.wheel("app", requires=["sourceonly"])
    index.sdist(
        "sourceonly", setup=f"open({str(mark)!r}, 'w').close()\nfrom setuptools import setup\nsetup()\n"
    )
    with pytest.raises(SourceOnlyError) as caught:
        await resolver.resolve(declare("app"), platform=AMD64)
    assert caught.value.packages == ("sourceonly",)
    assert "sourceonly" in caught.value.message
    assert not mark.exists()


async def test_an_sdist_is_built_where_uv_is_allowed_to(index: Any, tmp_path: Path) -> None:
    """The control of the test above: without ``--no-build`` the file does run."""
    mark = tmp_path / "executed"
    index.sdist("sourceonly", setup=f"open({str(mark)!r}, 'w').close()\nraise SystemExit(3)\n")
    (tmp_path / "in.txt").write_text("sourceonly\n")
    command = [find_uv_bin(), "pip", "compile", "in.txt", "--no-config", "--no-build-isolation"]
    await run_limited(
        [*command, "--python", sys.executable],
        cwd=tmp_path,
        environment={"HOME": str(tmp_path), "UV_DEFAULT_INDEX": index.url, "PATH": os.defpath},
        deadline_seconds=60,
        memory_limit_bytes=4 * 2**30,
    )
    assert mark.exists()


async def test_a_pin_without_a_fitting_wheel_is_source_only(resolver: PythonResolver, index: Any) -> None:
    index.wheel("app", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    index.wheel("app", "2.0")
    with pytest.raises(SourceOnlyError) as caught:
        await resolver.resolve(declare("app==1.0"), platform=AMD64)
    assert caught.value.packages == ("app",)


async def test_a_version_without_a_fitting_wheel_is_passed_over(resolver: PythonResolver, index: Any) -> None:
    index.wheel("app", "1.0", requires=["lib<2"])
    index.wheel("app", "2.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    index.wheel("lib", "1.0")
    index.wheel("lib", "2.0")
    assert versions(await resolver.resolve(declare("app"), platform=AMD64))["app"] == "1.0"
    with pytest.raises(UnresolvableError):
        await resolver.resolve(declare("app", "lib>=2"), platform=AMD64)


async def test_a_wheel_for_other_platforms_only_is_source_only(resolver: PythonResolver, index: Any) -> None:
    index.wheel("app", tag="cp312-cp312-win_amd64")
    with pytest.raises(SourceOnlyError, match="app"):
        await resolver.resolve(declare("app"), platform=AMD64)


@pytest.fixture
def fake_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a git first on the PATH that records being called; return the record."""
    folder = tmp_path / "bin"
    folder.mkdir()
    record = tmp_path / "git-was-called"
    (folder / "git").write_text(f"#!/bin/sh\necho called >> {record}\nexit 1\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return record


@pytest.mark.parametrize(
    "url",
    [
        "git+https://127.0.0.1:1/evil.git",
        "git+file:///tmp/evil",
        "https://127.0.0.1:1/evil-1.0-py3-none-any.whl",
    ],
)
async def test_an_address_in_a_packages_metadata_is_not_followed(
    resolver: PythonResolver, index: Any, fake_git: Path, url: str
) -> None:
    index.wheel("app", requires=[f"evil @ {url}"])
    with pytest.raises(UnresolvableError) as caught:
        await resolver.resolve(declare("app"), platform=AMD64)
    assert "evil" in caught.value.message
    assert not fake_git.exists()


async def test_uv_finds_no_git_in_the_environment_that_it_is_given(
    index: Any, fake_git: Path, tmp_path: Path
) -> None:
    """The second defence: even a requirement that intake would have refused finds no git."""
    (tmp_path / "in.txt").write_text("evil @ git+https://127.0.0.1:1/evil.git\n")
    command = [find_uv_bin(), "pip", "compile", "in.txt", "--no-config", "--python", sys.executable]
    settings = ResolverSettings(index_url=index.url)
    clean = settings.environment(home=tmp_path)
    limits: dict[str, Any] = {"cwd": tmp_path, "deadline_seconds": 60, "memory_limit_bytes": 4 * 2**30}
    assert (await run_limited(command, environment=clean, **limits)).code != 0
    assert not fake_git.exists()
    await run_limited(command, environment=clean | {"PATH": os.environ["PATH"]}, **limits)
    assert fake_git.exists(), "with a PATH, uv does call git: the test can fail"


async def test_wheels_may_come_from_allowed_hosts_only(make_resolver: MakeResolver, index: Any) -> None:
    index.wheel("app")
    own = make_resolver(allowed_hosts=frozenset({"files.example"}))
    await own.resolve(declare("app"), platform=AMD64)
    index.file_host = index.url.removesuffix("/simple").replace("127.0.0.1", "localhost")
    elsewhere = make_resolver(allowed_hosts=frozenset({"files.example"}), cache_dir=None)
    with pytest.raises(ForbiddenHostError, match="localhost"):
        await elsewhere.resolve(declare("app"), platform=AMD64)
    for allowed in (frozenset[str](), frozenset({"localhost"})):
        await make_resolver(allowed_hosts=allowed, cache_dir=None).resolve(declare("app"), platform=AMD64)


async def test_an_index_without_hashes_is_refused_or_hashed(make_resolver: MakeResolver, index: Any) -> None:
    filename = index.wheel("app")
    index.with_hashes = False
    try:
        lock = await make_resolver().resolve(declare("app"), platform=AMD64)
    except ResolverFailedError as error:
        assert "SHA-256" in error.message
    else:
        assert lock.packages[0].artefact.hex == hashlib.sha256(index.files[filename]).hexdigest()


@pytest.mark.parametrize(
    "platform",
    [
        Platform("3.12", libc="musl-1.2"),
        Platform("3.12", arch="s390x"),
        Platform("2.7"),
        Platform("3.12", libc="glibc-2.5"),
    ],
)
async def test_a_platform_without_wheels_is_said_at_once(
    resolver: PythonResolver, index: Any, platform: Platform
) -> None:
    with pytest.raises(UnsupportedRuntimeError):
        await resolver.resolve(declare("app"), platform=platform)
    assert index.requests == []


def make_tool(path: Path, body: str) -> Path:
    """Write an executable that stands for uv."""
    path.write_text(f"#!{sys.executable}\nimport os, sys, signal, subprocess, time\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", "signal 9", id="killed"),
        pytest.param("open('pylock.toml', 'w').write('garbage = [')", "cannot be used", id="garbage"),
        pytest.param("open('pylock.toml', 'w').write('packages = 3')", "cannot be used", id="other toml"),
        pytest.param("open('pylock.toml', 'w').write('')", "cannot be used|lacks|different", id="empty"),
        pytest.param("", "cannot be used", id="no file"),
        pytest.param("sys.stderr.write('x' * 50_000_000); sys.exit(7)", "failed", id="floods"),
    ],
)
async def test_a_resolver_that_breaks_is_told_from_an_unsatisfiable_requirement(
    make_resolver: MakeResolver, index: Any, tmp_path: Path, body: str, words: str
) -> None:
    index.wheel("app")
    tool = make_tool(tmp_path / "uv", body)
    broken = make_resolver(uv_path=tool, memory_limit_bytes=2**30)
    with pytest.raises(ResolverFailedError, match=words) as caught:
        await broken.resolve(declare("app"), platform=AMD64)
    assert len(caught.value.message) < 1500
    assert str(tmp_path) not in caught.value.message


PYLOCK = 'lock-version = "1.0"\n[[packages]]\nname = "app"\nversion = "1.0"\n'


@pytest.mark.parametrize(
    "row",
    [
        'vcs = {type = "git", url = "https://x", commit-id = "1"}',
        'archive = {url = "https://x/app-1.0-py3-none-any.whl"}',
        'directory = {path = "/x"}',
        'marker = "nonsense !"',
        "marker = \"sys_platform == 'win32'\"",
        'wheels = [{url = "https://x/app-1.0-py3-none-any.whl", hashes = {md5 = "00"}}]',
    ],
)
async def test_an_answer_from_outside_of_the_index_is_refused(
    make_resolver: MakeResolver, index: Any, tmp_path: Path, row: str
) -> None:
    tool = make_tool(tmp_path / "uv", f"open('pylock.toml', 'w').write({PYLOCK + row!r})")
    with pytest.raises(ResolverFailedError):
        await make_resolver(uv_path=tool).resolve(declare("app"), platform=AMD64)


async def test_a_resolver_without_enough_memory_says_so(make_resolver: MakeResolver, index: Any) -> None:
    index.wheel("app")
    small = make_resolver(memory_limit_bytes=8 * 2**20)
    with pytest.raises(ResolverFailedError, match=r"memory|cannot be started"):
        await small.resolve(declare("app"), platform=AMD64)


async def test_a_resolver_that_is_missing_says_so(
    make_resolver: MakeResolver, index: Any, tmp_path: Path
) -> None:
    index.wheel("app")
    with pytest.raises(ResolverFailedError, match="No such file"):
        await make_resolver(uv_path=tmp_path / "absent").resolve(declare("app"), platform=AMD64)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie whose parent has not looked does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


async def until_dead(pids: list[int]) -> bool:
    for _ in range(500):
        if not any(map(alive, pids)):
            return True
        await asyncio.sleep(0.01)
    return False


SPAWNS = """
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
open({path!r} + '.new', 'w').write(f'{{os.getpid()}} {{child.pid}}')
os.rename({path!r} + '.new', {path!r})
time.sleep(600)
"""


async def test_the_deadline_ends_the_whole_process_group(
    make_resolver: MakeResolver, index: Any, tmp_path: Path
) -> None:
    index.wheel("app")
    pids = tmp_path / "pids"
    tool = make_tool(tmp_path / "uv", SPAWNS.format(path=str(pids)))
    slow = make_resolver(uv_path=tool, deadline_seconds=3)
    with pytest.raises(ResolverDeadlineError) as caught:
        await slow.resolve(declare("app", "bound==1"), platform=AMD64)
    assert "Bound the range of app." in caught.value.fix
    assert await until_dead([int(pid) for pid in pids.read_text().split()])


async def test_a_cancelled_resolution_leaves_nothing_behind(
    make_resolver: MakeResolver, index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setattr(python_module.tempfile, "tempdir", str(folder))
    pids = tmp_path / "pids"
    tool = make_tool(tmp_path / "uv", SPAWNS.format(path=str(pids)))
    task = asyncio.create_task(make_resolver(uv_path=tool).resolve(declare("app"), platform=AMD64))
    while not pids.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await until_dead([int(pid) for pid in pids.read_text().split()])
    assert list(folder.iterdir()) == []


async def test_the_resolver_gets_a_clean_environment_and_no_credentials_on_its_command_line(
    make_resolver: MakeResolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_OPERATOR", "x")
    monkeypatch.setenv("UV_EXTRA_INDEX_URL", "http://evil.example")
    monkeypatch.setenv("SSL_CERT_FILE", "/trust.pem")
    tool = make_tool(
        tmp_path / "uv", f"open({str(tmp_path / 'seen')!r}, 'w').write(repr((sys.argv, dict(os.environ))))"
    )
    spied = make_resolver(uv_path=tool, index_username="me", index_password="hunter2")
    with pytest.raises(ResolverFailedError):
        await spied.resolve(declare("app"), platform=AMD64)
    arguments, environment = eval((tmp_path / "seen").read_text())
    assert "hunter2" not in " ".join(arguments)
    assert "SECRET_OF_THE_OPERATOR" not in environment
    assert "UV_EXTRA_INDEX_URL" not in environment
    assert environment["SSL_CERT_FILE"] == "/trust.pem"
    assert environment["UV_INDEX_SKILLWARDEN_PASSWORD"] == "hunter2"
    assert environment["HOME"] != str(Path.home())
    assert {"--no-config", "--no-build"} <= set(arguments)


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        (None, "default"),
        ("https://index.example/simple/", "https://index.example/simple"),
        ("https://INDEX.example:8443/simple", "https://index.example:8443/simple"),
    ],
)
def test_an_index_has_one_identity(url: str | None, identity: str) -> None:
    assert PythonResolver(ResolverSettings(index_url=url)).index_identity == identity


@pytest.mark.parametrize("url", ["https://me:hunter2@index.example/simple", "file:///x", "index.example"])
def test_an_index_url_with_credentials_or_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ResolverSettings(index_url=url)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(ResolverSettings(index_password="hunter2"))


def test_the_limits_are_set_before_the_command_starts() -> None:
    limited = Path(limited_module.__file__)
    script = "from resource import *; print(getrlimit(RLIMIT_DATA), getrlimit(RLIMIT_CORE))"
    command = [sys.executable, "-I", "-S", str(limited), str(2**30), "--", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == f"({2**30}, {2**30}) (0, 0)"

"""The index and the tools misbehave while the operator runs: each has its condition, and none is a pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from faults_support import make_service
from operator_world import Client, PackageIndex, World, condition, make_policy

from skillwarden.kube.kinds import Kind

Serve = Callable[[PackageIndex, web.Request], Awaitable[web.StreamResponse | None]]


class ShakyIndex(PackageIndex):
    """An index that answers otherwise where a test wants it to."""

    trouble: Serve | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.trouble is not None and (answer := await self.trouble(self, request)):
            return answer
        return await super().handle(request)


@pytest.fixture(scope="module")
def bare_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    world.index = ShakyIndex()
    world.start()
    world.advisories()
    yield world
    world.stop()


@pytest.fixture
async def index(world: World) -> AsyncIterator[ShakyIndex]:
    assert isinstance(world.index, ShakyIndex)
    yield world.index
    world.index.trouble = None


def is_file(request: web.Request) -> bool:
    return "/files/" in request.path


async def html(index: PackageIndex, request: web.Request) -> web.StreamResponse | None:
    return None if is_file(request) else web.Response(text="<html>log in</html>", content_type="text/html")


async def garbage(index: PackageIndex, request: web.Request) -> web.StreamResponse | None:
    page = web.Response(text='{"name": ', content_type="application/vnd.pypi.simple.v1+json")
    return None if is_file(request) else page


async def refused(index: PackageIndex, request: web.Request) -> web.StreamResponse | None:
    return None if is_file(request) else web.Response(status=403)


@pytest.mark.parametrize("trouble", [html, garbage, refused], ids=lambda trouble: trouble.__name__)
async def test_nothing_is_resolved_while_pages_of_the_index_are(
    trouble: Serve, world: World, user: Client, index: ShakyIndex
) -> None:
    name = f"paged-{trouble.__name__}"
    index.wheel(name)
    index.trouble = trouble
    await user.apply(make_service(name))
    status = await user.until_skill("demo", Resolved="ResolverUnavailable")
    assert condition(status, "Resolved")["message"]
    assert condition(status, "Ready")["status"] != "True"
    assert await user.pods() == []
    index.trouble = None
    await user.until_skill("demo", Ready="Ready")


async def test_an_outage_of_the_index_keeps_no_ban_from_what_runs(
    world: World, user: Client, index: ShakyIndex
) -> None:
    index.wheel("held-helper")
    index.wheel("held", requires=["held-helper"])
    await user.apply(make_service("held"))
    await user.until_skill("demo", Ready="Ready")
    [pod] = await user.until_pods(1)
    index.trouble = refused
    await user.patch(Kind.SKILL, "demo", {"spec": {"packages": {"python": ["held", "held-too"]}}})
    await user.until_skill("demo", Resolved="ResolverUnavailable")
    assert [each["metadata"]["uid"] for each in await user.pods()] == [pod["metadata"]["uid"]]
    ban = {"ecosystem": "PyPI", "names": ["held-helper"], "message": "it phones home"}
    await user.apply(make_policy("security", bans=[ban]))
    await user.until_pods(0)
    index.trouble = None


def truncated(data: bytes) -> web.StreamResponse:
    return web.Response(body=data[: len(data) // 2])


def replaced(data: bytes) -> web.StreamResponse:
    return web.Response(body=data[:-1] + bytes([data[-1] ^ 1]))


def sent_elsewhere(data: bytes) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "http://127.0.0.2:9/files/x.whl"})


@pytest.mark.parametrize(
    ("answer", "words"),
    [(truncated, "artefact"), (replaced, "not the file that the lock names"), (sent_elsewhere, "127.0.0.2")],
    ids=lambda item: getattr(item, "__name__", None),
)
async def test_nothing_is_launched_whose_artefact_is(
    answer: Callable[[bytes], web.StreamResponse],
    words: str,
    world: World,
    user: Client,
    index: ShakyIndex,
) -> None:
    name = f"shipped-{answer.__name__.replace('_', '-')}"
    filename = index.wheel(name)
    whole = index.files[filename]

    async def trouble(index: PackageIndex, request: web.Request) -> web.StreamResponse | None:
        # The resolver reads metadata through a range of the file, and must have that to lock it at all.
        uv = request.headers.get("User-Agent", "").startswith("uv/")
        return answer(whole) if is_file(request) and not uv else None

    index.trouble = trouble
    await user.apply(make_service(name))
    status = await user.until_skill("demo", Resolved="Locked", Scanned="ScannerError")
    assert words in condition(status, "Scanned")["message"]
    assert await user.pods() == []
    # Nothing tells the operator that somebody mended it: it looks again by itself.
    index.trouble = None
    await user.until_skill("demo", Ready="Ready")


async def test_an_artefact_that_is_replaced_under_its_name_is_not_what_runs(
    world: World, user: Client, index: ShakyIndex
) -> None:
    name = index.wheel("swapped", code="WORD = 'judged'\n")
    await user.apply(make_service("swapped"))
    await user.until_skill("demo", Ready="Ready")
    lock = (await user.get(Kind.SKILL, "demo"))["status"]["lock"]["digest"]
    judged = index.files[name]
    index.wheel("swapped", code="WORD = 'evil'\n")
    assert index.files[name] != judged
    await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"replicas": 2}}})
    await user.until_pods(2, ready=True)
    assert (await user.get(Kind.SKILL, "demo"))["status"]["lock"]["digest"] == lock


# -- tools ---------------------------------------------------------------------------------------------


def make_tool(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


TOOLS = {
    "kills itself": "kill -9 $$",
    "prints garbage": "/usr/bin/head -c 100000 /dev/urandom; exit 0",
    "says nothing and succeeds": "exit 0",
    "fails": "echo broken >&2; exit 3",
    "hangs": "exec /bin/sleep 1000",
}


@pytest.mark.parametrize("sentence", TOOLS)
async def test_it_is_never_a_pass_when_the_resolver(
    sentence: str,
    world: World,
    user: Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tool = make_tool(tmp_path / "uv", TOOLS[sentence])
    assert world.core is not None
    resolver = world.core._parts.skills._tools.stages._resolver._python
    whole = resolver._settings
    name = f"tooled-{sentence.replace(' ', '-')}"
    world.index.wheel(name)
    monkeypatch.setattr(resolver, "_settings", replace(whole, uv_path=tool, deadline_seconds=2))
    await user.apply(make_service(name))
    status = await user.until_skill("demo", Resolved="ResolverUnavailable")
    assert condition(status, "Resolved")["message"]
    assert condition(status, "Compliant")["status"] != "True"
    assert await user.pods() == []
    monkeypatch.setattr(resolver, "_settings", whole)
    await user.until_skill("demo", Ready="Ready")

"""Syncing over HTTP: ETags, redirects, truncation, refusals; against a real server on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from skillwarden.advisories.dumps import Limits
from skillwarden.advisories.errors import SourceUnavailableError, SyncError
from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.sync import SyncProgress, SyncStage, sync
from skillwarden.domain.package import Ecosystem, PackageId

WIDGET = PackageId.of(Ecosystem.PYPI, "widget", "1.0")
Answer = Callable[[web.Request], web.StreamResponse]


@dataclass
class Server:
    """A server of one dump whose answer a test can change."""

    body: bytes = b""
    etag: str = '"one"'
    answer: Answer | None = None
    base: str = ""
    asked: list[web.Request] = field(default_factory=list)
    npm: bytes | None = None
    npm_etag: str = '"npm"'

    @property
    def python(self) -> list[web.Request]:
        """What was asked about PyPI's dump."""
        return [request for request in self.asked if "/npm/" not in request.path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.answer is not None:
            return self.answer(request)
        match request.path:
            case "/dumps/PyPI/all.zip":
                body, etag = self.body, self.etag
            case "/dumps/npm/all.zip" if self.npm is not None:
                body, etag = self.npm, self.npm_etag
            case _:
                return web.Response(status=404)
        if etag and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304)
        return web.Response(body=body, headers={"ETag": etag} if etag else {})


@pytest.fixture
async def server(make_record: Any, make_zip: Any, tmp_path: Path) -> AsyncIterator[Server]:
    double = Server()
    double.body = make_zip(
        tmp_path / "dump.zip", {"PYSEC-1.json": json.dumps(make_record("PYSEC-1")).encode()}
    ).read_bytes()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", double.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    double.base = f"http://127.0.0.1:{runner.addresses[0][1]}/dumps/"
    yield double
    await runner.cleanup()


async def test_a_dump_is_fetched_and_an_unchanged_one_only_moves_the_time(
    server: Server, tmp_path: Path
) -> None:
    seen: list[SyncProgress] = []
    first = await sync(server.base, into=tmp_path / "i", on_progress=seen.append)
    second = await sync(server.base, into=tmp_path / "i")
    index = AdvisoryIndex.open(tmp_path / "i")
    assert index.affecting(WIDGET)
    assert (first.changed, second.changed) == (True, False)
    assert first.revision == second.revision
    assert index.synced_at == second.synced_at > first.synced_at
    assert server.python[1].headers["If-None-Match"] == '"one"'
    assert SyncProgress(SyncStage.DOWNLOAD, len(server.body), len(server.body)) in seen


async def test_an_etag_is_not_sent_where_the_index_it_speaks_of_is_gone(
    server: Server, tmp_path: Path
) -> None:
    await sync(server.base, into=tmp_path / "i")
    (tmp_path / "i" / "index.sqlite").unlink()
    await sync(server.base, into=tmp_path / "i")
    assert "If-None-Match" not in server.python[1].headers
    assert AdvisoryIndex.open(tmp_path / "i").affecting(WIDGET)


async def test_an_etag_is_not_sent_to_another_source(server: Server, tmp_path: Path) -> None:
    await sync(server.base, into=tmp_path / "i")
    with pytest.raises(SyncError, match="404"):
        await sync(server.base + "other", into=tmp_path / "i")
    assert "If-None-Match" not in server.python[1].headers


async def test_not_modified_without_having_asked_is_refused(server: Server, tmp_path: Path) -> None:
    server.answer = lambda _: web.Response(status=304)
    with pytest.raises(SyncError, match="HTTP 304"):
        await sync(server.base, into=tmp_path / "i")


@pytest.fixture
def npm_dump(make_record: Any, make_zip: Any, tmp_path: Path) -> Callable[[str], bytes]:
    def make(id_: str) -> bytes:
        record = json.dumps(make_record(id_)).replace("PyPI", "npm").encode()
        return bytes(make_zip(tmp_path / f"{id_}.zip", {f"{id_}.json": record}).read_bytes())

    return make


async def test_what_did_not_change_stays_where_another_ecosystem_did(
    server: Server, npm_dump: Callable[[str], bytes], tmp_path: Path
) -> None:
    await sync(server.base, into=tmp_path / "i")
    assert Ecosystem.NPM not in AdvisoryIndex.open(tmp_path / "i").counts()
    for number in (1, 2):
        server.npm, server.npm_etag = npm_dump(f"GHSA-{number}"), f'"{number}"'
        assert (await sync(server.base, into=tmp_path / "i")).changed
        index = AdvisoryIndex.open(tmp_path / "i")
        assert index.affecting(WIDGET), "PyPI's dump was answered with 304"
        assert index.counts()[Ecosystem.NPM].records == 1
    assert not (await sync(server.base, into=tmp_path / "i")).changed


@pytest.mark.parametrize("etag", ['"npm"', ""])
async def test_an_ecosystem_that_vanishes_is_refused_and_the_last_good_index_stands(
    etag: str, server: Server, npm_dump: Callable[[str], bytes], tmp_path: Path
) -> None:
    server.npm, server.npm_etag = npm_dump("GHSA-1"), etag
    await sync(server.base, into=tmp_path / "i")
    server.npm = None
    with pytest.raises(SyncError, match="npm"):
        await sync(server.base, into=tmp_path / "i")
    assert AdvisoryIndex.open(tmp_path / "i").counts()[Ecosystem.NPM].records == 1


async def test_a_server_without_etags_is_fetched_again(server: Server, tmp_path: Path) -> None:
    server.etag = ""
    await sync(server.base, into=tmp_path / "i")
    report = await sync(server.base, into=tmp_path / "i")
    assert not report.changed
    assert len(server.python) == 2


async def test_a_redirect_on_the_same_host_is_followed(server: Server, tmp_path: Path) -> None:
    def answer(request: web.Request) -> web.StreamResponse:
        match request.path:
            case "/dumps/PyPI/all.zip":
                return web.Response(status=302, headers={"Location": "/elsewhere.zip"})
            case "/elsewhere.zip":
                return web.Response(body=server.body)
        return web.Response(status=404)

    server.answer = answer
    await sync(server.base, into=tmp_path / "i")
    assert [request.path for request in server.python] == ["/dumps/PyPI/all.zip", "/elsewhere.zip"]


@pytest.mark.parametrize(
    "location", ["http://example.invalid/all.zip", "file:///etc/passwd", "//example.invalid/x"]
)
async def test_a_redirect_elsewhere_is_refused_and_not_followed(
    location: str, server: Server, tmp_path: Path
) -> None:
    server.answer = lambda _: web.Response(status=302, headers={"Location": location})
    with pytest.raises(SyncError, match="not the same host"):
        await sync(server.base, into=tmp_path / "i")
    assert len(server.asked) == 1


async def test_a_redirect_to_nowhere_is_refused(server: Server, tmp_path: Path) -> None:
    for headers in ({}, {"Location": "http://[broken"}):
        server.answer = lambda _, headers=headers: web.Response(status=302, headers=headers)
        with pytest.raises(SyncError, match="no URL"):
            await sync(server.base, into=tmp_path / "i")


async def test_an_endless_redirect_ends(server: Server, tmp_path: Path) -> None:
    server.answer = lambda request: web.Response(status=302, headers={"Location": str(request.url)})
    with pytest.raises(SyncError, match="redirects more than"):
        await sync(server.base, into=tmp_path / "i")


ANSWERS: dict[str, tuple[Answer, type[SyncError], str]] = {
    "not found": (lambda _: web.Response(status=404), SyncError, "HTTP 404"),
    "a server error": (lambda _: web.Response(status=503), SourceUnavailableError, "HTTP 503"),
    "a web page": (
        lambda _: web.Response(text="<html></html>", content_type="text/html"),
        SyncError,
        "not a whole zip",
    ),
    "nothing": (lambda _: web.Response(body=b""), SyncError, "not a whole zip"),
}


@pytest.mark.parametrize("sentence", ANSWERS)
async def test_a_bad_answer_is_refused_and_the_last_good_index_stands(
    sentence: str, server: Server, tmp_path: Path
) -> None:
    good = await sync(server.base, into=tmp_path / "i")
    answer, error, message = ANSWERS[sentence]
    server.answer = answer
    with pytest.raises(error, match=message) as caught:
        await sync(server.base, into=tmp_path / "i", force=True)
    assert isinstance(caught.value, SourceUnavailableError) is (error is SourceUnavailableError)
    index = AdvisoryIndex.open(tmp_path / "i")
    assert (index.revision, index.synced_at) == (good.revision, good.synced_at)


async def test_too_large_an_answer_is_refused_by_its_length_and_by_its_bytes(
    server: Server, tmp_path: Path
) -> None:
    limits = Limits(archive_bytes=50)
    with pytest.raises(SyncError, match="at most 50"):
        await sync(server.base, into=tmp_path / "i", limits=limits)

    def chunked(_: web.Request) -> web.StreamResponse:
        response = web.Response(body=server.body)
        response.enable_chunked_encoding()
        return response

    server.answer = chunked
    with pytest.raises(SyncError, match="sends more than 50"):
        await sync(server.base, into=tmp_path / "i", limits=limits)


async def test_an_answer_that_breaks_off_is_worth_a_retry(server: Server, tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nPK")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(SourceUnavailableError, match="does not answer"):
            await sync(f"http://127.0.0.1:{port}", into=tmp_path / "i")
    with pytest.raises(SourceUnavailableError, match="does not answer"):
        await sync(f"http://127.0.0.1:{port}", into=tmp_path / "i")


async def test_a_silent_server_meets_the_deadline(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(SyncError, match="longer than"):
            await sync(f"http://127.0.0.1:{port}", into=tmp_path / "i", deadline_seconds=0.2)


async def test_credentials_are_used_and_never_shown(server: Server, tmp_path: Path) -> None:
    base = server.base.replace("http://", "http://reader:hunter2@")
    report = await sync(base, into=tmp_path / "i")
    assert server.asked[0].headers["Authorization"].startswith("Basic ")
    assert "hunter2" not in report.source + (tmp_path / "i" / "sync.json").read_text()
    server.answer = lambda _: web.Response(status=404)
    with pytest.raises(SyncError) as caught:
        await sync(base + "x", into=tmp_path / "i")
    assert "hunter2" not in str(caught.value)

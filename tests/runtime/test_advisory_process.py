"""The advisory server as a process: ready when it has something to say, at work until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from skillwarden.advisories.sync import sync

RECORD = {
    "id": "PYSEC-1",
    "modified": "2024-01-01T00:00:00Z",
    "affected": [{"package": {"ecosystem": "PyPI", "name": "widget"}, "versions": ["1.0"]}],
}


class Process:
    """``skillwarden advisories serve`` over a folder."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    @classmethod
    async def start(cls, source: Path, into: Path, *, listen: str = "127.0.0.1:0") -> Process:
        arguments = ("--from", source, "--into", into, "--listen", listen, "--interval", "1")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "skillwarden", "advisories", "serve", *arguments),
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        first = (await process.stderr.readline()).decode()
        found = re.search(r"listening on (\S+)", first)
        return cls(process, f"http://{found[1]}" if found else first)

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def ready(self) -> None:
        async with asyncio.timeout(60):
            while (await self.get("/readyz"))[0] != 200:
                await asyncio.sleep(0.1)

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        _, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Process]:
    (tmp_path / "source").mkdir()
    process = await Process.start(tmp_path / "source", tmp_path / "server")
    yield process
    if process.process.returncode is None:
        await process.stop()


async def test_it_is_ready_when_it_has_advisories_and_ends_when_it_is_told(
    server: Process, tmp_path: Path
) -> None:
    assert await server.get("/readyz") == (503, "not yet\n")
    assert await server.get("/healthz") == (200, "ok\n")
    (tmp_path / "source" / "PYSEC-1.json").write_text(json.dumps(RECORD))
    await server.ready()
    report = await sync(server.url, into=tmp_path / "operator")
    _, metrics = await server.get("/metrics")
    for line in (
        f'skillwarden_advisories_info{{revision="{report.revision.removeprefix("sha256:")[:12]}"}} 1.0',
        'skillwarden_advisories_requests_total{route="dump",status="200"} 1.0',
        'skillwarden_advisories_requests_total{route="dump",status="404"} 1.0',
    ):
        assert line in metrics
    assert re.search(r"^skillwarden_advisories_age_seconds \d", metrics, flags=re.MULTILINE)
    assert await server.stop() == 0


async def test_a_source_that_breaks_leaves_it_at_work_with_what_it_has(
    server: Process, tmp_path: Path
) -> None:
    record = tmp_path / "source" / "PYSEC-1.json"
    record.write_text(json.dumps(RECORD))
    await server.ready()
    record.write_text("no advisory")
    assert server.process.stderr is not None
    async with asyncio.timeout(60):
        while b"cannot be synced" not in await server.process.stderr.readline():
            pass
    assert (await server.get("/readyz"))[0] == 200
    assert (await server.get("/v1/vulns/PYSEC-1"))[0] == 200


async def test_an_address_that_is_taken_is_said(server: Process, tmp_path: Path) -> None:
    address = server.url.removeprefix("http://")
    second = await Process.start(tmp_path / "source", tmp_path / "second", listen=address)
    assert "cannot listen on" in second.url
    assert await second.process.wait() == 1

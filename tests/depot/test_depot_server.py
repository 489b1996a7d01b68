"""The served depot: what each token opens, what it never opens, and that pip installs from it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from depot_support import SECRET, Index, make_lock, make_wheel, running_depot

from skillwarden.depot.client import DepotClient
from skillwarden.depot.fetch import Fetcher, FetchSettings
from skillwarden.depot.local import LocalDepot
from skillwarden.depot.protocol import Depot
from skillwarden.depot.server import MAX_CONTENT_BYTES, MAX_INPUT_BYTES, build_app
from skillwarden.depot.serving import Listening, serving
from skillwarden.depot.store import DepotStore
from skillwarden.depot.tokens import issue, operator_token
from skillwarden.domain import content
from skillwarden.domain.errors import IntegrityError, InvalidInputError, UnavailableError
from skillwarden.domain.finding import ScannerName, ScannerReport, ScanResult, ScanState
from skillwarden.domain.lock import Lock
from skillwarden.domain.skill import SourceFile

KEY = "sha256:" + "a" * 64
SOURCE = content.pack([SourceFile("main.py", b"print('hello')\n")])
OPERATOR = {"Authorization": f"Bearer {operator_token(SECRET)}"}


@pytest.fixture
async def http(depot_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=depot_url) as session:
        yield session


@pytest.fixture
async def stocked(client: DepotClient, index: Index) -> Lock:
    """A lock whose artefact is in the depot."""
    wheel = make_wheel("tiny")
    index.add(wheel)
    lock = make_lock(wheel, base=index.url)
    await client.put_lock(lock)
    assert (await client.fetch(lock, {"127.0.0.1"})).complete
    return lock


def bearer(
    lock: Lock, *, source: str = content.digest_of(SOURCE), given: str | None = None
) -> dict[str, str]:
    token = issue(SECRET, lock_digest=lock.digest, content_digest=source, input_digest=given)
    return {"Authorization": f"Bearer {token}"}


async def test_the_client_reads_back_what_it_put(client: DepotClient) -> None:
    lock = make_lock(make_wheel())
    scan = ScanResult(
        lock.digest,
        "2026-01-01T00:00:00Z pypi/3 & more?",
        datetime(2026, 1, 1, tzinfo=UTC),
        (ScannerReport(ScannerName.OSV, ScanState.PASS, frozenset(item.id for item in lock.packages)),),
    )
    await client.put_lock(lock, KEY)
    await client.put_scan(scan)
    assert await client.get_content(await client.put_content(SOURCE)) == SOURCE
    assert await client.get_input(await client.put_input(b"{}")) == b"{}"
    assert await client.get_lock(lock.digest) == lock
    assert await client.lock_for_key(KEY) == lock
    assert await client.get_scan(lock.digest, scan.advisory_revision) == scan
    assert await client.get_scan(lock.digest, "another") is None
    assert await client.latest_scan(lock.digest) == scan


async def test_the_client_says_none_for_what_is_not_there(client: DepotClient) -> None:
    nothing = "sha256:" + "0" * 64
    assert await client.get_content(nothing) is None
    assert await client.get_input(nothing) is None
    assert await client.get_lock(nothing) is None
    assert await client.lock_for_key(nothing) is None
    assert await client.latest_scan(nothing) is None


async def test_a_fetch_reports_each_package(client: DepotClient, index: Index) -> None:
    good, bad, wrong = make_wheel("good"), make_wheel("bad"), make_wheel("wrong")
    index.add(good)
    index.statuses[bad.filename] = 503
    index.files[wrong.filename] = b"tampered"
    report = await client.fetch(make_lock(good, bad, wrong, base=index.url), {"127.0.0.1"})
    assert [(item.package.name, item.retryable) for item in report.missing] == [
        ("bad", True),
        ("wrong", False),
    ]
    assert not report.retryable, "one of them is missing for good"


async def test_a_local_depot_and_a_served_one_are_one_protocol(
    store: DepotStore, client: DepotClient, index: Index
) -> None:

    wheel = make_wheel()
    index.add(wheel)
    lock = make_lock(wheel, base=index.url)
    async with Fetcher(store) as fetcher:
        depots: list[Depot] = [LocalDepot(store, fetcher), client]
        for depot in depots:
            await depot.put_lock(lock, KEY)
            assert await depot.lock_for_key(KEY) == lock
            assert (await depot.fetch(lock, {"127.0.0.1"})).complete


async def test_a_depot_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    async with running_depot(tmp_path / "state") as url:
        pass
    async with DepotClient(url, operator_token="x") as client:
        with pytest.raises(UnavailableError, match="does not answer"):
            await client.put_content(SOURCE)


async def test_another_operators_token_is_unavailable_with_a_fix(depot_url: str) -> None:
    async with DepotClient(depot_url, operator_token=operator_token(b"z" * 32)) as client:
        with pytest.raises(UnavailableError, match="the same key"):
            await client.put_content(SOURCE)


async def test_the_depot_listens_on_a_unix_socket(tmp_path: Path) -> None:

    path = tmp_path / "depot.sock"
    for _ in range(2):
        listening = Listening(unix=path)
        async with serving(tmp_path / "state", listening, secret=SECRET, settings=FetchSettings()):
            assert path.stat().st_mode & 0o777 == 0o666, "a sandbox connects as its own user"
            async with DepotClient(unix_socket=path, operator_token=operator_token(SECRET)) as client:
                assert await client.put_content(SOURCE) == content.digest_of(SOURCE)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/contents/{zero}", SOURCE),
        ("/v1/inputs/{zero}", b"{}"),
        ("/v1/locks/{zero}", json.dumps(make_lock().to_json()).encode()),
    ],
)
async def test_a_body_with_another_digest_is_a_conflict(
    http: aiohttp.ClientSession, client: DepotClient, path: str, body: bytes
) -> None:
    zero = "sha256:" + "0" * 64
    async with http.put(path.format(zero=zero), data=body, headers=OPERATOR) as response:
        assert response.status == 409
        assert "digest" in (await response.json())["error"]
    assert await client.get_content(zero) is None


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("contents", b"not packed"),
        ("contents", b'[["../escape", ""]]'),
        ("contents", b'[["b", ""], ["a", ""]]'),
        ("locks", b"{}"),
        ("locks", b"[]"),
        ("locks", b"\xff"),
        ("scans", b'{"lockDigest": 1}'),
    ],
)
async def test_a_body_that_is_not_one_of_ours_is_refused(
    http: aiohttp.ClientSession, what: str, body: bytes
) -> None:
    async with http.put(f"/v1/{what}/{content.digest_of(body)}", data=body, headers=OPERATOR) as response:
        assert response.status == 422


@pytest.mark.parametrize(("what", "limit"), [("contents", MAX_CONTENT_BYTES), ("inputs", MAX_INPUT_BYTES)])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_a_body_over_its_bound_is_refused(
    http: aiohttp.ClientSession, what: str, limit: int, chunked: bool
) -> None:
    body = b"x" * (limit + 1)

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    sent = chunks() if chunked else body
    async with http.put(f"/v1/{what}/{content.digest_of(body)}", data=sent, headers=OPERATOR) as response:
        assert response.status == 413


async def test_the_largest_source_is_taken(client: DepotClient) -> None:
    files = [
        SourceFile(f"{number:03}/" + "\U0001f600" * 60, b"") for number in range(content.MAX_SOURCE_FILES - 1)
    ]
    files.append(SourceFile("data", b"\xff" * content.MAX_SOURCE_BYTES))
    packed = content.pack(files)
    assert await client.get_content(await client.put_content(packed)) == packed


@pytest.mark.parametrize("digest", ["sha256:..%2F..%2Fetc", "latest", "sha256:" + "A" * 64])
async def test_what_is_no_digest_is_refused(http: aiohttp.ClientSession, digest: str) -> None:
    async with http.get(f"/v1/contents/{digest}", headers=OPERATOR) as response:
        assert response.status in {404, 422}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no token"),
        pytest.param({"Authorization": "Bearer nonsense"}, id="nonsense"),
        pytest.param({"Authorization": "Basic !!!"}, id="a basic header that is not base64"),
        pytest.param({"Authorization": f"Token {operator_token(SECRET)}"}, id="another scheme"),
        pytest.param({"Authorization": f"Bearer {operator_token(b'z' * 32)}"}, id="another depot's"),
    ],
)
@pytest.mark.parametrize(
    "path", ["/v1/contents/x", "/sandbox/simple/", "/sandbox/locks/x", "/sandbox/files/a/b", "/nothing"]
)
async def test_without_a_token_of_this_depot_everything_is_401(
    http: aiohttp.ClientSession, path: str, headers: dict[str, str]
) -> None:
    async with http.get(path, headers=headers) as response:
        assert response.status == 401


async def test_health_needs_no_token(http: aiohttp.ClientSession) -> None:
    async with http.get("/healthz") as response:
        assert response.status == 200


async def test_a_sandbox_reads_its_own_lock_content_input_and_artefacts(
    http: aiohttp.ClientSession, client: DepotClient, stocked: Lock
) -> None:
    await client.put_content(SOURCE)
    given = await client.put_input(b"{}")
    artefact = stocked.packages[0].artefact
    mine = bearer(stocked, given=given)
    paths = {
        f"/sandbox/contents/{content.digest_of(SOURCE)}": SOURCE,
        f"/sandbox/inputs/{given}": b"{}",
        f"/sandbox/files/{artefact.digest}/{artefact.filename}": make_wheel("tiny").data,
    }
    for path, body in paths.items():
        async with http.get(path, headers=mine) as response:
            assert response.status == 200
            assert await response.read() == body
    async with http.get(f"/sandbox/locks/{stocked.digest}", headers=mine) as response:
        assert Lock.from_json(await response.json()).digest == stocked.digest


async def test_a_sandbox_is_not_told_where_artefacts_come_from(
    http: aiohttp.ClientSession, stocked: Lock, index: Index
) -> None:
    async with http.get(f"/sandbox/locks/{stocked.digest}", headers=bearer(stocked)) as response:
        assert index.url not in await response.text(), "a URL may be signed"


async def test_a_sandbox_gets_404_for_everything_else_whether_it_exists_or_not(
    http: aiohttp.ClientSession, client: DepotClient, stocked: Lock, index: Index
) -> None:
    wheel = make_wheel("other")
    index.add(wheel)
    other = make_lock(wheel, base=index.url)
    assert (await client.fetch(other, {"127.0.0.1"})).complete
    others_source = await client.put_content(content.pack([SourceFile("x", b"secret")]))
    others_input = await client.put_input(b"secret")
    mine = stocked.packages[0].artefact
    nothing = "sha256:" + "0" * 64
    paths = [
        f"/sandbox/locks/{other.digest}",
        f"/sandbox/locks/{nothing}",
        f"/sandbox/contents/{others_source}",
        f"/sandbox/contents/{nothing}",
        f"/sandbox/inputs/{others_input}",
        f"/sandbox/inputs/{nothing}",
        "/sandbox/simple/other/",
        "/sandbox/simple/nothing/",
        f"/sandbox/files/{wheel.digest}/{wheel.filename}",
        f"/sandbox/files/{mine.digest}/{wheel.filename}",
        f"/sandbox/files/{'0' * 64}/{mine.filename}",
        f"/v1/contents/{others_source}",
        f"/v1/locks/{stocked.digest}",
        f"/v1/scans/{stocked.digest}/latest",
        "/sandbox/../v1/contents/x",
    ]
    bodies = set()
    mine_only = bearer(stocked, given=await client.put_input(b"mine"))
    for path in paths:
        async with http.get(path, headers=mine_only) as response:
            assert response.status == 404, path
            bodies.add(await response.text())
    assert len(bodies) == 1, "the answer does not tell what exists from what does not"


async def test_a_sandbox_writes_nothing(http: aiohttp.ClientSession, stocked: Lock) -> None:
    for method, path in [
        ("PUT", f"/v1/contents/{content.digest_of(SOURCE)}"),
        ("POST", f"/v1/locks/{stocked.digest}/fetch"),
        ("PUT", f"/v1/scans/{stocked.digest}"),
    ]:
        async with http.request(method, path, data=SOURCE, headers=bearer(stocked)) as response:
            assert response.status == 404
    async with http.put(f"/sandbox/locks/{stocked.digest}", headers=bearer(stocked)) as response:
        assert response.status == 405


async def test_the_operator_is_no_sandbox(http: aiohttp.ClientSession, stocked: Lock) -> None:
    async with http.get(f"/sandbox/locks/{stocked.digest}", headers=OPERATOR) as response:
        assert response.status == 404


async def test_the_index_holds_the_lock_and_nothing_else(
    http: aiohttp.ClientSession, client: DepotClient, stocked: Lock
) -> None:
    await client.put_lock(make_lock(make_wheel("other")))
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    async with http.get("/sandbox/simple/", headers={**bearer(stocked), **accept}) as response:
        assert response.content_type == accept["Accept"]
        record = await response.json(content_type=None)
        assert record["projects"] == [{"name": "tiny"}]
    async with http.get("/sandbox/simple/tiny/", headers={**bearer(stocked), **accept}) as response:
        (file,) = (await response.json(content_type=None))["files"]
        assert file["hashes"] == {"sha256": stocked.packages[0].artefact.hex}
    async with http.get("/sandbox/simple/tiny/", headers=bearer(stocked)) as response:
        assert f"#sha256={stocked.packages[0].artefact.hex}" in await response.text()


async def test_more_locks_than_are_kept_in_memory_are_all_served(
    http: aiohttp.ClientSession, client: DepotClient
) -> None:
    locks = [make_lock(make_wheel(version=str(number))) for number in range(70)]
    for lock in locks:
        await client.put_lock(lock)
    for lock in [*locks, *locks[:3]]:
        async with http.get(f"/sandbox/locks/{lock.digest}", headers=bearer(lock)) as response:
            assert Lock.from_json(await response.json()).digest == lock.digest


async def test_a_corrupt_artefact_is_not_served(
    http: aiohttp.ClientSession, stocked: Lock, tmp_path: Path
) -> None:
    artefact = stocked.packages[0].artefact
    path = tmp_path / "state" / "artefacts" / "sha256" / artefact.hex[:2] / artefact.hex
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    address = f"/sandbox/files/{artefact.digest}/{artefact.filename}"
    async with http.get(address, headers=bearer(stocked)) as response:
        assert response.status == 404
    assert not path.exists()


async def test_the_access_log_holds_no_token(
    http: aiohttp.ClientSession, stocked: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    headers = bearer(stocked)
    token = headers["Authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.DEBUG):
        async with http.get(f"/sandbox/simple/?token={token}", headers=headers) as response:
            assert response.status == 200
    lines = [record.getMessage() for record in caplog.records if record.name == "skillwarden.depot.access"]
    assert any("/sandbox/simple/" in line for line in lines)
    assert not any(token in line for line in lines)


def test_a_short_key_serves_nothing(store: DepotStore) -> None:

    async def build() -> None:
        build_app(store, Fetcher(store), secret=b"short")

    with pytest.raises(InvalidInputError):
        asyncio.run(build())


async def test_pip_installs_from_the_served_index(depot_url: str, stocked: Lock, tmp_path: Path) -> None:
    token = issue(SECRET, lock_digest=stocked.digest, content_digest=content.digest_of(SOURCE))
    index = depot_url.replace("http://", f"http://any:{token}@") + "/sandbox/simple/"
    command = [sys.executable, "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "install"]
    command += ["--no-cache-dir", "--target", str(tmp_path / "env"), "--index-url", index, "tiny"]
    env = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
    done = await asyncio.to_thread(
        subprocess.run, command, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "env" / "tiny.py").exists()


async def test_a_depot_that_answers_with_other_bytes_is_found_out(tmp_path: Path) -> None:
    async def lie(request: web.Request) -> web.Response:
        if "contents" in request.path:
            return web.Response(body=b"other bytes", content_type="application/octet-stream")
        return web.json_response(make_lock(make_wheel("other")).to_json())

    app = web.Application()
    app.router.add_get("/{tail:.*}", lie)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with DepotClient(url, operator_token="x") as client:
            with pytest.raises(IntegrityError):
                await client.get_content(content.digest_of(SOURCE))
            with pytest.raises(IntegrityError):
                await client.get_lock(make_lock().digest)
            with pytest.raises(UnavailableError, match="cannot be read"):
                await client.latest_scan(make_lock().digest)
    finally:
        await runner.cleanup()


def basic(token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"pip:{token}".encode()).decode()}


async def test_the_token_may_be_a_basic_password_as_pip_sends_it(
    http: aiohttp.ClientSession, stocked: Lock
) -> None:
    token = issue(SECRET, lock_digest=stocked.digest, content_digest=content.digest_of(SOURCE))
    async with http.get("/sandbox/simple/", headers=basic(token)) as response:
        assert response.status == 200

"""What auditors ask over HTTP beyond one scan's endpoint: batches, whole records, and no index at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from skillwarden.advisories.answers import BATCH_PATH, BULK_PATH, MAX_REQUEST, QUERY_PATH
from skillwarden.advisories.export import Exports
from skillwarden.advisories.feed import AdvisoryFeed
from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.questions import MAX_QUERIES
from skillwarden.advisories.server import build_app

Client = TestClient[web.Request, web.Application]
Open = Callable[[AdvisoryIndex | None], Any]
WIDGET = {"package": {"name": "widget", "ecosystem": "PyPI"}, "version": "1.0"}


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Open]:
    clients: list[Client] = []

    async def start(index: AdvisoryIndex | None) -> Client:
        feed = AdvisoryFeed(index.path if index else tmp_path / "nothing")
        app = build_app(feed, Exports(tmp_path / "dumps"), count=lambda *_: None)
        client: Client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


async def test_a_batch_is_answered_in_the_order_of_its_queries(
    ask: Open, make_index: Any, make_record: Any
) -> None:
    client = await ask(make_index(make_record("PYSEC-1"), make_record("PYSEC-2", package="other")))
    queries = [
        {"package": {"purl": "pkg:pypi/other@1.0"}},
        {**WIDGET, "version": "2.0"},
        {"package": {"purl": "pkg:pypi/widget"}, "version": "1.0"},
    ]
    answer = await client.post(BATCH_PATH, json={"queries": queries})
    found = [[row["id"] for row in result["vulns"]] for result in (await answer.json())["results"]]
    assert found == [["PYSEC-2"], [], ["PYSEC-1"]]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"queries": [WIDGET, {"package": {"name": "x", "ecosystem": "Go"}, "version": "1"}]}, "queries[1]"),
        ({"queries": [{"package": {"purl": "pkg:golang/x@1"}}]}, "purl"),
        ({"queries": [{"package": {"purl": "pkg:pypi/x"}}]}, "no version"),
        ({"queries": [WIDGET] * (MAX_QUERIES + 1)}, "at most"),
        ([], "list of queries"),
    ],
    ids=["other-ecosystem", "other-purl", "no-version", "too-many", "no-batch"],
)
async def test_a_batch_that_cannot_be_answered_whole_is_refused(
    ask: Open, make_index: Any, make_record: Any, body: Any, why: str
) -> None:
    client = await ask(make_index(make_record()))
    answer = await client.post(BATCH_PATH, json=body)
    assert answer.status == 400
    assert why in (await answer.json())["message"]


async def test_a_record_is_served_whole_by_its_id(ask: Open, make_index: Any, make_record: Any) -> None:
    odd = make_record("PYSEC-2", events=[{"fixed": "1.0"}], modified="soon")
    client = await ask(make_index(make_record("PYSEC-1"), odd))
    whole = await (await client.get("/v1/vulns/PYSEC-1")).json()
    assert whole["affected"][0]["ranges"][0]["events"] == [{"introduced": "0"}, {"fixed": "2.0"}]
    shown = await (await client.get("/v1/vulns/PYSEC-2")).json()
    assert shown["affected"][0]["ranges"][0]["events"] == [{"introduced": "0"}]
    assert shown["modified"] == "1970-01-01T00:00:00Z"
    absent = await client.get("/v1/vulns/PYSEC-3")
    assert absent.status == 404
    assert "PYSEC-3" in (await absent.json())["message"]


async def test_without_an_index_nothing_reads_as_clean(ask: Open) -> None:
    client = await ask(None)
    answers = [
        await client.post(QUERY_PATH, json=WIDGET),
        await client.post(BATCH_PATH, json={"queries": [WIDGET]}),
        await client.post(BULK_PATH, json={"widget": ["1.0.0"]}),
        await client.get("/v1/vulns/PYSEC-1"),
    ]
    assert [answer.status for answer in answers] == [503] * 4


async def test_a_body_that_is_huge_or_no_json_is_refused_in_json(
    ask: Open, make_index: Any, make_record: Any
) -> None:
    client = await ask(make_index(make_record()))
    huge = await client.post(BULK_PATH, data=b"[" * (MAX_REQUEST + 1))
    bad = await client.post(BULK_PATH, data=b"{")
    assert [huge.status, bad.status] == [413, 400]
    assert (await huge.json())["message"]
    assert (await bad.json())["message"]

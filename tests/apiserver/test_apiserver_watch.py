"""Watches: order, selection, bookmarks, and what happens when a version is too old."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from apiserver_support import CRDS, GADGETS, GROUP, SECRETS, Client, make_gadget, make_secret

from skillwarden.localcluster.apiserver import ApiServer

FROM = "&resourceVersion="


async def version_of(api: Client, path: str) -> str:
    return str((await api.get(path)).body["metadata"]["resourceVersion"])


async def test_a_watch_without_a_version_begins_with_what_is_there(api: Client) -> None:
    await api.made(SECRETS, make_secret("one"))
    async with api.watch(SECRETS) as events:
        assert await events.take(1) == [("ADDED", "one")]
        await api.patch(f"{SECRETS}/one", {"stringData": {"k": "v"}})
        await api.made(SECRETS, make_secret("two"))
        await api.delete(f"{SECRETS}/one")
        assert await events.take(3) == [("MODIFIED", "one"), ("ADDED", "two"), ("DELETED", "one")]


async def test_a_watch_from_a_version_misses_nothing_after_it(api: Client) -> None:
    await api.made(SECRETS, make_secret("one"))
    since = await version_of(api, SECRETS)
    await api.made(SECRETS, make_secret("two"))
    await api.delete(f"{SECRETS}/one")
    async with api.watch(SECRETS, FROM + since) as events:
        assert await events.take(2) == [("ADDED", "two"), ("DELETED", "one")]


async def test_versions_grow_with_every_event(api: Client) -> None:
    async with api.watch(SECRETS) as events:
        await api.made(SECRETS, make_secret("one"))
        await api.patch(f"{SECRETS}/one", {"stringData": {"k": "v"}})
        await api.delete(f"{SECRETS}/one")
        seen = [int((await events.next())["object"]["metadata"]["resourceVersion"]) for _ in range(3)]
    assert seen == sorted(set(seen))


async def test_an_object_that_leaves_the_selection_is_deleted_for_the_watcher(api: Client) -> None:
    since = await version_of(api, SECRETS)
    async with api.watch(SECRETS, f"&labelSelector=tier%3Da{FROM}{since}") as events:
        await api.made(SECRETS, make_secret("one", meta={"labels": {"tier": "b"}}))
        await api.patch(f"{SECRETS}/one", {"metadata": {"labels": {"tier": "a"}}})
        await api.patch(f"{SECRETS}/one", {"stringData": {"k": "v"}})
        await api.patch(f"{SECRETS}/one", {"metadata": {"labels": {"tier": "b"}}})
        await api.patch(f"{SECRETS}/one", {"stringData": {"k": "w"}})
        await api.made(SECRETS, make_secret("two", meta={"labels": {"tier": "a"}}))
        assert await events.take(4) == [
            ("ADDED", "one"),
            ("MODIFIED", "one"),
            ("DELETED", "one"),
            ("ADDED", "two"),
        ]


async def test_a_watch_of_one_name(api: Client) -> None:
    async with api.watch(SECRETS, "&fieldSelector=metadata.name%3Dtwo") as events:
        await api.made(SECRETS, make_secret("one"))
        await api.made(SECRETS, make_secret("two"))
        assert await events.take(1) == [("ADDED", "two")]


@pytest.mark.embedded_only("its interval of bookmarks; a real server's is a minute")
async def test_bookmarks_come_to_those_who_ask(api: Client) -> None:
    await api.made(SECRETS, make_secret("one"))
    since = await version_of(api, SECRETS)
    async with api.watch(SECRETS, f"{FROM}{since}&allowWatchBookmarks=true") as events:
        bookmark = await events.next()
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "Secret"
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= int(since)
    async with api.watch(SECRETS, f"{FROM}{since}&timeoutSeconds=1") as events:
        assert await events.response.content.read() == b""


async def test_a_watch_list_ends_its_initial_events_with_a_marked_bookmark(api: Client) -> None:
    await api.made(SECRETS, make_secret("one"))
    asked = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with api.watch(SECRETS, asked) as events:
        first = await events.next()
        if first["type"] == "ERROR":
            pytest.skip("this server's etcd does not tell how far it is, so no list can be watched")
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "one")
        end = await events.next()
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    refused = await api.get(f"{SECRETS}?watch=1&sendInitialEvents=true")
    assert refused.status == 422


@pytest.mark.embedded_only("its history is forgotten by a call; a real server's after minutes")
async def test_a_version_that_is_no_longer_kept_is_gone(api: Client, server: ApiServer) -> None:
    for index in range(3):
        await api.made(SECRETS, make_secret(f"cm-{index}"))
    page = (await api.get(f"{SECRETS}?limit=1")).body["metadata"]
    old = str(int(page["resourceVersion"]) - 1)
    server.compact()
    async with api.watch(SECRETS, FROM + old) as events:
        event = await events.next()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == (
            "ERROR",
            410,
            "Expired",
        )
    expired = await api.get(f"{SECRETS}?limit=1&continue={page['continue']}")
    assert (expired.status, expired.body["reason"]) == (410, "Expired")
    async with api.watch(SECRETS, FROM + page["resourceVersion"]) as events:
        await api.made(SECRETS, make_secret("new"))
        assert await events.take(1) == [("ADDED", "new")]


@pytest.mark.embedded_only("a real server waits for a version that is not there yet")
async def test_a_version_of_an_earlier_run_is_gone_too(api: Client) -> None:
    async with api.watch(SECRETS, f"{FROM}999999") as events:
        assert (await events.next())["object"]["code"] == 410


async def test_many_watchers_see_the_same(api: Client) -> None:
    since = await version_of(api, SECRETS)

    async def follow() -> list[tuple[str, str]]:
        async with api.watch(SECRETS, f"{FROM}{since}") as events:
            return await events.take(30)

    followers = [asyncio.create_task(follow()) for _ in range(5)]
    for index in range(30):
        await api.made(SECRETS, make_secret(f"cm-{index:02}"))
    wanted = [("ADDED", f"cm-{index:02}") for index in range(30)]
    assert await asyncio.gather(*followers) == [wanted] * 5


async def test_a_watch_in_table_form_defines_its_columns_once(gadgets: Client) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    since = await version_of(gadgets, GADGETS)
    async with gadgets.watch(GADGETS, f"{FROM}{since}", Accept=accept) as events:
        await gadgets.made(GADGETS, make_gadget("one"))
        await gadgets.made(GADGETS, make_gadget("two"))
        first, second = await events.next(), await events.next()
    assert [column["name"] for column in first["object"]["columnDefinitions"]][:2] == ["Name", "Mode"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][:2] == ["two", "Task"]


async def test_watches_of_a_withdrawn_kind_end(gadgets: Client) -> None:
    await gadgets.made(GADGETS, make_gadget())
    async with gadgets.watch(GADGETS) as events:
        assert await events.take(1) == [("ADDED", "one")]
        await gadgets.delete(f"{CRDS}/gadgets.{GROUP}")
        assert await events.take(1) == [("DELETED", "one")]
        async with asyncio.timeout(10):
            assert await events.response.content.read() == b""


@pytest.mark.embedded_only("it is stopped")
async def test_stopping_the_server_ends_watches_cleanly(api: Client, server: ApiServer) -> None:
    async with api.watch(SECRETS) as events:
        await api.made(SECRETS, make_secret("one"))
        assert await events.take(1) == [("ADDED", "one")]
        await server.stop()
        async with asyncio.timeout(10):
            try:
                assert await events.response.content.read() == b""
            except aiohttp.ClientPayloadError:
                raise AssertionError("the watch was cut off in the middle") from None

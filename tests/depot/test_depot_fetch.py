"""Fetching: once, whole, by hash, from allowed hosts only."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from depot_support import PLATFORM, Index, Wheel, make_lock, make_wheel, running_index
from yarl import URL

from skillwarden.depot.fetch import (
    Fetcher,
    FetchRefusedError,
    FetchSettings,
    check_netrc,
    host_allowed,
    redirect_target,
)
from skillwarden.depot.store import DepotStore
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.lock import Artefact, Lock, LockedPackage
from skillwarden.domain.package import Ecosystem, PackageId

HOSTS = frozenset({"127.0.0.1"})


@pytest.fixture
async def fetcher(store: DepotStore) -> AsyncIterator[Fetcher]:
    async with Fetcher(store) as fetcher:
        yield fetcher


def lock_of(*, url: str, wheel: Wheel) -> Lock:
    package = PackageId.of(Ecosystem.PYPI, wheel.name, wheel.version)
    return Lock(PLATFORM, (LockedPackage(package, Artefact(wheel.filename, wheel.digest, url=url)),))


async def refused(fetcher: Fetcher, lock: Lock, hosts: frozenset[str] = HOSTS) -> tuple[str, bool]:
    """Fetch what must not come, and return why it did not."""
    report = await fetcher.fetch(lock, hosts)
    (missing,) = report.missing
    assert not report.complete
    assert missing.package == lock.packages[0].id
    return missing.message, missing.retryable


async def test_every_artefact_of_a_lock_lands(fetcher: Fetcher, store: DepotStore, index: Index) -> None:
    wheels = [make_wheel("one"), make_wheel("two"), make_wheel("three")]
    index.add(*wheels)
    report = await fetcher.fetch(make_lock(*wheels, base=index.url), HOSTS)
    assert report.complete
    for wheel in wheels:
        file = store.open_artefact(wheel.digest)
        assert file is not None
        with file:
            assert file.read() == wheel.data


async def test_what_is_there_is_not_fetched_again(fetcher: Fetcher, index: Index) -> None:
    wheel = make_wheel()
    index.add(wheel)
    lock = make_lock(wheel, base=index.url)
    assert (await fetcher.fetch(lock, HOSTS)).complete
    assert (await fetcher.fetch(lock, HOSTS)).complete
    assert index.asked[wheel.filename] == 1


async def test_concurrent_asks_fetch_once(fetcher: Fetcher, index: Index) -> None:
    wheel = make_wheel()
    index.add(wheel)
    index.gate = asyncio.Event()
    lock = make_lock(wheel, base=index.url)
    asks = [asyncio.create_task(fetcher.fetch(lock, HOSTS)) for _ in range(20)]
    while not index.asked:
        await asyncio.sleep(0)
    index.gate.set()
    assert all(report.complete for report in await asyncio.gather(*asks))
    assert index.asked[wheel.filename] == 1


async def test_an_asker_that_gives_up_does_not_take_the_download_from_the_others(
    fetcher: Fetcher, index: Index
) -> None:
    wheel = make_wheel()
    index.add(wheel)
    index.gate = asyncio.Event()
    lock = make_lock(wheel, base=index.url)
    first, second = (asyncio.create_task(fetcher.fetch(lock, HOSTS)) for _ in range(2))
    while not index.asked:
        await asyncio.sleep(0)
    first.cancel()
    index.gate.set()
    assert (await second).complete
    assert index.asked[wheel.filename] == 1


async def test_a_wrong_hash_never_lands_and_is_not_retried(
    fetcher: Fetcher, store: DepotStore, index: Index
) -> None:
    wheel = make_wheel()
    index.files[wheel.filename] = b"not what the lock names"
    message, retryable = await refused(fetcher, make_lock(wheel, base=index.url))
    assert "not the file that the lock names" in message
    assert wheel.digest in message
    assert not retryable
    assert not store.has_artefact(wheel.digest)


async def test_a_transfer_that_is_cut_off_never_lands_and_is_retried(
    fetcher: Fetcher, store: DepotStore, index: Index
) -> None:
    wheel = make_wheel()
    index.add(wheel)
    index.truncate.add(wheel.filename)
    message, retryable = await refused(fetcher, make_lock(wheel, base=index.url))
    assert "cut off" in message
    assert retryable
    assert not store.has_artefact(wheel.digest)
    index.truncate.clear()
    assert (await fetcher.fetch(make_lock(wheel, base=index.url), HOSTS)).complete


async def test_an_endless_answer_stops_at_the_bound(store: DepotStore, index: Index, tmp_path: Path) -> None:
    wheel = make_wheel()
    index.add(wheel)
    index.endless.add(wheel.filename)
    async with Fetcher(store, settings=FetchSettings(max_bytes=1 << 20)) as fetcher:
        message, retryable = await refused(fetcher, make_lock(wheel, base=index.url))
    assert "larger than the 1048576 bytes" in message
    assert not retryable
    assert not list((tmp_path / "state" / "tmp").iterdir())


async def test_a_declared_length_over_the_bound_is_not_even_read(store: DepotStore, index: Index) -> None:
    wheel = make_wheel()
    index.add(wheel)
    async with Fetcher(store, settings=FetchSettings(max_bytes=10)) as fetcher:
        message, _ = await refused(fetcher, make_lock(wheel, base=index.url))
    assert "larger than the 10 bytes" in message


async def test_an_answer_that_drips_ends_at_the_deadline(store: DepotStore, index: Index) -> None:
    wheel = make_wheel()
    index.add(wheel)
    index.drip.add(wheel.filename)
    async with Fetcher(store, settings=FetchSettings(deadline_seconds=0.2)) as fetcher:
        message, retryable = await refused(fetcher, make_lock(wheel, base=index.url))
    assert "did not arrive in time" in message
    assert retryable


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(404, False), (410, False), (401, False), (403, False), (429, True), (500, True), (503, True)],
)
async def test_a_status_says_whether_another_try_may_help(
    fetcher: Fetcher, index: Index, status: int, retryable: bool
) -> None:
    wheel = make_wheel()
    index.statuses[wheel.filename] = status
    message, again = await refused(fetcher, make_lock(wheel, base=index.url))
    assert str(status) in message
    assert again is retryable


async def test_a_refused_connection_is_retryable(fetcher: Fetcher) -> None:
    async with running_index() as index:
        url = index.url
    message, retryable = await refused(fetcher, make_lock(make_wheel(), base=url))
    assert "no connection" in message
    assert retryable


async def test_one_missing_artefact_does_not_keep_the_others_away(
    fetcher: Fetcher, store: DepotStore, index: Index
) -> None:
    good, bad = make_wheel("good"), make_wheel("bad")
    index.add(good)
    report = await fetcher.fetch(make_lock(good, bad, base=index.url), HOSTS)
    assert [item.package.name for item in report.missing] == ["bad"]
    assert store.has_artefact(good.digest)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://elsewhere.example/f.whl", "neither the index's nor an allowed one"),
        ("http://127.0.0.1.elsewhere.example/f.whl", "neither the index's nor an allowed one"),
        ("http://169.254.169.254/latest/meta-data", "neither the index's nor an allowed one"),
        ("file:///etc/passwd", "only https and http"),
        ("ftp://127.0.0.1/f.whl", "only https and http"),
        ("", "only https and http"),
        ("http://user:secret@127.0.0.1/f.whl", "carries credentials"),
        ("http://127.0.0.1@elsewhere.example/f.whl", "carries credentials"),
    ],
)
async def test_a_url_that_leads_elsewhere_is_refused(fetcher: Fetcher, url: str, words: str) -> None:
    message, retryable = await refused(fetcher, lock_of(url=url, wheel=make_wheel()))
    assert words in message
    assert "secret" not in message
    assert not retryable


async def test_no_host_is_allowed_by_default(fetcher: Fetcher, index: Index) -> None:
    wheel = make_wheel()
    index.add(wheel)
    message, _ = await refused(fetcher, make_lock(wheel, base=index.url), frozenset())
    assert "neither the index's nor an allowed one" in message
    assert not index.asked


async def test_hosts_of_the_settings_are_allowed_too(store: DepotStore, index: Index) -> None:
    wheel = make_wheel()
    index.add(wheel)
    settings = FetchSettings(allowed_hosts=frozenset({index.url.removeprefix("http://")}))
    async with Fetcher(store, settings=settings) as fetcher:
        assert (await fetcher.fetch(make_lock(wheel, base=index.url))).complete


async def test_a_redirect_to_an_allowed_host_is_followed(
    fetcher: Fetcher, store: DepotStore, index: Index
) -> None:
    wheel = make_wheel()
    index.redirects[wheel.filename] = "/files/there"
    index.files["there"] = wheel.data
    assert (await fetcher.fetch(make_lock(wheel, base=index.url), HOSTS)).complete


async def test_a_redirect_to_another_host_is_refused_and_nobody_asked(fetcher: Fetcher, index: Index) -> None:
    wheel = make_wheel()
    async with running_index() as other:
        other.add(wheel)
        index.redirects[wheel.filename] = f"{other.url}/files/{wheel.filename}"
        hosts = frozenset({index.url.removeprefix("http://")})
        message, retryable = await refused(fetcher, make_lock(wheel, base=index.url), hosts)
        assert "neither the index's nor an allowed one" in message
        assert not retryable
        assert not other.asked


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://169.254.169.254/", "gopher://127.0.0.1/"])
async def test_a_redirect_out_of_http_or_to_the_link_local_network_is_refused(
    fetcher: Fetcher, index: Index, target: str
) -> None:
    wheel = make_wheel()
    index.redirects[wheel.filename] = target
    _, retryable = await refused(fetcher, make_lock(wheel, base=index.url))
    assert not retryable


async def test_redirects_in_a_circle_end(fetcher: Fetcher, index: Index) -> None:
    wheel = make_wheel()
    index.redirects[wheel.filename] = f"/files/{wheel.filename}"
    message, _ = await refused(fetcher, make_lock(wheel, base=index.url))
    assert "redirects" in message


async def test_credentials_of_the_index_url_go_to_its_origin_only(store: DepotStore, index: Index) -> None:
    wheel = make_wheel()
    index.add(wheel)
    index.credentials = ("reader", "pass word")
    with_user = index.url.replace("http://", "http://reader:pass%20word@") + "/simple"
    async with running_index() as other:
        other.add(make_wheel("other"))
        async with Fetcher(store, settings=FetchSettings(index_url=with_user)) as fetcher:
            assert (await fetcher.fetch(make_lock(wheel, base=index.url), HOSTS)).complete
            assert (await fetcher.fetch(make_lock(make_wheel("other"), base=other.url), HOSTS)).complete
        assert other.authorizations == [None]


async def test_credentials_come_from_netrc(
    store: DepotStore, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel()
    index.add(wheel)
    index.credentials = ("reader", "word")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login reader password word\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with Fetcher(store) as fetcher:
        assert (await fetcher.fetch(make_lock(wheel, base=index.url), HOSTS)).complete
    assert index.authorizations == ["Basic " + base64.b64encode(b"reader:word").decode()]


def test_a_netrc_file_that_cannot_be_read_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine without end login\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with pytest.raises(InvalidInputError, match="netrc"):
        check_netrc()


@pytest.mark.parametrize(
    ("url", "hosts", "allowed"),
    [
        ("https://files.example/x", {"files.example"}, True),
        ("https://FILES.example/x", {"Files.Example"}, True),
        ("https://files.example:8443/x", {"files.example"}, True),
        ("https://files.example:8443/x", {"files.example:8443"}, True),
        ("https://files.example/x", {"files.example:443"}, True),
        ("https://files.example:8443/x", {"files.example:443"}, False),
        ("https://sub.files.example/x", {"files.example"}, False),
        ("https://files.example.evil/x", {"files.example"}, False),
        ("http://[::1]:8080/x", {"[::1]:8080"}, True),
        ("http://[::1]:8080/x", {"::1"}, True),
        ("https:///x", {""}, False),
    ],
)
def test_hosts_are_matched_whole(url: str, hosts: set[str], allowed: bool) -> None:
    assert host_allowed(URL(url), hosts) is allowed


async def test_a_lock_with_a_hash_that_is_none_is_refused(fetcher: Fetcher, index: Index) -> None:
    package = PackageId.of(Ecosystem.PYPI, "evil", "1")
    artefact = Artefact("evil.whl", "../../../etc/passwd", url=f"{index.url}/files/evil.whl")
    message, retryable = await refused(fetcher, Lock(PLATFORM, (LockedPackage(package, artefact),)))
    assert "cannot be used" in message
    assert not retryable


@pytest.mark.parametrize(
    ("start", "location", "allowed"),
    [
        ("https://127.0.0.1/a", "http://127.0.0.1/b", False),
        ("https://127.0.0.1/a", "https://127.0.0.1/b", True),
        ("https://127.0.0.1/a", "/b", True),
        ("http://127.0.0.1/a", "https://127.0.0.1/b", True),
    ],
)
def test_a_redirect_never_leaves_tls(start: str, location: str, allowed: bool) -> None:
    response = SimpleNamespace(url=URL(start), headers={"Location": location})
    artefact = Artefact("tiny.whl", "sha256:" + "0" * 64, url=start)
    if allowed:
        assert redirect_target(artefact, response, HOSTS).path == "/b"
    else:
        with pytest.raises(FetchRefusedError, match="from https"):
            redirect_target(artefact, response, HOSTS)


def test_credentials_in_a_redirect_are_dropped() -> None:
    response = SimpleNamespace(url=URL("http://127.0.0.1/a"), headers={"Location": "http://u:p@127.0.0.1/b"})
    target = redirect_target(Artefact("tiny.whl", "sha256:" + "0" * 64), response, HOSTS)
    assert (target.user, target.password) == (None, None)

"""What artefacts say of themselves, through a served depot: of verified bytes, read once, never guessed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from depot_support import PLATFORM, Index, Wheel, make_lock, make_tarball, make_wheel

from skillwarden.depot.client import DepotClient
from skillwarden.depot.fetch import Fetcher
from skillwarden.depot.inspect import Inspector
from skillwarden.depot.store import DepotStore
from skillwarden.domain import artefact_facts
from skillwarden.domain.lock import Lock, LockedPackage
from skillwarden.domain.package import Ecosystem, PackageId

HOSTS = {"127.0.0.1"}
LOUD = {"loud.pth": "import os"}


@pytest.fixture
async def inspector(store: DepotStore) -> AsyncIterator[Inspector]:
    async with Fetcher(store) as fetcher:
        yield Inspector(store, fetcher)


def hooks(facts: artefact_facts.LockFacts) -> dict[str, list[str]]:
    return {package.name: [hook.id for hook in known.hooks] for package, known in facts.known.items()}


async def test_a_lock_that_nobody_fetched_is_fetched_and_read(client: DepotClient, index: Index) -> None:
    wheels = [make_wheel("loud", files=LOUD), make_wheel("quiet")]
    index.add(*wheels)
    facts = await client.inspect(make_lock(*wheels, base=index.url), HOSTS)
    assert hooks(facts) == {"loud": ["pth:loud.pth"], "quiet": []}
    assert facts.unread == ()


async def test_a_store_in_a_relative_folder_is_read(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    wheel = make_wheel("loud", files=LOUD)
    index.add(wheel)
    store = DepotStore(Path("here"))
    async with Fetcher(store) as fetcher:
        facts = await Inspector(store, fetcher).inspect(make_lock(wheel, base=index.url), HOSTS)
    assert (hooks(facts), facts.unread) == ({"loud": ["pth:loud.pth"]}, ())


async def test_what_was_read_is_remembered_by_digest(
    inspector: Inspector, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel("loud", files=LOUD)
    index.add(wheel)
    lock = make_lock(wheel, base=index.url)
    first = await inspector.inspect(lock, HOSTS)
    monkeypatch.setattr("skillwarden.artefact.asking.run_bounded", None)
    assert await inspector.inspect(lock, HOSTS) == first


async def test_what_another_release_read_is_read_anew(
    inspector: Inspector, store: DepotStore, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel("loud", files=LOUD)
    index.add(wheel)
    store.put_facts(wheel.digest, {"": artefact_facts.ArtefactFacts()})
    lock = make_lock(wheel, base=index.url)
    assert hooks(await inspector.inspect(lock, HOSTS)) == {"loud": []}
    monkeypatch.setattr("skillwarden.depot.store.FACTS_VERSION", artefact_facts.FACTS_VERSION + 1)
    assert hooks(await inspector.inspect(lock, HOSTS)) == {"loud": ["pth:loud.pth"]}


async def test_what_cannot_be_had_or_read_is_unread_and_the_rest_known(
    client: DepotClient, index: Index
) -> None:
    facts = await client.inspect(index.partly_there(), HOSTS)
    assert [package.name for package in facts.known] == ["good"]
    assert {item.package.name: item.retryable for item in facts.unread} == {
        "broken": False,
        "gone": False,
        "later": True,
    }
    assert all(item.message for item in facts.unread)


async def test_other_bytes_than_the_locks_are_not_read(client: DepotClient, index: Index) -> None:
    wheel = make_wheel("tiny")
    lock = make_lock(wheel, base=index.url)
    index.files[wheel.filename] = make_wheel("tiny", files=LOUD).data
    facts = await client.inspect(lock, HOSTS)
    assert facts.known == {}
    assert "not the file that the lock names" in facts.unread[0].message


def bundling(index: Index, place: str) -> Lock:
    """A lock of an npm package and one that lies in its artefact, at this place of the lock."""
    loud = json.dumps({"name": "inner", "version": "2.0.0", "scripts": {"install": "sh worm.sh"}})
    files = {"package.json": '{"name": "outer"}', "node_modules/inner/package.json": loud}
    data = make_tarball({f"package/{path}": text for path, text in files.items()})
    tarball = Wheel("outer", "1.0.0", "outer-1.0.0.tgz", data)
    index.add(tarball)
    outer = make_lock(tarball, base=index.url).packages[0]
    outer = replace(outer, id=PackageId(Ecosystem.NPM, "outer", "1.0.0"), locations=("node_modules/outer",))
    inner = LockedPackage(
        PackageId(Ecosystem.NPM, "inner", "2.0.0"),
        outer.artefact,
        parents=(outer.id,),
        locations=(place,),
        bundled=True,
    )
    return Lock(replace(PLATFORM, node="24"), (outer, inner))


async def test_a_bundled_package_has_facts_of_its_own(client: DepotClient, index: Index) -> None:
    facts = await client.inspect(bundling(index, "node_modules/outer/node_modules/inner"), HOSTS)
    assert hooks(facts) == {"inner": ["install"], "outer": []}


async def test_a_bundled_package_that_is_not_there_is_unread(client: DepotClient, index: Index) -> None:
    facts = await client.inspect(bundling(index, "node_modules/outer/node_modules/other"), HOSTS)
    assert hooks(facts) == {"outer": []}
    assert "is not in it" in facts.unread[0].message


async def test_a_store_that_cannot_be_read_is_no_answer(
    inspector: Inspector, store: DepotStore, index: Index, tmp_path: Path
) -> None:
    wheel = make_wheel("loud", files=LOUD)
    index.add(wheel)
    lock = make_lock(wheel, base=index.url)
    await inspector.inspect(lock, HOSTS)
    [record] = (tmp_path / "state" / "facts").iterdir()
    record.write_bytes(record.read_bytes()[:-1] + b"x")
    # A record whose seal is broken counts as none: the artefact is read again.
    assert hooks(await inspector.inspect(lock, HOSTS)) == {"loud": ["pth:loud.pth"]}

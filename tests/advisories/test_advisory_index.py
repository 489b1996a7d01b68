"""The index as readers see it, and the endpoint over it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from skillwarden.advisories.endpoint import serve
from skillwarden.advisories.errors import CorruptIndexError, MissingIndexError
from skillwarden.advisories.index import Advisory, AdvisoryIndex
from skillwarden.advisories.store import INDEX_NAME
from skillwarden.domain.finding import Severity
from skillwarden.domain.package import Ecosystem, PackageId

Make = Callable[..., dict[str, Any]]
MakeIndex = Callable[..., AdvisoryIndex]


def pkg(version: str, name: str = "widget") -> PackageId:
    return PackageId.of(Ecosystem.PYPI, name, version)


def test_names_meet_under_one_spelling(make_record: Make, make_index: MakeIndex) -> None:
    index = make_index(make_record(package="Zope.Inter_Face"))
    assert index.affecting(pkg("1.0", "zope-interface")) == ()
    assert index.affecting(pkg("1.0", "ZOPE_inter.face"))


def test_the_fixes_of_a_package_are_its_own_and_in_order(make_record: Make, make_index: MakeIndex) -> None:
    record = make_record(
        events=[{"introduced": "0"}, {"fixed": "1.10"}, {"introduced": "2"}, {"fixed": "2.9"}]
    )
    other = make_record(package="other", events=[{"introduced": "0"}, {"fixed": "77"}])
    record["affected"] += other["affected"]
    [advisory] = make_index(record).affecting(pkg("1.0"))
    assert advisory.fixed_versions == ("1.10", "2.9")


def test_entries_of_one_record_for_one_package_make_one_advisory(
    make_record: Make, make_index: MakeIndex
) -> None:
    record = make_record(events=[{"introduced": "0"}, {"fixed": "1.5"}])
    second = make_record(
        events=[{"introduced": "0"}, {"fixed": "3.0"}], entry={"database_specific": {"severity": "HIGH"}}
    )
    record["affected"] += second["affected"]
    [both] = make_index(record).affecting(pkg("1.0"))
    assert (both.severity, both.fixed_versions) == (Severity.HIGH, ("1.5", "3.0"))
    [one] = make_index(record).affecting(pkg("2.0"))
    assert one.fixed_versions == ("3.0",)


@pytest.mark.parametrize(
    ("advisory", "expected"),
    [
        (Advisory(id="MAL-2024-1"), True),
        (Advisory(id="GHSA-1", aliases=("MAL-2024-1",)), True),
        (Advisory(id="GHSA-1", aliases=("CVE-MAL-1",)), False),
    ],
)
def test_a_malicious_package_is_told_by_its_id_or_alias(advisory: Advisory, expected: bool) -> None:
    assert advisory.malicious is expected


def test_an_advisory_is_found_by_its_id_and_by_an_alias(make_record: Make, make_index: MakeIndex) -> None:
    index = make_index(
        make_record("PYSEC-1", aliases=["CVE-1"], database_specific={"severity": "HIGH"}),
        make_record("GHSA-1", aliases=["CVE-2"]),
    )
    for identity, expected in (("PYSEC-1", "PYSEC-1"), ("CVE-1", "PYSEC-1"), ("CVE-2", "GHSA-1")):
        found = index.advisory(identity)
        assert found is not None and found.id == expected
    high = index.advisory("CVE-1")
    assert high is not None and high.severity is Severity.HIGH
    assert index.advisory("CVE-3") is None


def test_many_packages_are_all_answered_for(make_record: Make, make_index: MakeIndex) -> None:
    asked = [pkg("1.0"), pkg("3.0"), pkg("1.0", "unheard-of")]
    answers = make_index(make_record()).affecting_many(asked)
    assert {package: len(found) for package, found in answers.items()} == dict(
        zip(asked, (1, 0, 0), strict=True)
    )


def test_a_missing_index_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(MissingIndexError, match="skillwarden advisories sync"):
        AdvisoryIndex.open(tmp_path)


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def grow(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(bytes(4096))


def garble(file: Path) -> None:
    file.write_bytes(b"garbage" * 1000)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def wipe(file: Path) -> None:
    import sqlite3

    database = sqlite3.connect(file)
    database.execute("DELETE FROM affected")
    database.commit()
    database.close()


def age(file: Path) -> None:
    import sqlite3

    database = sqlite3.connect(file)
    database.execute("PRAGMA user_version=99")
    database.commit()
    database.close()


@pytest.mark.parametrize("spoil", [truncate, grow, garble, empty, wipe, age])
def test_a_corrupt_index_is_an_error_and_never_an_empty_one(
    spoil: Callable[[Path], None], make_record: Make, make_index: MakeIndex
) -> None:
    path = make_index(make_record()).path
    spoil(path / INDEX_NAME)
    with pytest.raises(CorruptIndexError, match="cannot be read"):
        AdvisoryIndex.open(path)


def test_an_index_that_breaks_while_open_raises(make_record: Make, make_index: MakeIndex) -> None:
    index = make_index(make_record())
    index.close()
    with pytest.raises(CorruptIndexError):
        index.affecting(pkg("1.0"))


async def ask(url: str, body: Any) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        is_json = response.content_type == "application/json"
        return response.status, await response.json() if is_json else await response.text()


def query(version: str, name: str = "widget", ecosystem: str = "PyPI") -> dict[str, Any]:
    return {"package": {"name": name, "ecosystem": ecosystem}, "version": version}


async def test_the_endpoint_answers_as_osv_does(make_record: Make, make_index: MakeIndex) -> None:
    index = make_index(
        make_record(aliases=["CVE-1"]), make_record("PYSEC-2", withdrawn="2024-01-01T00:00:00Z")
    )
    async with serve(index) as endpoint:
        url = endpoint.query_url
        status, body = await ask(url, query("1.0", "Widget"))
        assert (status, [vuln["id"] for vuln in body["vulns"]]) == (200, ["PYSEC-1"])
        assert body["vulns"][0]["aliases"] == ["CVE-1"]
        assert body["vulns"][0]["affected"][0]["package"]["name"] == "widget"
        assert await ask(url, query("2.0")) == (200, {"vulns": []})
        assert await ask(url, query("1.0", "nothing")) == (200, {"vulns": []})


@pytest.mark.parametrize(
    "body", [[], {}, {"version": "1"}, query("1", ecosystem="RubyGems"), {"commit": "a"}, None]
)
async def test_the_endpoint_refuses_what_it_cannot_answer(
    body: Any, make_record: Make, make_index: MakeIndex
) -> None:
    async with serve(make_index(make_record())) as endpoint:
        status, answer = await ask(endpoint.query_url, body)
    assert status == 400
    assert "vulns" not in answer


async def test_the_endpoint_is_on_loopback_under_a_path_that_cannot_be_guessed(
    make_record: Make, make_index: MakeIndex
) -> None:
    index = make_index(make_record())
    async with serve(index) as endpoint, serve(index) as other:
        url = endpoint.query_url
        assert url.startswith("http://127.0.0.1:")
        prefix = url.split("/")[3]
        assert len(prefix) >= 32
        assert prefix not in other.query_url
        status, _ = await ask(url.replace(prefix, "v1"), query("1.0"))
        assert status == 404
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(url, query("1.0"))


# -- the revision of some packages ---------------------------------------------------------------------


def names(*texts: str) -> list[tuple[Ecosystem, str]]:
    return [(Ecosystem.PYPI, text) for text in texts]


def test_the_revision_of_some_packages_follows_their_advisories_and_no_others(
    make_index: MakeIndex, make_record: Make
) -> None:
    one, other, third = (make_record(f"PYSEC-{name}", package=name) for name in ("widget", "other", "third"))
    changed = make_record("PYSEC-widget", package="widget", events=[{"introduced": "7"}])
    new = make_record("PYSEC-new", package="unheard-of")
    wanted = names("widget", "unheard-of")

    def revision(*records: dict[str, Any]) -> str:
        return make_index(*records).revision_of(wanted)

    base = revision(one, other)
    assert revision(other, one) == revision(one, third) == base
    assert len({base, revision(changed, other), revision(other), revision(one, new)}) == 4
    index = make_index(one, other)
    assert index.revision_of(reversed(wanted)) == base
    assert index.revision_of(names("widget")) != base


def test_an_ecosystem_of_which_nothing_is_known_is_another_revision(
    make_index: MakeIndex, make_record: Make
) -> None:
    wanted = names("unheard-of")
    assert make_index().revision_of(wanted) != make_index(make_record()).revision_of(wanted)

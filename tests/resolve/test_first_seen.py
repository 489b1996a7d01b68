"""Since when an index has a project: asked once, of nobody else, and never taken for granted."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from npm_support import Registry, running_registry

from skillwarden.domain.first_seen import FirstSeen
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.resolve.first_seen import ProjectAges
from skillwarden.resolve.first_seen_answers import UnreadableAnswerError, first_file, first_publication
from skillwarden.resolve.first_seen_memory import FirstSeenMemory
from skillwarden.resolve.npm import NpmResolver
from skillwarden.resolve.npm_settings import NpmSettings
from skillwarden.resolve.python import PythonResolver
from skillwarden.resolve.settings import ResolverSettings

JSON = "application/vnd.pypi.simple.v1+json"
YEARS_AGO = datetime(2016, 5, 4, 3, 2, 1, tzinfo=UTC)
LAST_YEAR = datetime(2025, 5, 4, 3, 2, 1, tzinfo=UTC)
LOGIN = "<html><head><title>Sign in</title></head><body><a href='/reset'>Forgot?</a></body></html>"


def locked(
    name: str, ecosystem: Ecosystem = Ecosystem.PYPI, *, version: str = "1.0", **artefact: Any
) -> LockedPackage:
    known: dict[str, Any] = {"filename": f"{name}-{version}", "digest": f"sha256:{name.encode().hex():0<64}"}
    return LockedPackage(
        PackageId.of(ecosystem, name, version), Artefact(**(known | {"uploaded_at": LAST_YEAR} | artefact))
    )


def lock_of(*packages: LockedPackage) -> Lock:
    return Lock(Platform(python="3.12", node="24"), packages)


def by_name(found: FirstSeen) -> dict[str, datetime | None]:
    assert not found.unanswered
    return {package.name: when for package, when in found.known.items()}


def page(name: str, *times: str | None, **more: Any) -> dict[str, Any]:
    files: list[dict[str, Any]] = [{"filename": f"{name}-{place}.whl"} for place, _ in enumerate(times)]
    for file, time in zip(files, times, strict=True):
        if time is not None:
            file["upload-time"] = time
    return {"meta": {"api-version": "1.1"}, "name": name, "files": files, **more}


def saying(body: Any, *, content_type: str = JSON, status: int = 200) -> Any:
    async def answer(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, content_type=content_type, status=status)

    return answer


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


async def drip(request: web.Request) -> web.StreamResponse:
    """Never silent for long, and never done."""
    response = web.StreamResponse(headers={"Content-Type": JSON})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)
    return response


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": JSON, "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"name": "app", "files": [')
    assert request.transport is not None
    request.transport.close()
    return response


@pytest.fixture
async def registry() -> Any:
    async with running_registry() as made:
        yield made


@pytest.fixture
def make_ages(index: Any, registry: Registry, tmp_path: Path) -> Callable[..., ProjectAges]:
    def make(*, memory: str = "memory", **more: Any) -> ProjectAges:
        limits = {name: more.pop(name) for name in ("project_seconds", "max_bytes") if name in more}
        npm = NpmSettings(registry_url=registry.url, token=more.pop("token", ""))
        python = ResolverSettings(**({"index_url": index.url} | more))
        return ProjectAges(
            python=python,
            npm=npm,
            index_url=PythonResolver(python).index_url,
            registry_url=NpmResolver(npm).registry_url,
            memory=FirstSeenMemory(tmp_path / memory / "first-seen.sqlite"),
            **limits,
        )

    return make


@pytest.fixture
def ages(make_ages: Callable[..., ProjectAges]) -> ProjectAges:
    return make_ages()


async def test_a_project_is_as_old_as_its_first_file(ages: ProjectAges, index: Any) -> None:
    times = (LAST_YEAR.isoformat(), None, YEARS_AGO.isoformat(), "2020-01-01T00:00:00.000000Z")
    index.trouble = saying(page("app", *times))
    assert by_name(await ages.of(lock_of(locked("app")))) == {"app": YEARS_AGO}
    assert index.requests == ["/simple/app/"]


async def test_a_package_of_npm_is_as_old_as_its_first_version_that_is_there(
    ages: ProjectAges, registry: Registry
) -> None:
    """A name that was used before does not lend its age to who has it now."""
    registry.add("leaf", "1.0.0")
    registry.add("taken-over", "3.0.0")
    registry.documents["leaf"]["time"] |= {"created": YEARS_AGO.isoformat(), "1.0.0": YEARS_AGO.isoformat()}
    registry.documents["taken-over"]["time"] |= {
        "created": YEARS_AGO.isoformat(),
        "1.0.0": YEARS_AGO.isoformat(),
        "3.0.0": LAST_YEAR.isoformat(),
    }
    lock = lock_of(locked("leaf", Ecosystem.NPM), locked("taken-over", Ecosystem.NPM, version="3.0.0"))
    assert by_name(await ages.of(lock)) == {"leaf": YEARS_AGO, "taken-over": LAST_YEAR}


async def test_an_index_that_does_not_tell_leaves_it_unknown(
    ages: ProjectAges, index: Any, registry: Registry
) -> None:
    registry.add("@acme/leaf")
    del registry.documents["@acme/leaf"]["time"]
    index.trouble = saying(page("app", None, None))
    found = await ages.of(lock_of(locked("app"), locked("@acme/leaf", Ecosystem.NPM)))
    assert by_name(found) == {"app": None, "@acme/leaf": None}

    links = (
        "<html><head><title>Links for app</title></head><body><a href='app-1.0.tar.gz'>a</a></body></html>"
    )
    index.trouble = saying(links, content_type="text/html")
    assert by_name(await ages.of(lock_of(locked("app")))) == {"app": None}


async def test_a_bundled_package_is_as_old_as_what_brings_it(ages: ProjectAges, registry: Registry) -> None:
    registry.add("holder")
    registry.documents["holder"]["time"]["1.0.0"] = YEARS_AGO.isoformat()
    holder = locked("holder", Ecosystem.NPM, version="1.0.0")
    inner = replace(holder, id=PackageId.of(Ecosystem.NPM, "inner", "9.9.9"), bundled=True)
    assert by_name(await ages.of(lock_of(holder, inner))) == {"holder": YEARS_AGO, "inner": YEARS_AGO}
    assert registry.requests == ["holder"]
    assert set((await ages.of(lock_of(inner))).unanswered) == {inner.id}


TROUBLES = {
    "a login page": (saying(LOGIN, content_type="text/html"), "PEP 503"),
    "a login page that calls itself JSON": (saying(LOGIN), "no JSON"),
    "something else in JSON": (saying({"message": "hello"}), "PEP 691"),
    "JSON that is no object": (saying([]), "no object"),
    "JSON that is too deep": (saying("[" * 200_000), "no JSON"),
    "files that are none": (saying({"name": "app", "files": ["a"]}), "PEP 691"),
    "the page of another project": (saying(page("other", YEARS_AGO.isoformat())), "another project"),
    "a time that is none": (saying(page("app", YEARS_AGO.isoformat(), "long ago")), "time that is none"),
    "a time that no calendar has": (saying(page("app", "0001-01-01T00:00:00+23:59")), "time that is none"),
    "a page that is cut off": (cut_off, "cannot be had"),
    "nothing, ever": (hang, "in time"),
    "a byte now and then": (drip, "in time"),
    "a page without end": (saying("[" + " " * 2_000_000 + "]"), "larger"),
    "a project that is gone": (saying("no", status=404), "gone"),
    "no entry": (saying("no", status=403), "credentials"),
    "a fault": (saying("no", status=500), "500"),
    "too many requests": (saying("no", status=429), "429"),
    "a status that says nothing": (saying("", status=204), "204"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_what_is_no_answer_is_not_taken_for_one(
    make_ages: Callable[..., ProjectAges], index: Any, trouble: str
) -> None:
    index.trouble, words = TROUBLES[trouble]
    ages = make_ages(project_seconds=2 if words != "in time" else 0.3, max_bytes=1 << 20)
    found = await ages.of(lock_of(locked("app")))
    assert not found.known
    assert words in found.unanswered[PackageId.of(Ecosystem.PYPI, "app", "1.0")]


@pytest.mark.parametrize(
    "document", [{}, {"versions": []}, {"versions": {}, "time": []}, {"versions": {}, "name": "b"}]
)
async def test_what_is_no_packument_is_not_taken_for_one(
    ages: ProjectAges, registry: Registry, document: dict[str, Any]
) -> None:
    registry.documents["leaf"] = document
    assert list((await ages.of(lock_of(locked("leaf", Ecosystem.NPM)))).unanswered)


async def test_an_index_that_nobody_serves_is_no_answer(make_ages: Callable[..., ProjectAges]) -> None:
    found = await make_ages(index_url="http://127.0.0.1:1/simple").of(lock_of(locked("app")))
    assert [*found.unanswered.values()] == ["its page cannot be had (ClientConnectorError)"]


async def test_one_project_that_cannot_be_had_does_not_take_the_others(ages: ProjectAges, index: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        name = request.path.split("/")[-2]
        return web.json_response(page(name, YEARS_AGO.isoformat()), status=500 if name == "b" else 200)

    index.trouble = answer
    found = await ages.of(lock_of(locked("a"), locked("b"), locked("c")))
    assert {package.name for package in found.known} == {"a", "c"}
    assert {package.name for package in found.unanswered} == {"b"}


# -- what is asked, and of whom --------------------------------------------------------------------------


async def test_the_indexes_credentials_are_shown(
    make_ages: Callable[..., ProjectAges], index: Any, registry: Registry, tmp_path: Path
) -> None:
    index.wheel("app")
    registry.add("leaf")
    index.user, registry.token = ("me", "hunter2"), "s3cret"
    lock = lock_of(locked("app"), locked("leaf", Ecosystem.NPM))
    ages = make_ages(index_username="me", index_password="hunter2", token="s3cret")
    assert len(by_name(await ages.of(lock))) == 2
    assert len((await make_ages(memory="other").of(lock)).unanswered) == 2
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    assert by_name(await make_ages(memory="third", netrc=netrc).of(lock_of(locked("app"))))


def sending(location: str, *, status: int = 302) -> Callable[[web.Request], Awaitable[web.Response | None]]:
    async def answer(request: web.Request) -> web.Response | None:
        if request.path.startswith("/simple/app"):
            return web.Response(status=status, headers={"Location": location})
        return web.json_response(page("app", YEARS_AGO.isoformat()))

    return answer


async def test_a_redirect_within_the_index_is_followed(ages: ProjectAges, index: Any) -> None:
    index.trouble = sending("/elsewhere/app/", status=308)
    assert by_name(await ages.of(lock_of(locked("app")))) == {"app": YEARS_AGO}


async def test_a_redirect_to_an_allowed_host_goes_without_credentials(
    make_ages: Callable[..., ProjectAges], index: Any, registry: Registry
) -> None:
    shown: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.Response:
        shown.append(request.headers.get("Authorization"))
        return web.json_response(page("app", YEARS_AGO.isoformat()))

    index.user = ("me", "hunter2")
    index.trouble = sending(f"{registry.url}/app")
    registry.trouble = elsewhere
    host = registry.url.removeprefix("http://")
    login = {"index_username": "me", "index_password": "hunter2"}
    allowed = make_ages(allowed_hosts=frozenset({host}), **login)
    assert by_name(await allowed.of(lock_of(locked("app")))) == {"app": YEARS_AGO}
    assert shown == [None]


@pytest.mark.parametrize(
    "location", ["ftp://127.0.0.1/app", "http://127.0.0.2:9/app", "http://[::1", "file:///etc/passwd"]
)
async def test_a_redirect_to_somewhere_else_is_not_followed(
    ages: ProjectAges, index: Any, location: str
) -> None:
    index.trouble = sending(location)
    [reason] = (await ages.of(lock_of(locked("app")))).unanswered.values()
    assert "sends to" in reason


async def test_a_redirect_to_another_port_of_this_machine_is_not_followed(
    ages: ProjectAges, index: Any, registry: Registry
) -> None:
    index.trouble = sending(f"{registry.url}/app")
    assert (await ages.of(lock_of(locked("app")))).unanswered
    assert registry.requests == []


async def test_redirects_come_to_an_end(ages: ProjectAges, index: Any) -> None:
    index.trouble = sending("/simple/app/again/")
    [reason] = (await ages.of(lock_of(locked("app")))).unanswered.values()
    assert "more than 5 times" in reason
    assert len(index.requests) == 6


async def test_no_more_than_some_are_asked_for_at_once(ages: ProjectAges, index: Any) -> None:
    at_once: list[int] = [0]
    most = [0]
    full = asyncio.Event()

    async def count(request: web.Request) -> web.Response:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        if at_once[0] == 8:
            full.set()
        await full.wait()
        at_once[0] -= 1
        return web.json_response(page(request.path.split("/")[-2], YEARS_AGO.isoformat()))

    index.trouble = count
    names = [f"p{number}" for number in range(40)]
    assert len(by_name(await ages.of(lock_of(*map(locked, names))))) == 40
    assert most == [8]


# -- what is remembered ----------------------------------------------------------------------------------


async def test_what_was_said_once_is_not_asked_again(
    make_ages: Callable[..., ProjectAges], index: Any, registry: Registry
) -> None:
    index.wheel("app")
    registry.add("leaf")
    lock = lock_of(locked("app"), locked("leaf", Ecosystem.NPM))
    first = await make_ages().of(lock)
    assert await make_ages().of(lock) == first
    assert len(index.requests) == len(registry.requests) == 1


async def test_another_index_is_asked_itself(make_ages: Callable[..., ProjectAges], index: Any) -> None:
    index.wheel("app")
    await make_ages().of(lock_of(locked("app")))
    other = index.url.replace("/simple", "/mirror/simple")
    assert by_name(await make_ages(index_url=other).of(lock_of(locked("app"))))
    assert index.requests == ["/simple/app/", "/mirror/simple/app/"]


@pytest.mark.parametrize("uploaded", [None, datetime.now(UTC) + timedelta(days=1)])
async def test_a_file_that_came_later_has_the_index_asked_again(
    make_ages: Callable[..., ProjectAges], index: Any, uploaded: datetime | None
) -> None:
    """A project that was deleted and registered by somebody else has only such files."""
    index.trouble = saying(page("app", YEARS_AGO.isoformat()))
    await make_ages().of(lock_of(locked("app")))
    index.trouble = saying(page("app", LAST_YEAR.isoformat()))
    revived = lock_of(locked("app", version="2.0", uploaded_at=uploaded))
    assert by_name(await make_ages().of(revived)) == {"app": LAST_YEAR}


async def test_what_nobody_knew_is_asked_again(make_ages: Callable[..., ProjectAges], index: Any) -> None:
    index.trouble = saying(page("app", None))
    await make_ages().of(lock_of(locked("app")))
    index.trouble = saying(page("app", YEARS_AGO.isoformat()))
    assert by_name(await make_ages().of(lock_of(locked("app")))) == {"app": YEARS_AGO}


@pytest.mark.parametrize("damage", [b"no database at all, and long enough to be told", b"\0" * 4096])
async def test_a_damaged_memory_is_begun_anew(
    make_ages: Callable[..., ProjectAges], index: Any, tmp_path: Path, damage: bytes
) -> None:
    index.wheel("app")
    lock = lock_of(locked("app"))
    first = await make_ages().of(lock)
    (tmp_path / "memory" / "first-seen.sqlite").write_bytes(damage)
    assert await make_ages().of(lock) == first
    assert await make_ages().of(lock) == first
    assert len(index.requests) == 2


async def test_a_memory_that_cannot_be_written_takes_no_answer_away(
    make_ages: Callable[..., ProjectAges], index: Any, tmp_path: Path
) -> None:
    index.wheel("app")
    (tmp_path / "file").write_text("no folder")
    assert by_name(await make_ages(memory="file").of(lock_of(locked("app"))))


# -- the readers of both answers ---------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.datetimes().map(str),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "files", "upload-time", "versions", "time", "created", "1.0"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
TIMES = st.datetimes(
    min_value=datetime(1990, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC) | st.none()
)


def as_utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC)


@given(body=JSON_VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
def test_anything_is_a_time_nothing_or_an_error(body: bytes) -> None:
    for read in (first_file, first_publication):
        for content_type in (JSON, "text/html"):
            with contextlib.suppress(UnreadableAnswerError):
                found = read(content_type, body, "app")
                assert found is None or found.tzinfo is UTC


@given(times=st.lists(TIMES | st.none(), max_size=6))
def test_of_pypi_the_first_file_counts(times: list[datetime | None]) -> None:
    body = json.dumps(page("app", *(when.isoformat() if when else None for when in times))).encode()
    expected = min((as_utc(when) for when in times if when), default=None)
    assert first_file(JSON, body, "app") == expected


@given(
    there=st.dictionaries(st.text(min_size=1, max_size=4), TIMES, max_size=5),
    gone=st.dictionaries(st.text(min_size=1, max_size=4), TIMES, max_size=5),
    created=TIMES | st.none(),
)
def test_of_npm_no_version_that_is_gone_makes_a_package_older(
    there: dict[str, datetime], gone: dict[str, datetime], created: datetime | None
) -> None:
    time = {version: when.isoformat() for version, when in (gone | there).items()}
    if created is not None:
        time["created"] = created.isoformat()
    record = {"name": "app", "versions": {version: {} for version in there}, "time": time}
    found = first_publication("application/json", json.dumps(record).encode(), "app")
    known = [*([as_utc(created)] if created else []), *([min(map(as_utc, there.values()))] if there else [])]
    assert found == max(known, default=None)

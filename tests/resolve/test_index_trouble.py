"""A sick index is told from an unsatisfiable requirement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from skillwarden.domain.errors import UnavailableError
from skillwarden.domain.lock import Platform
from skillwarden.resolve.errors import IndexUnavailableError, UnresolvableError
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.probe import index_trouble
from skillwarden.resolve.python import PythonResolver
from skillwarden.resolve.settings import ResolverSettings

PLATFORM = Platform("3.12")
DECLARED = parse_python(["app"]).declared
LOGIN = "<html><head><title>Sign in</title></head><body><a href='/reset'>Forgot?</a></body></html>"


def status(code: int) -> Callable[[web.Request], Any]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=code, text="no")

    return answer


async def login_page(_: web.Request) -> web.Response:
    return web.Response(text=LOGIN, content_type="text/html")


async def other_json(_: web.Request) -> web.Response:
    return web.Response(text='{"message": "hello"}', content_type="application/vnd.pypi.simple.v1+json")


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        pytest.param(status(401), "401", id="401"),
        pytest.param(status(403), "403", id="403"),
        pytest.param(status(500), "500", id="500"),
        pytest.param(status(503), "503", id="503"),
        pytest.param(status(429), "429", id="429"),
        pytest.param(login_page, "PEP 503", id="a login page with 200"),
        pytest.param(other_json, "PEP 691", id="other json with 200"),
    ],
)
async def test_an_index_that_answers_wrongly_is_unavailable(
    resolver: PythonResolver, index: Any, trouble: Any, words: str
) -> None:
    index.wheel("app")
    index.trouble = trouble
    with pytest.raises(IndexUnavailableError, match=words) as caught:
        await resolver.resolve(DECLARED, platform=PLATFORM)
    assert isinstance(caught.value, UnavailableError)


async def test_an_index_that_hangs_is_unavailable(make_resolver: Any, index: Any) -> None:
    index.trouble = hang
    slow = make_resolver(deadline_seconds=3, probe_seconds=1)
    with pytest.raises(IndexUnavailableError, match="in time"):
        await slow.resolve(DECLARED, platform=PLATFORM)


async def test_an_index_that_nobody_serves_is_unavailable(make_resolver: Any) -> None:
    refused = make_resolver(index_url="http://127.0.0.1:1/simple")
    with pytest.raises(IndexUnavailableError, match="cannot be reached"):
        await refused.resolve(DECLARED, platform=PLATFORM)


async def test_a_dependency_that_the_index_forbids_is_unavailable(
    resolver: PythonResolver, index: Any
) -> None:
    index.wheel("app", requires=["hidden"])

    async def forbid(request: web.Request) -> web.Response | None:
        return web.Response(status=403) if "hidden" in request.path else None

    index.trouble = forbid
    with pytest.raises(IndexUnavailableError, match="hidden answers 403"):
        await resolver.resolve(DECLARED, platform=PLATFORM)


async def test_right_credentials_open_the_index_and_wrong_ones_are_told(
    make_resolver: Any, index: Any
) -> None:
    index.wheel("app")
    index.user = ("me", "hunter2")
    lock = await make_resolver(index_username="me", index_password="hunter2").resolve(
        DECLARED, platform=PLATFORM
    )
    assert [package.id.name for package in lock.packages] == ["app"]
    assert "hunter2" not in lock.packages[0].artefact.url
    with pytest.raises(IndexUnavailableError, match="credentials") as caught:
        await make_resolver(index_username="me", index_password="wrong", cache_dir=None).resolve(
            DECLARED, platform=PLATFORM
        )
    assert "wrong" not in str(caught.value).replace("missing, wrong,", "")


async def test_a_netrc_file_opens_the_index_for_uv_and_for_the_probe(
    make_resolver: Any, index: Any, tmp_path: Path
) -> None:
    index.wheel("app")
    index.user = ("me", "hunter2")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    resolver = make_resolver(netrc=netrc)
    assert (await resolver.resolve(DECLARED, platform=PLATFORM)).packages
    with pytest.raises(UnresolvableError):
        await resolver.resolve(parse_python(["app>2"]).declared, platform=PLATFORM)


async def test_the_probe_goes_through_the_proxy_and_not_through_the_operators_netrc(
    index: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine index.example login operator password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", index.url.removesuffix("/simple"))
    index.wheel("app")
    index.user = ("me", "secret")
    settings = ResolverSettings(index_url="http://index.example/simple")
    reason = await index_trouble(settings, url="http://index.example/simple", names=["app"])
    assert reason == "the page of app answers 401: the credentials are missing, wrong, or not enough"
    right = ResolverSettings(index_url=index.url, index_username="me", index_password="secret")
    assert await index_trouble(right, url="http://index.example/simple", names=["app"]) is None


@pytest.mark.parametrize(
    "html",
    [
        "<!DOCTYPE html><html><body><a href='../../files/app-1.0-py3-none-any.whl#sha256=00'>a</a></body>",
        "<html><head><title>Links for app</title></head><body></body></html>",
        '<html><head><meta name="pypi:repository-version" content="1.0"></head></html>',
    ],
    ids=["with files", "without files", "with a version"],
)
async def test_an_html_index_is_an_index(index: Any, html: str) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    index.trouble = page
    assert await index_trouble(ResolverSettings(index_url=index.url), url=index.url, names=["app"]) is None

"""What the gateway makes of every bad answer; never a wrong success."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from skillwarden.domain.errors import UnavailableError
from skillwarden.kube import errors
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Seen = list[tuple[str, str, int]]


def answers(status: int, body: Any, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=text, headers=headers)

    return answer


def refusal(code: int, reason: str, message: str, **details: Any) -> Answer:
    return answers(
        code,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message,
            "details": details,
        },
    )


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"kind": "PodList", "items": [')
    return await hang_up(request)


def page(*names: str, token: str = "", version: str = "7") -> Answer:
    items = [{"metadata": {"name": name}} for name in names]
    return answers(
        200,
        {"kind": "PodList", "metadata": {"resourceVersion": version, "continue": token}, "items": items},
    )


@pytest.mark.parametrize(
    ("answer", "type_"),
    [
        pytest.param(answers(401, ""), errors.Unauthorized, id="unauthorised"),
        pytest.param(refusal(403, "Forbidden", "pods is forbidden: User"), errors.Forbidden, id="rbac"),
        pytest.param(
            refusal(403, "Forbidden", 'pods "p" is forbidden: exceeded quota: q, requested: pods=1'),
            errors.QuotaExceeded,
            id="quota",
        ),
        pytest.param(
            refusal(403, "Forbidden", 'pods "p" is forbidden: failed quota: q: must specify cpu'),
            errors.QuotaExceeded,
            id="a quota that wants limits",
        ),
        pytest.param(
            refusal(403, "Forbidden", 'pods "p" is forbidden: pod rejected: RuntimeClass "gvisor" not found'),
            errors.RuntimeClassMissing,
            id="runtime class",
        ),
        pytest.param(
            refusal(403, "Forbidden", "no", causes=[{"reason": "NamespaceTerminating"}]),
            errors.NamespaceTerminating,
            id="terminating namespace",
        ),
        pytest.param(
            refusal(404, "NotFound", 'namespaces "n" not found', name="n"), errors.NotFound, id="no namespace"
        ),
        pytest.param(answers(404, "404 page not found\n"), errors.KindMissing, id="no such kind"),
        pytest.param(
            refusal(404, "NotFound", "the server could not find the requested resource"),
            errors.KindMissing,
            id="no such kind in a known group",
        ),
        pytest.param(refusal(409, "AlreadyExists", "exists"), errors.AlreadyExists, id="exists"),
        pytest.param(refusal(409, "Conflict", "modified"), errors.Conflict, id="conflict"),
        pytest.param(refusal(422, "Invalid", "spec.x"), errors.Invalid, id="invalid"),
        pytest.param(refusal(400, "BadRequest", "spec.x"), errors.Invalid, id="bad request"),
        pytest.param(
            refusal(
                500, "", "failed to create typed patch object (n/p; /v1, Kind=Pod): .spec.x: expected string"
            ),
            errors.Invalid,
            id="an apply that fits no schema",
        ),
        pytest.param(
            refusal(500, "", "failed to convert new object (n/p; /v1, Kind=Pod) to proper version"),
            errors.Invalid,
            id="an apply that cannot be read",
        ),
        pytest.param(refusal(410, "Expired", "too old"), errors.Gone, id="gone"),
        pytest.param(refusal(418, "", "teapot"), errors.ApiError, id="anything else"),
        pytest.param(answers(500, "<html>oops</html>"), errors.ApiUnavailable, id="html with 500"),
        pytest.param(refusal(504, "Timeout", "late"), errors.ApiUnavailable, id="gateway timeout"),
        pytest.param(answers(200, "<html>login</html>"), errors.ApiUnavailable, id="html with 200"),
        pytest.param(answers(200, "[]"), errors.ApiUnavailable, id="no object"),
        pytest.param(answers(200, '{"kind": "Pod'), errors.ApiUnavailable, id="truncated json"),
        pytest.param(hang, errors.ApiUnavailable, id="hangs"),
        pytest.param(hang_up, errors.ApiUnavailable, id="hangs up"),
        pytest.param(break_off, errors.ApiUnavailable, id="breaks off"),
    ],
)
async def test_each_bad_answer_is_one_error(
    shaky: Gateway, faulty: Any, answer: Answer, type_: type[errors.ApiError]
) -> None:
    faulty.will(answer)
    with pytest.raises(errors.ApiError) as caught:
        await shaky.create(Kind.POD, {"metadata": {"name": "p", "namespace": "n"}})
    assert type(caught.value) is type_
    assert "create Pod" in caught.value.message
    assert isinstance(caught.value, UnavailableError) == (type_ is errors.ApiUnavailable)


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("7", {}, 7.0),
        (None, {"retryAfterSeconds": 3}, 3.0),
        (None, {}, None),
        ("Wed, 21 Oct", {}, None),
        ("-1", {}, None),
    ],
)
async def test_the_servers_wish_to_be_left_alone_is_heard(
    shaky: Gateway, faulty: Any, header: str | None, details: dict[str, Any], seconds: float | None
) -> None:
    body = {"kind": "Status", "reason": "TooManyRequests", "message": "slow down", "details": details}
    faulty.will(answers(429, body, **({"Retry-After": header} if header else {})))
    with pytest.raises(errors.ApiUnavailable) as caught:
        await shaky.get(Kind.POD, name="p", namespace="n")
    assert caught.value.retry_after == seconds
    assert len(faulty.requests) == 1, "the work queue retries, not the gateway"


@pytest.mark.parametrize("status", [401, 403, 500, 404])
async def test_only_a_named_object_that_is_not_found_reads_as_absent(
    shaky: Gateway, faulty: Any, status: int
) -> None:
    faulty.will(answers(status, "nothing of Kubernetes"))
    with pytest.raises(errors.ApiError):
        await shaky.get(Kind.POD, name="p", namespace="n")
    with pytest.raises(errors.ApiError):
        await shaky.delete(Kind.POD, name="p", namespace="n")


@pytest.mark.parametrize("body", [{}, {"items": []}, {"kind": "Status"}, {"kind": "PodList", "items": {}}])
async def test_an_answer_that_is_no_list_is_not_an_empty_one(
    shaky: Gateway, faulty: Any, body: dict[str, Any]
) -> None:
    faulty.will(answers(200, body))
    with pytest.raises(errors.ApiUnavailable):
        await shaky.list(Kind.POD)


async def test_a_list_whose_token_expired_starts_over(shaky: Gateway, faulty: Any) -> None:
    faulty.will(
        page("old", token="t"),
        refusal(410, "Expired", "too old"),
        page("a", token="t"),
        page("b", version="9"),
    )
    listing = await shaky.list(Kind.POD)
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    assert listing.resource_version == "9"
    assert [request.query.get("continue") for request in faulty.requests] == [None, "t", None, "t"]


async def test_a_list_that_always_expires_ends(shaky: Gateway, faulty: Any) -> None:
    faulty.will(refusal(410, "Expired", "too old"))
    with pytest.raises(errors.Gone):
        await shaky.list(Kind.POD)
    assert len(faulty.requests) == 3


async def test_every_request_is_reported_with_its_status(shaky: Gateway, faulty: Any, seen: Seen) -> None:
    faulty.will(page("a"), answers(500, ""), hang_up)
    await shaky.list(Kind.POD)
    for _ in range(2):
        with pytest.raises(errors.ApiUnavailable):
            await shaky.apply(Kind.POD, {"metadata": {"name": "p", "namespace": "n"}}, subresource="status")
    assert seen == [("list", "Pod", 200), ("apply-status", "Pod", 500), ("apply-status", "Pod", 0)]


async def test_a_refused_token_is_read_again_once(
    faulty: Any,
    certificate: Any,
    tmp_path: Path,
    kubeconfig_at: Callable[..., Path],
) -> None:
    async def strict(request: web.Request) -> web.StreamResponse:
        good = request.headers["Authorization"] == "Bearer new"
        return await (page("a") if good else answers(401, ""))(request)

    faulty.will(strict)
    path = tmp_path / "kubeconfig"
    kubeconfig_at(path, server=faulty.url, token="old", ca=certificate.certificate)
    async with await Gateway.connect(kubeconfig=path, request_timeout=5) as gateway:
        with pytest.raises(errors.Unauthorized):
            await gateway.list(Kind.POD)
        assert len(faulty.requests) == 2
        kubeconfig_at(path, server=faulty.url, token="new", ca=certificate.certificate)
        assert len((await gateway.list(Kind.POD)).items) == 1


def event(type_: str, name: str) -> bytes:
    return json.dumps({"type": type_, "object": {"metadata": {"name": name}}}).encode() + b"\n"


def stream(*chunks: bytes, cut: bool = False) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return await hang_up(request) if cut else response

    return answer


async def watched(gateway: Gateway) -> list[tuple[str, str]]:
    events = gateway.watch(Kind.POD, namespace="n", name="p", resource_version="1")
    return [(type_, body["metadata"]["name"]) async for type_, body in events]


async def test_events_are_read_across_chunks_and_bookmarks_are_not_told(shaky: Gateway, faulty: Any) -> None:
    data = event("ADDED", "p" * 3_000_000) + event("BOOKMARK", "") + event("DELETED", "p")
    faulty.will(stream(data[:10], data[10:2_000_000], data[2_000_000:]))
    found = await watched(shaky)
    assert [(type_, len(name)) for type_, name in found] == [("ADDED", 3_000_000), ("DELETED", 1)]


async def test_a_watch_from_too_long_ago_says_so(shaky: Gateway, faulty: Any) -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    faulty.will(stream(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"))
    with pytest.raises(errors.Gone):
        await watched(shaky)


@pytest.mark.parametrize(
    "answer",
    [
        stream(event("ADDED", "p"), b'{"type": "MODI'),
        stream(event("ADDED", "p"), b"<html>\n"),
        stream(event("ADDED", "p"), b'{"type": "MODI', cut=True),
        hang,
        answers(503, ""),
    ],
    ids=["truncated", "html", "cut", "hangs", "503"],
)
async def test_a_watch_that_breaks_is_unavailable(shaky: Gateway, faulty: Any, answer: Answer) -> None:
    faulty.will(answer)
    with pytest.raises(errors.ApiUnavailable):
        await watched(shaky)


async def test_a_followed_log_is_given_as_it_comes(shaky: Gateway, faulty: Any) -> None:
    more = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one\n")
        await more.wait()
        await response.write(b"two\n")
        return response

    faulty.will(answer)
    parts = []
    async for chunk in shaky.follow_pod_log("n", "p", "c"):
        parts.append(chunk)
        more.set()
    assert b"".join(parts) == b"one\ntwo\n"
    assert dict(faulty.requests[0].query) == {"container": "c", "follow": "true"}


async def test_no_server_is_unavailable(kubeconfig_at: Callable[..., Path], tmp_path: Path) -> None:
    path = kubeconfig_at(tmp_path / "k", server="http://127.0.0.1:1")
    async with await Gateway.connect(kubeconfig=path, request_timeout=5) as gateway:
        with pytest.raises(errors.ApiUnavailable):
            await gateway.list(Kind.POD)

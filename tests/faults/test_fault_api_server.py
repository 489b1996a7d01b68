"""An API server that misbehaves for the operator's own reads and writes: it gets there all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from faults_support import Answer, answered, is_operators, is_write_in, make_service
from operator_world import Client, World, make_run, make_skill, settled

from skillwarden.api.crdgen import crd
from skillwarden.api.v1alpha1.kinds import KINDS
from skillwarden.audit.record import parse
from skillwarden.kube.errors import ApiError
from skillwarden.kube.kinds import Kind

Install = Callable[[Answer], None]
Fault = Callable[[World, web.Request], Awaitable[web.StreamResponse]]
#: How often each kind of request fails before it goes well.
TIMES = 2


def status(code: int, reason: str, **headers: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}
    return web.json_response(body, status=code, headers=headers)


async def patience(world: World, request: web.Request) -> web.StreamResponse:
    return status(429, "TooManyRequests", **{"Retry-After": "1"})


async def internal(world: World, request: web.Request) -> web.StreamResponse:
    return status(500, "InternalError")


async def unavailable(world: World, request: web.Request) -> web.StreamResponse:
    return web.Response(status=503, text="upstream connect error")


async def page(world: World, request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>please log in</html>", content_type="text/html")


async def unauthorised(world: World, request: web.Request) -> web.StreamResponse:
    return status(401, "Unauthorized")


async def conflict(world: World, request: web.Request) -> web.StreamResponse:
    return status(409, "Conflict")


async def cut(world: World, request: web.Request) -> web.StreamResponse:
    """Do what was asked, and cut the answer in the middle of the object."""
    answer = await answered(world, request)
    assert isinstance(answer, web.Response)
    body = answer.body if isinstance(answer.body, bytes) else b'{"kind":'
    stream = web.StreamResponse(
        status=answer.status, headers={"Content-Type": "application/json", "Content-Length": str(len(body))}
    )
    await stream.prepare(request)
    await stream.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.abort()
    return stream


async def hang_up(world: World, request: web.Request) -> web.StreamResponse:
    """Do what was asked, and end without an answer."""
    await answered(world, request)
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


FAULTS = (patience, internal, unavailable, page, unauthorised, conflict, cut, hang_up)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_service_and_a_run_get_there_though_writes_are_answered_with(
    fault: Fault, world: World, user: Client, intercept: Install
) -> None:
    struck: dict[str, int] = {}
    pods: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if not is_write_in(request, user.namespace):
            return None
        what = f"{request.method} {request.path}"
        struck[what] = struck.get(what, 0) + 1
        if struck[what] <= TIMES:
            return await fault(world, request)
        response = await answered(world, request)
        if request.method == "POST" and request.path.endswith("/pods"):
            pods.append(str(response.status))
        return response

    intercept(answer)
    await user.apply(make_service("greeter"), make_skill("task"), make_run(skill="task"))
    await user.until_skill("demo", Ready="Ready")
    await user.until_run("demo-1", "Succeeded")
    # Each was made once, also where it was made and nobody was told.
    assert sorted(pod["metadata"]["labels"]["skillwarden.io/skill"] for pod in await user.pods()) == [
        "demo",
        "task",
    ]
    assert len(struck) >= 6, struck


@pytest.mark.parametrize("fault", (internal, conflict, cut, hang_up), ids=lambda fault: fault.__name__)
async def test_a_decision_is_on_record_and_told_once_though_its_status_is_answered_with(
    fault: Fault, world: World, user: Client, intercept: Install
) -> None:
    struck: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if not (is_write_in(request, user.namespace) and request.path.endswith("/skills/demo/status")):
            return None
        if b'"Allowed"' not in await request.read() or len(struck) >= TIMES:
            return None
        struck.append(request.path)
        return await fault(world, request)

    def recorded() -> list[dict[str, Any]]:
        found = (parse(line) for line in (world.root / "audit.jsonl").read_bytes().splitlines())
        asked = {"event": "Verdict", "namespace": user.namespace, "verdict": "Allowed"}
        return [item for item in found if item and asked.items() <= item.items()]

    intercept(answer)
    await user.apply(make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")
    await settled(world)
    assert struck
    assert len(recorded()) == 1
    assert [item["reason"] for item in await user.events("demo")].count("Allowed") == 1


@pytest.mark.parametrize("fault", (internal, page, unauthorised, cut), ids=lambda fault: fault.__name__)
async def test_nothing_is_launched_while_live_reads_are_answered_with(
    fault: Fault, world: World, user: Client, intercept: Install
) -> None:
    mended, struck = asyncio.Event(), []

    async def answer(request: web.Request) -> web.StreamResponse | None:
        path = request.path
        if is_operators(request) and request.method == "GET" and path.endswith("/packagepolicies"):
            struck.append(path)
            return None if mended.is_set() else await fault(world, request)
        return None

    intercept(answer)
    mark = world.mark
    await user.apply(make_service("greeter"))

    async def look() -> list[str]:
        return struck

    await user.until(look, lambda seen: len(seen) >= 3, "it looks again and again")
    launched = [item for item in world.writes(mark) if item.path.endswith("/pods")]
    assert launched == []
    mended.set()
    await user.until_skill("demo", Ready="Ready")
    await user.until_pods(1)


async def test_a_request_that_hangs_holds_up_nobody_else(
    world: World, user: Client, intercept: Install
) -> None:
    release, held = asyncio.Event(), []

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if is_write_in(request, user.namespace) and "/skills/stuck/" in request.path and not held:
            held.append(request.path)
            while not release.is_set():
                await asyncio.sleep(0.05)
        return None

    intercept(answer)
    try:
        await user.apply(make_skill("stuck"))

        async def look() -> list[str]:
            return held

        await user.until(look, bool, "a write hangs")
        await user.apply(make_service("greeter"))
        await user.until_skill("demo", Ready="Ready")
    finally:
        release.set()
    await user.until_skill("stuck", Ready="Ready")


async def test_definitions_that_are_deleted_and_come_back_bring_the_operator_back(
    world: World, user: Client
) -> None:
    await user.apply(make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")
    [before] = await user.until_pods(1)
    await user.gateway.delete(Kind.CUSTOM_RESOURCE_DEFINITION, name="skills.skillwarden.io")
    skills = next(kind for kind in KINDS if crd(kind)["metadata"]["name"] == "skills.skillwarden.io")
    await user.gateway.apply(Kind.CUSTOM_RESOURCE_DEFINITION, crd(skills))

    async def applied() -> bool:
        try:
            await user.apply(make_service("greeter"))
        except ApiError:  # until it is served again
            return False
        return True

    await user.until(applied, bool, "the kind is served")
    await user.until_skill("demo", Ready="Ready")

    def another(pods: list[dict[str, Any]]) -> bool:
        return len(pods) == 1 and pods[0]["metadata"]["uid"] != before["metadata"]["uid"]

    # It is another Skill, whatever its name: nothing of the first one's is left.
    await user.until(user.pods, another, "a Pod of the new one's alone")
    # And changes are seen, not only what a list brings.
    await settled(world)
    await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"suspend": True}}})
    await user.until_pods(0)

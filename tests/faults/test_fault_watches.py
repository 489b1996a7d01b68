"""Watches that fall silent, break or lie: whatever happened meanwhile is seen, nothing is launched twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from faults_support import Answer, is_operators, make_service, watch_ends
from operator_world import FAST, Client, World, make_agent, make_policy, make_run, make_skill

from skillwarden.kube.kinds import Kind

#: Longer than the server's ten seconds between bookmarks, so that only a watch that is dead is begun anew.
SILENCE = timedelta(seconds=12)
#: No list but those that watches begin with helps out.
NEVER = timedelta(hours=1)
Fault = Callable[["Watches", web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Watches:
    """What befalls the operator's watches while ``fault`` is set."""

    fault: Fault | None = None
    #: The watch of each kind is struck once, and goes well then.
    struck: set[str] = field(default_factory=set)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        if self.fault is None or request.method != "GET" or "watch" not in request.query:
            return None
        if request.path in self.struck:
            return None
        self.struck.add(request.path)
        return await self.fault(self, request)


def failure(code: int, reason: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}


async def opened(request: web.Request) -> web.StreamResponse:
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    return stream


async def silent(watches: Watches, request: web.Request) -> web.StreamResponse:
    """Take the request, begin an answer, and never say a word."""
    stream = await opened(request)
    await watches.over.wait()
    return stream


async def an_error_in_the_stream(watches: Watches, request: web.Request) -> web.StreamResponse:
    stream = await opened(request)
    error = {"type": "ERROR", "object": failure(500, "InternalError")}
    await stream.write(json.dumps(error).encode() + b"\n")
    return stream


def refused(code: int, reason: str, **headers: str) -> Fault:
    async def answer(watches: Watches, request: web.Request) -> web.StreamResponse:
        return web.json_response(failure(code, reason), status=code, headers=headers)

    return answer


FAULTS = {
    "silence": silent,
    "an error in the stream": an_error_in_the_stream,
    "401": refused(401, "Unauthorized"),
    "429 and a time to wait": refused(429, "TooManyRequests", **{"Retry-After": "1"}),
}


@pytest.fixture(scope="module")
def watching(bare_world: World) -> Iterator[World]:
    """A world whose operator takes a watch for dead soon."""
    bare_world.timing = replace(FAST, watch_silence=SILENCE, resync=NEVER)
    bare_world.run(bare_world.start_operator())
    yield bare_world
    bare_world.run(bare_world.stop_operator())


@pytest.fixture
async def watches(watching: World, intercept: Callable[[Answer], None]) -> AsyncIterator[Watches]:
    """Strikes the operator's watches; those of the node and of tests go on."""
    watches = Watches()

    async def answer(request: web.Request) -> web.StreamResponse | None:
        # kopf's client has a name of its own, unlike ours, the node's and the tests'.
        agent = request.headers.get("User-Agent", "")
        return await watches.answer(request) if agent.startswith("kopf") or is_operators(request) else None

    intercept(answer)
    yield watches
    watches.fault = None
    watches.over.set()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_what_happened_while_watches_were_answered_with(
    fault: Fault, watching: World, user: Client, watches: Watches
) -> None:
    await user.apply(make_service("greeter", name="banned"), make_service("greeter", name="deleted"))
    await user.until_skill("banned", Ready="Ready")
    await user.until_skill("deleted", Ready="Ready")
    await user.until_pods(2)
    mark = watching.mark
    watches.fault = fault
    await watch_ends(watching)

    async def struck() -> int:
        return len(watches.struck)

    await user.until(struck, lambda count: count >= 5, "watches are struck")
    ban = [{"ecosystem": "PyPI", "names": ["greeter"]}]
    await user.apply(make_policy(bans=ban), make_service(name="later"), make_agent("student", "Student"))
    await user.delete(Kind.SKILL, "deleted")
    await user.until_skill("banned", Compliant="Banned")
    await user.until_skill("later", Ready="Ready")
    [pod] = await user.until_pods(1)
    assert pod["metadata"]["labels"]["skillwarden.io/skill"] == "later"
    made = [item for item in watching.writes(mark) if item.method == "POST" and item.path.endswith("/pods")]
    assert [item.status for item in made if user.namespace in item.path] == [201]


async def test_a_run_does_not_fail_on_what_has_changed_unseen(
    watching: World, user: Client, intercept: Callable[[Answer], None]
) -> None:
    """A policy and a run that are applied together: each by a watch of its own, one of which is late."""
    deaf, late = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse | None:
        kind = Kind.PACKAGE_POLICY.plural
        if request.path.endswith(f"/{kind}") and "watch" in request.query and not late.is_set():
            deaf.set()
            await late.wait()
        return None

    ban = [{"ecosystem": "PyPI", "names": ["greeter"]}]
    await user.apply(make_policy("ban", bans=ban), make_skill(packages=["greeter"]))
    await user.until_skill("demo", Compliant="Banned")
    intercept(answer)
    await watch_ends(watching)
    await asyncio.wait_for(deaf.wait(), 60)
    await user.delete(Kind.PACKAGE_POLICY, "ban")
    await user.apply(make_run("seen"), make_run("later"))
    mark = watching.mark

    async def asked() -> int:
        seen = list(watching.cluster.server.requests)[mark:]
        return sum(f"/namespaces/{user.namespace}/packagepolicies" in item.path for item in seen)

    await user.until(asked, lambda count: count >= 2, "the live policies are asked for")
    assert not (await user.get(Kind.SKILL_RUN, "seen")).get("status", {}).get("completionTime")
    late.set()
    await user.until_run("seen", "Succeeded")
    await user.until_run("later", "Succeeded")

"""The promises of the operator: few writes, nothing open before it is closed, and it outlives its API."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from operator_world import SERVICE, Client, World, condition, make_policy, make_run, make_skill, settled

from skillwarden.kube.kinds import Kind

Answer = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def make_service(*packages: str, **fields: Any) -> dict[str, Any]:
    return make_skill(code=SERVICE, mode="Service", packages=packages, **{"replicas": 1, **fields})


async def reconcile_all(world: World) -> None:
    """Have everything listed anew and every key reconciled."""
    assert world.core is not None
    await asyncio.to_thread(world.run, world.core.relist())
    await settled(world)


def in_namespace(world: World, user: Client, mark: int) -> list[Any]:
    """The operator's writes to a namespace's skills and their children."""
    return [
        item
        for item in world.writes(mark)
        if f"/namespaces/{user.namespace}/" in item.path
        and "policies/" not in item.path.replace("networkpolicies/", "")
        and "/agents/" not in item.path
    ]


async def watch_ends(world: World) -> None:
    """Cut every watch; clients come back by themselves."""

    async def cut() -> None:
        world.cluster.server._store.close_watchers()

    await asyncio.to_thread(world.cluster.run, cut())


def is_kopf(request: web.Request) -> bool:
    """Whether a request is the watch of the operator's: neither its gateway's, the node's nor a user's."""
    agent = request.headers.get("User-Agent", "")
    return not agent.startswith(("skillwarden", "user", "installer", "node"))


@pytest.fixture
async def intercept(world: World) -> AsyncIterator[Callable[[Answer], None]]:
    """Install what answers in the API server's stead, until the test is over."""

    def install(answer: Answer) -> None:
        world.cluster.server.interceptor = answer

    yield install
    world.cluster.server.interceptor = None
    await watch_ends(world)


@pytest.fixture(autouse=True)
def greeter(world: World) -> None:
    world.index.wheel("greeter", code="def greet(name):\n    return f'hello {name}'\n")


# -- writes --------------------------------------------------------------------------------------------


@pytest.mark.embedded_only("its log of requests")
async def test_a_second_reconcile_and_a_restart_write_nothing_and_leave_the_pods(
    world: World, user: Client
) -> None:
    banned = [{"ecosystem": "PyPI", "names": ["bad"]}]
    await user.apply(make_policy("more", bans=banned), make_service("greeter", replicas=2))
    await user.apply(make_skill("task", packages=["greeter"]), make_run("task-1", skill="task"))
    await user.apply(make_skill("denied", packages=["bad"]), make_skill("refused", packages=["-e ."]))
    await user.apply(make_run("early", skill="not-there"))
    await user.until_skill("demo", Ready="Ready")
    await user.until_run("task-1", "Succeeded")
    await user.until_skill("denied", Compliant="Banned")
    await user.until_skill("refused", Ready="InvalidPackage")
    await settled(world)
    pods = {pod["metadata"]["uid"] for pod in await user.pods()}

    mark, asked = world.mark, len(world.index.asked)
    await reconcile_all(world)
    assert world.writes(mark) == []

    await asyncio.to_thread(world.run, world.stop_operator())
    await asyncio.to_thread(world.run, world.start_operator())
    await settled(world)
    await reconcile_all(world)
    assert world.writes(mark) == []
    assert {pod["metadata"]["uid"] for pod in await user.pods()} == pods
    # Locks are the depot's to remember.
    assert world.index.asked[asked:] == []


@pytest.mark.embedded_only("its log of requests")
@pytest.mark.parametrize(
    ("sentence", "name", "statuses"), [("a cold lock", "cold", 3), ("a known lock", "greeter", 2)]
)
async def test_api_writes_from_apply_to_ready_with(
    sentence: str, name: str, statuses: int, world: World, user: Client
) -> None:
    world.index.wheel(name)
    if name == "greeter":
        await user.apply(make_skill("before", packages=[name]))
        await user.until_skill("before", Ready="Ready")
    await settled(world)
    mark = world.mark
    await user.apply(make_service(name))
    await user.until_skill("demo", Ready="Ready")
    await settled(world)
    writes = in_namespace(world, user, mark)
    paths = [item.path.rpartition("/")[2] for item in writes]
    assert paths.count("status") <= statuses
    assert paths.count("events") <= 1
    assert paths.count("pods") == paths.count("serviceaccounts") == 1
    children = paths.count("pods") + paths.count("serviceaccounts") + paths.count("networkpolicies")
    assert len(writes) <= children + statuses + 1
    assert all(item.status < 300 for item in writes)


@pytest.mark.embedded_only("its log of requests")
async def test_objects_of_users_get_a_status_and_nothing_else(world: World, user: Client) -> None:
    mark = world.mark
    await user.apply(make_skill(packages=["greeter"]), make_run())
    await user.until_run("demo-1", "Succeeded")
    await user.until_skill("demo", Ready="Ready")
    for kind, name in (
        (Kind.SKILL, "demo"),
        (Kind.SKILL_RUN, "demo-1"),
        (Kind.PACKAGE_POLICY, "rules"),
        (Kind.AGENT, "autonomous"),
    ):
        meta = (await user.get(kind, name))["metadata"]
        assert not {"finalizers", "annotations", "labels", "ownerReferences"} & set(meta)
    kinds = ("/skills/", "/skillruns/", "/packagepolicies/", "/agents/")
    told = [item for item in world.writes(mark) if any(kind in item.path for kind in kinds)]
    assert {item.path.rpartition("/")[2] for item in told} == {"status"}


# -- isolation -----------------------------------------------------------------------------------------


@pytest.mark.embedded_only("its log of requests")
async def test_network_policies_stand_before_the_pod_does(world: World, user: Client) -> None:
    mark = world.mark
    await user.apply(make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")
    made = [
        item.path.rpartition("/")[2]
        for item in in_namespace(world, user, mark)
        if item.method == "POST" and item.status == 201
    ]
    assert made.index("pods") > max(n for n, what in enumerate(made) if what == "networkpolicies")
    assert made.count("networkpolicies") == 2


async def test_a_network_policy_that_is_deleted_or_edited_is_restored(world: World, user: Client) -> None:
    await user.apply(make_service())
    await user.until_skill("demo", Ready="Ready")
    wanted = {item["metadata"]["name"]: item["spec"] for item in await user.items(Kind.NETWORK_POLICY)}
    assert len(wanted) == 2

    def restored(items: list[dict[str, Any]]) -> bool:
        return {item["metadata"]["name"]: item["spec"] for item in items} == wanted

    for name in wanted:
        await user.delete(Kind.NETWORK_POLICY, name)
        await user.until(lambda: user.items(Kind.NETWORK_POLICY), restored, f"{name} after its deletion")
        await user.patch(Kind.NETWORK_POLICY, name, {"spec": {"egress": [{}], "ingress": [{}]}})
        await user.until(lambda: user.items(Kind.NETWORK_POLICY), restored, f"{name} after an edit")
        hide = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "me"}}, "spec": {"egress": [{}]}}
        await user.patch(Kind.NETWORK_POLICY, name, hide)
        await user.until(lambda: user.items(Kind.NETWORK_POLICY), restored, f"{name} after it was hidden")


def make_opener(name: str = "open", **selector: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": selector, "policyTypes": ["Egress"], "egress": [{}]},
    }


@pytest.mark.parametrize("labels", [{}, {"app.kubernetes.io/managed-by": "skillwarden"}], ids=["", "as ours"])
async def test_a_foreign_network_policy_that_opens_the_sandbox_is_seen(
    labels: dict[str, str], world: World, user: Client
) -> None:
    await user.apply(make_service(), make_opener("elsewhere", matchLabels={"app": "web"}))
    await user.until_skill("demo", Ready="Ready", NetworkIsolated="Enforced")
    opener = make_opener()
    opener["metadata"]["labels"] = labels
    await user.apply(opener)
    status = await user.until_skill("demo", NetworkIsolated="OverlappingPolicy")
    assert "NetworkPolicy open " in condition(status, "NetworkIsolated")["message"]
    await user.until_skill("demo", Ready="Ready")
    # A policy may require that nobody else opens it.
    await user.apply(make_policy("isolated", sandbox={"requireIsolation": True}))
    await user.until_skill("demo", SandboxReady="NotAllowed")
    await user.until_pods(0)
    await user.delete(Kind.NETWORK_POLICY, "open")
    await user.until_skill("demo", Ready="Ready", NetworkIsolated="Enforced")


# -- what the cluster refuses --------------------------------------------------------------------------


def make_quota(most: int, what: str = "pods") -> dict[str, Any]:
    meta = {"name": "few"}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": meta,
        "spec": {"hard": {what: str(most)}},
    }


async def test_a_quota_stands_in_the_way_for_as_long_as_it_stands(world: World, user: Client) -> None:
    await user.apply(make_quota(0), make_service())
    status = await user.until_skill("demo", SandboxReady="QuotaExceeded", Ready="QuotaExceeded")
    assert status["phase"] == "Failed"
    assert "few" in condition(status, "SandboxReady")["message"]
    await user.delete(Kind.RESOURCE_QUOTA, "few")
    await user.until_skill("demo", Ready="Ready")


@pytest.mark.parametrize("what", ["serviceaccounts", "networkpolicies.networking.k8s.io"])
async def test_what_a_sandbox_needs_and_the_cluster_refuses_is_told(
    what: str, world: World, user: Client
) -> None:
    await user.apply(
        make_quota(0, f"count/{what}"), make_service(), make_skill("task"), make_run(skill="task")
    )
    status = await user.until_skill("demo", Compliant="Allowed", SandboxReady="QuotaExceeded")
    assert "few" in condition(status, "SandboxReady")["message"]
    await user.delete(Kind.RESOURCE_QUOTA, "few")
    await user.until_skill("demo", Ready="Ready")
    await user.until_run("demo-1", "Succeeded")


async def test_what_may_run_no_more_is_removed_though_nobody_can_be_asked(world: World, user: Client) -> None:
    await user.apply(make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")
    await user.apply(make_quota(0, "count/packageapprovals.skillwarden.io"))
    await user.apply(make_policy(rules=[], unlisted="RequireApproval"))
    status = await user.until_skill("demo", Compliant="ApprovalRequired")
    assert "Approval of greeter" in condition(status, "Compliant")["message"]
    assert "exceeded quota: few" in condition(status, "Compliant")["message"]
    await user.until_pods(0)
    await user.delete(Kind.RESOURCE_QUOTA, "few")

    async def name() -> str:
        [pending] = (await user.get(Kind.SKILL, "demo"))["status"]["pendingApprovals"]
        return str(pending.get("name") or "")

    request = await user.until(name, bool, "it is asked for")
    assert await user.get(Kind.PACKAGE_APPROVAL, request)


async def test_a_service_that_is_scaled_down_to_its_quota_is_ready(world: World, user: Client) -> None:
    await user.apply(make_quota(1), make_service(replicas=2))
    await user.until_skill("demo", SandboxReady="QuotaExceeded")
    await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"replicas": 1}}})
    await user.until_skill("demo", SandboxReady="Running", Ready="Ready")


async def test_a_launch_that_is_refused_is_tried_again_less_and_less_often(
    world: World, user: Client
) -> None:
    await user.apply(make_quota(0), make_service())
    await user.until_skill("demo", SandboxReady="QuotaExceeded")
    assert world.core is not None
    queue, key = world.core.queue, ("Skill", user.namespace, "demo")

    async def failures() -> int:
        return queue.failures(key)

    await user.until(failures, lambda count: count >= 3, "the back-off grows")


async def test_a_runtime_class_must_exist(world: World, user: Client) -> None:
    await user.apply(make_service(runtimeClassName="no-such-class"))
    status = await user.until_skill("demo", SandboxReady="RuntimeClassMissing", Ready="RuntimeClassMissing")
    assert "no-such-class" in condition(status, "SandboxReady")["message"]
    assert await user.pods() == []


async def test_a_policy_puts_its_runtime_class_on_the_pod(world: World, user: Client) -> None:
    name = f"strong-{user.namespace}"
    body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}}
    await user.gateway.create(Kind.RUNTIME_CLASS, {**body, "handler": "strong"})
    await user.apply(make_policy("classes", sandbox={"requireRuntimeClass": {"Autonomous": name}}))
    await user.apply(make_service())
    [pod] = await user.until_pods(1)
    assert pod["spec"]["runtimeClassName"] == name
    status = await user.until_skill("demo", Compliant="Allowed")
    assert status["sandbox"]["runtimeClass"] == name
    await user.delete(Kind.SKILL, "demo")
    await user.until_pods(0)
    await user.delete(Kind.RUNTIME_CLASS, name)


async def test_a_tampered_artefact_in_the_depot_never_runs(world: World, user: Client) -> None:
    name = world.index.wheel("sealed", code="WORD = 'as scanned'\n")
    good = world.index.files[name]
    await user.apply(make_skill(code="import sealed; print(sealed.WORD)", packages=["sealed"]), make_run())
    status = await user.until_run("demo-1", "Succeeded")
    assert "as scanned" in status["logTail"]
    world.index.wheel("sealed", code="WORD = 'tampered!!'\n")
    evil, world.index.files[name] = world.index.files[name], good
    found = [
        path for path in (world.root / "depot").rglob("*") if path.is_file() and path.read_bytes() == good
    ]
    assert found
    for path in found:
        path.chmod(0o600)
        path.write_bytes(evil)
    await user.apply(make_run("demo-2"))

    async def look() -> dict[str, Any]:
        return (await user.get(Kind.SKILL_RUN, "demo-2")).get("status") or {}

    status = await user.until(look, lambda status: status.get("completionTime"), "the run ends")
    assert "tampered" not in status.get("logTail", "")
    if status["phase"] == "Failed":
        assert condition(status, "Complete")["reason"] == "InstallFailed"
        # The depot is asked again for the next run.
        await user.apply(make_run("demo-3"))
        status = await user.until_run("demo-3", "Succeeded")
        assert "as scanned" in status["logTail"]


async def test_a_service_comes_back_though_the_depot_lost_what_it_held(world: World, user: Client) -> None:
    world.index.wheel("kept")
    code = f"import kept\n{SERVICE}"
    await user.apply(make_skill(code=code, mode="Service", packages=["kept"], replicas=1))
    await user.until_skill("demo", Ready="Ready")
    [pod] = await user.until_pods(1, ready=True)
    for path in (world.root / "depot").rglob("*"):
        if path.is_file():
            path.unlink()
    await user.delete(Kind.POD, pod["metadata"]["name"])
    await user.until_skill("demo", SandboxReady="InstallFailed")
    await user.until_skill("demo", Ready="Ready")


# -- restarts ------------------------------------------------------------------------------------------


@pytest.mark.embedded_only("its log of requests")
async def test_an_operator_that_is_stopped_while_it_resolves_ends_where_it_would_have(
    world: World, user: Client
) -> None:
    world.index.wheel("halfway")
    gate = world.index.gate = threading.Event()
    asked, mark = len(world.index.asked), world.mark
    try:
        await user.apply(make_service("halfway"))

        async def look() -> list[str]:
            return world.index.asked[asked:]

        await user.until(look, bool, "the index is asked")
        await asyncio.to_thread(world.run, world.stop_operator())
    finally:
        gate.set()
        world.index.gate = None
        if world.core is None:
            await asyncio.to_thread(world.run, world.start_operator())
    await user.until_skill("demo", Ready="Ready")
    await settled(world)
    launched = [item for item in in_namespace(world, user, mark) if item.path.endswith("/pods")]
    assert [(item.method, item.status) for item in launched] == [("POST", 201)]


async def test_what_happened_while_the_operator_was_away_is_made_up_for(world: World, user: Client) -> None:
    await user.apply(make_service("greeter"), make_skill("gone", code=SERVICE, mode="Service"))
    await user.until_skill("demo", Ready="Ready")
    await user.until_skill("gone", Ready="Ready")
    await asyncio.to_thread(world.run, world.stop_operator())
    try:
        await user.orphan(Kind.SKILL, "gone")
        await user.delete(Kind.AGENT, "autonomous")
    finally:
        await asyncio.to_thread(world.run, world.start_operator())
    await user.until_skill("demo", Accepted="AgentNotFound", Compliant="MaturityTooLow")
    await user.until_pods(0)


# -- an API server that misbehaves ---------------------------------------------------------------------


async def truncated(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"type": "MODIFIED", "object": {"kind": "Sk\n')
    await response.write_eof()
    return response


async def gone(request: web.Request) -> web.StreamResponse:
    return web.json_response(
        {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410},
        status=410,
    )


async def gone_event(request: web.Request) -> web.StreamResponse:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}
    return web.json_response({"type": "ERROR", "object": status})


async def broken(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="broken")


async def page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>please log in</html>", content_type="text/html")


@pytest.mark.embedded_only("its interceptor")
@pytest.mark.parametrize(
    "fault", [truncated, gone, gone_event, broken, page], ids=lambda fault: fault.__name__
)
async def test_changes_are_seen_though_watches_were_answered_with(
    fault: Callable[[web.Request], Awaitable[web.StreamResponse]],
    world: World,
    user: Client,
    intercept: Callable[[Answer], None],
) -> None:
    await user.apply(make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")
    struck: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if is_kopf(request) and request.query.get("watch") == "true":
            struck.append(request.path)
            return await fault(request)
        return None

    intercept(answer)
    await watch_ends(world)

    async def look() -> list[str]:
        return [path for path in struck if path.endswith("/packagepolicies")]

    await user.until(look, bool, "the watch of policies is struck")
    # A watch that begins again is told nothing of this.
    await user.delete(Kind.PACKAGE_POLICY, "rules")
    world.cluster.server.interceptor = None
    await user.until_skill("demo", Compliant="NoPolicy")
    await user.until_pods(0)
    await user.apply(make_policy())
    await user.until_skill("demo", Ready="Ready")


@pytest.mark.embedded_only("its interceptor")
@pytest.mark.parametrize("status", [429, 500, 409])
async def test_a_status_write_is_retried_that_was_answered_with(
    status: int, world: World, user: Client, intercept: Callable[[Answer], None]
) -> None:
    refused: list[str] = []
    reason = {429: "TooManyRequests", 500: "InternalError", 409: "Conflict"}[status]

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH" and request.path.endswith("/skills/demo/status") and len(refused) < 3:
            refused.append(request.path)
            body = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": reason,
                "code": status,
            }
            return web.json_response(body, status=status, headers={"Retry-After": "0"})
        return None

    intercept(answer)
    await user.apply(make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")
    assert len(refused) == 3
    assert [item["reason"] for item in await user.events("demo")] == ["Allowed"]


@pytest.mark.embedded_only("its interceptor")
@pytest.mark.parametrize("what", ["run", "replica"])
async def test_a_ban_that_no_watch_has_delivered_yet_prevents_the_launch_of_another(
    what: str, world: World, user: Client, intercept: Callable[[Answer], None]
) -> None:
    await user.apply(make_service("greeter") if what == "replica" else make_skill(packages=["greeter"]))
    await user.until_skill("demo", Ready="Ready")
    await settled(world)
    release, held = threading.Event(), []

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if is_kopf(request) and request.path.endswith("/packagepolicies"):
            held.append(request.path)
            while not release.is_set():
                await asyncio.sleep(0.05)
        return None

    intercept(answer)
    await watch_ends(world)

    async def look() -> list[str]:
        return held

    await user.until(look, bool, "the watch of policies is held")
    bans = [{"ecosystem": "PyPI", "names": ["greeter"]}]
    await user.apply(make_policy("urgent", bans=bans))
    mark = world.mark
    if what == "replica":
        await user.patch(Kind.SKILL, "demo", {"spec": {"sandbox": {"replicas": 2}}})
    else:
        await user.apply(make_run())
    path = Kind.PACKAGE_POLICY.path(namespace=user.namespace)

    async def reads() -> int:
        seen = list(world.cluster.server.requests)[mark:]
        return sum(item.path == path and item.user_agent.startswith("skillwarden/") for item in seen)

    # It wanted to launch, looked, and wanted to again.
    await user.until(reads, lambda count: count >= 2, "policies are read live")
    assert not [item for item in in_namespace(world, user, mark) if item.path.endswith("/pods")]
    release.set()
    await user.until_skill("demo", Compliant="Banned")
    if what == "run":
        run = await user.until_run("demo-1", "Failed")
        assert condition(run, "Complete")["reason"] == "NotAllowed"
    await user.until_pods(0)


# -- the depot's disk ----------------------------------------------------------------------------------


async def test_the_depot_is_told_what_is_in_use(world: World, user: Client) -> None:
    world.index.wheel("marked")
    await user.apply(make_service("marked"))
    status = await user.until_skill("demo", Ready="Ready")

    async def marked() -> set[str]:
        return {
            digest
            for path in (world.root / "depot" / "marks").iterdir()
            for digest in re.findall(r"sha256:[0-9a-f]{64}", path.read_text())
        }

    wanted = {status["lock"]["digest"], status["contentDigest"]}
    await user.until(marked, lambda found: wanted <= found, "the mark")

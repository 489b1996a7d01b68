"""The operator's token ends: nothing new is launched, and the one that replaces it takes over by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faults_support import make_service, watch_ends
from operator_world import Client, World

from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind
from skillwarden.kube.transport import Call
from skillwarden.runtime.settings import Settings

ACCOUNT = "system:serviceaccount:skillwarden-system:skillwarden-operator"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "all"},
    "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
}
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "all"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "all"},
    "subjects": [
        {"kind": "ServiceAccount", "name": "skillwarden-operator", "namespace": "skillwarden-system"}
    ],
}


class OwnToken(World):
    """A world whose operator has a kubeconfig of its own, as a Pod has its ServiceAccount's token."""

    @property
    def account(self) -> Path:
        return self.root / "account"

    def settings(self) -> Settings:
        return super().settings().model_copy(update={"kubeconfig": self.account})

    def renew_token(self) -> None:
        """Have another one where the operator reads it, as the kubelet does."""
        server = self.cluster.server
        server.write_kubeconfig(self.account, token=server.add_user(ACCOUNT))

    def expire_tokens(self) -> None:
        """Have the server know the operator by no token that it was given so far."""
        self.cluster.server._users.clear()

    def asked_since(self, mark: int, *, status: int, watches: bool) -> bool:
        """Whether the operator, or kopf for it, was answered so since then."""
        return any(
            item.status == status and ("watch=" in item.query) is watches
            for item in list(self.cluster.server.requests)[mark:]
            if item.user_agent.startswith(("skillwarden/", "kopf/"))
        )


async def grant(world: World) -> None:
    async with await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="installer") as gateway:
        for body in (ROLE, BINDING):
            path = f"{RBAC}/{str(body['kind']).lower()}s"
            await gateway._transport.object(Call("create", str(body["kind"]), path, "POST", {}, body))


@pytest.fixture(scope="module")
def bare_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnToken]:
    world = OwnToken(tmp_path_factory.mktemp("world"))
    world.start()
    world.advisories()
    world.index.wheel("greeter")
    world.run(grant(world))
    world.renew_token()
    world.run(world.start_operator())
    yield world
    world.stop()


async def test_a_token_that_expires_stops_what_is_new_until_another_is_there(
    bare_world: OwnToken, user: Client
) -> None:
    world = bare_world
    await user.apply(make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")
    [before] = await user.until_pods(1, ready=True)

    mark = world.mark
    world.expire_tokens()
    await watch_ends(world)
    await user.apply(make_service("greeter", name="later"))

    async def refused() -> bool:
        return all(world.asked_since(mark, status=401, watches=watches) for watches in (False, True))

    await user.until(refused, bool, "the operator and its watches are refused")
    assert not (await user.get(Kind.SKILL, "later")).get("status")

    mark = world.mark
    world.renew_token()
    await user.until_skill("later", Ready="Ready")

    async def watching() -> bool:
        return world.asked_since(mark, status=200, watches=True)

    await user.until(watching, bool, "it watches again")
    # What ran went on: the Pod is the very same.
    assert before["metadata"]["uid"] in {pod["metadata"]["uid"] for pod in await user.pods()}


async def test_a_token_that_is_replaced_in_time_is_not_noticed(bare_world: OwnToken, user: Client) -> None:
    """As a kubelet does it: the new one is there before the old one ends."""
    bare_world.renew_token()
    newest = list(bare_world.cluster.server._users)[-1]
    bare_world.cluster.server._users = {newest: ACCOUNT}
    await watch_ends(bare_world)
    await user.apply(make_service("greeter"))
    await user.until_skill("demo", Ready="Ready")

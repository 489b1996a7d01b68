"""The chart's roles are what the operator needs: nothing that it asks for is denied, and no rule is idle."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from operator_world import SERVICE, Client, World, make_agent, make_policy, make_run, make_skill

from skillwarden.domain.content import digest_of, pack
from skillwarden.domain.naming import LABEL_COMPONENT, LABEL_MANAGED_BY
from skillwarden.domain.skill import SourceFile
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind
from skillwarden.kube.transport import Call
from skillwarden.localcluster.apiserver.authorizer import Grant
from skillwarden.runtime.settings import Settings

pytestmark = pytest.mark.embedded_only("its users, and what their roles let pass")
SYSTEM = "skillwarden-system"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:skillwarden-operator"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ANYBODY = {"maturity": {}, "rules": [], "unlisted": "Allow"}


class Restricted(World):
    """A world whose operator shows the token of its ServiceAccount, and leads and probes as in the chart."""

    def settings(self) -> Settings:
        token = self.cluster.server.add_user(ACCOUNT)
        kubeconfig = self.cluster.server.write_kubeconfig(self.root / "account", token=token)
        changes = {
            "kubeconfig": kubeconfig,
            "lease": f"{SYSTEM}/skillwarden-operator",
            "canary_namespace": SYSTEM,
            "trust_agent_refs": False,
            "trust_approvals": False,
        }
        return super().settings().model_copy(update=changes)

    @property
    def rights(self) -> Any:
        return self.cluster.server.authorizer


async def install(world: World, generate: ModuleType) -> None:
    """Install the chart's ServiceAccount and roles as they are rendered."""
    bodies = [
        body
        for body in generate.objects(generate.render({}))
        if body["kind"] in {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
        and body["metadata"]["name"] == "skillwarden-operator"
    ]
    assert len(bodies) == 4
    gateway = await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="installer")
    await gateway.create(
        Kind.NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
    )
    for body in bodies:
        place = f"{RBAC}/namespaces/{SYSTEM}" if "namespace" in body["metadata"] else RBAC
        path = f"{place}/{body['kind'].lower()}s"
        await gateway._transport.object(Call("create", body["kind"], path, "POST", {}, body))
    await gateway.close()


@pytest.fixture(scope="module")
def bare_world(tmp_path_factory: pytest.TempPathFactory, generate: ModuleType) -> Iterator[World]:
    world = Restricted(tmp_path_factory.mktemp("world"))
    world.start()
    world.advisories()
    world.run(install(world, generate))
    yield world
    world.stop()


async def judge_and_run(user: Client) -> None:
    """A package that is asked for, a source in a ConfigMap, a run that is read, noted and removed."""
    asking = make_policy(**ANYBODY | {"unlisted": "RequireApproval"})
    await user.apply(asking, make_policy("cluster", **ANYBODY) | {"kind": "ClusterPackagePolicy"})
    await user.apply(make_skill("asks", packages=["greeter"], agent="nobody"))
    status = await user.until_skill("asks", Compliant="ApprovalRequired")
    await user.delete(Kind.SKILL, "asks")
    await user.until_gone(Kind.PACKAGE_APPROVAL, status["pendingApprovals"][0]["name"])
    await user.apply(make_policy(**ANYBODY))
    code = "print('from a map')"
    meta = {"name": "code", "namespace": user.namespace}
    source = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"main.py": code}}
    await user.gateway.create(Kind.CONFIG_MAP, source)
    pinned = digest_of(pack((SourceFile("main.py", code.encode()),)))
    skill = make_skill()
    skill["spec"]["source"] = {"configMapRef": {"name": "code", "sha256": pinned.removeprefix("sha256:")}}
    await user.apply(skill)
    await user.until_skill("demo", Ready="Ready")
    await user.apply(make_agent("late", "Intern"), make_run(ttlSecondsAfterFinished=0, input="{}"))
    await user.until_gone(Kind.SKILL_RUN, "demo-1")


async def child(user: Client, kind: Kind) -> str:
    [name] = [
        item["metadata"]["name"]
        for item in await user.items(kind)
        if item["metadata"]["name"].startswith("stands")
    ]
    return str(name)


async def repair_and_tidy(world: World, user: Client) -> None:
    """Children that were edited while nobody watched, Pods that are strays, and what orphans leave."""
    await user.apply(make_skill("stands", code=SERVICE, mode="Service"))
    await user.until_skill("stands", Ready="Ready")
    world.run(world.stop_operator())
    account = await child(user, Kind.SERVICE_ACCOUNT)
    await user.patch(Kind.SERVICE_ACCOUNT, account, {"automountServiceAccountToken": True})
    closed = await child(user, Kind.NETWORK_POLICY)
    await user.patch(Kind.NETWORK_POLICY, closed, {"spec": {"egress": [{}]}})
    [pod] = await user.pods()
    await user.delete(Kind.POD, pod["metadata"]["name"])
    await user.until_pods(0)
    world.run(world.start_operator())
    await user.until_pods(1, ready=True)
    stray = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "stray",
            "namespace": user.namespace,
            "labels": {LABEL_COMPONENT: "sandbox", LABEL_MANAGED_BY: "skillwarden"},
        },
        "spec": {"containers": [{"name": "skill", "image": "none"}]},
    }
    await user.gateway.create(Kind.POD, stray)
    await user.until_gone(Kind.POD, "stray")
    await user.orphan(Kind.SKILL, "stands")
    await user.delete(Kind.SKILL, "demo")
    await user.until_pods(0)
    await user.until(
        lambda: user.items(Kind.NETWORK_POLICY), lambda left: left == [], "the NetworkPolicies are gone"
    )


async def test_the_roles_suffice_and_no_rule_is_idle(
    bare_world: Restricted, stranger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skillwarden.services.reconcile_approval._GRACE", timedelta(0))
    bare_world.index.wheel("greeter")
    bare_world.run(bare_world.start_operator())
    await judge_and_run(stranger)
    await repair_and_tidy(bare_world, stranger)

    async def idle() -> set[Grant]:
        return set(bare_world.rights.granted(ACCOUNT)) - bare_world.rights.used

    left = sorted(await stranger.until(idle, lambda found: not found, "every rule is used"))
    assert left == []
    assert bare_world.rights.denied == []


async def test_what_a_role_lacks_is_refused_and_noticed(bare_world: Restricted) -> None:
    """The check above can fail: the account may not read what it was not given."""
    gateway = await Gateway.connect(kubeconfig=bare_world.settings().kubeconfig, user_agent="account")
    denied = len(bare_world.rights.denied)
    with pytest.raises(Exception, match="cannot list resource"):
        await gateway._transport.object(Call("list", "Secret", "/api/v1/secrets"))
    await gateway.close()
    assert len(bare_world.rights.denied) == denied + 1

"""A Node skill with its author's lockfile: what it pins is what runs, and what contradicts it is refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from npm_support import Registry, pnpm_lockfile, running_registry
from operator_world import API, Client, World, condition, make_advisory, make_agent, make_policy, make_run

from skillwarden.advisories.sync import sync
from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind
from skillwarden.localcluster.node.runtimes import node_image_name
from skillwarden.runtime.settings import Settings

CODE = "console.log(require('top/package.json').version, require('leaf/package.json').version)"
_NUMBERS = itertools.count(1)
ALLOW = {"maturity": {}, "rules": [], "unlisted": "Allow"}


class NodeWorld(World):
    """A world with an npm registry and a Node."""

    registry: Registry

    async def start_registry(self) -> None:
        self.registry = await self._stack.enter_async_context(running_registry())
        for version in ("1.0.0", "1.5.0"):
            self.registry.add("leaf", version, license="MIT")
        for version in ("3.0.0", "3.1.0"):
            self.registry.add("top", version, license="MIT", dependencies={"leaf": "^1.0.0"})

    def advisories(self, *records: dict[str, Any]) -> None:
        """Sync one record of each ecosystem: of one that has none, nothing can be said."""
        folder = self.root / "osv"
        for ecosystem in ("PyPI", "npm"):
            record = make_advisory("nobody-uses-this", id_=f"TEST-{ecosystem}")
            record["affected"][0]["package"]["ecosystem"] = ecosystem
            if ecosystem == "npm":
                record["affected"][0]["ranges"][0]["type"] = "SEMVER"
            (folder / ecosystem).mkdir(parents=True)
            (folder / ecosystem / f"{record['id']}.json").write_text(json.dumps(record))
        self.run(sync(folder, into=self.root / "state" / "advisories"))

    def settings(self) -> Settings:
        changes = {
            "npm_registry_url": self.registry.url,
            "node_runtimes": {"24": node_image_name("24")},
            "default_node": "24",
        }
        return super().settings().model_copy(update=changes)

    def integrity(self, name: str, version: str) -> str:
        return str(self.registry.documents[name]["versions"][version]["dist"]["integrity"])

    def lockfile(self, *, leaf: str = "1.0.0") -> str:
        """What pnpm would have written; ``leaf``: whose bytes it says leaf 1.0.0 has."""
        return pnpm_lockfile(leaf=self.integrity("leaf", leaf), top=self.integrity("top", "3.0.0"))


@pytest.fixture(scope="module")
def bare_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeWorld]:
    world = NodeWorld(tmp_path_factory.mktemp("world"))
    world.start()
    world.advisories()
    world.run(world.start_registry())
    world.run(world.start_operator())
    yield world
    world.stop()


@pytest.fixture
async def author(bare_world: NodeWorld) -> AsyncIterator[Client]:
    gateway = await Gateway.connect(kubeconfig=bare_world.cluster.kubeconfig, user_agent="user")
    namespace = f"node-{next(_NUMBERS)}"
    await gateway.create(Kind.NAMESPACE, {"metadata": {"name": namespace}})
    client = Client(gateway, namespace)
    await client.apply(make_agent("autonomous", "Autonomous"), make_policy(**ALLOW))
    yield client
    await gateway.delete(Kind.NAMESPACE, name=namespace)
    await gateway.close()


def make_node_skill(*dependencies: str, name: str = "demo", **files: str) -> dict[str, Any]:
    content = {"main.js": CODE} | {key.replace("_", "-") + ".yaml": text for key, text in files.items()}
    spec = {
        "source": {"files": [{"path": path, "content": text} for path, text in content.items()]},
        "runtime": {"language": "Node"},
        "packages": {"node": {"manager": "pnpm", "dependencies": list(dependencies)}},
        "entrypoint": {"command": ["node", "main.js"]},
        "sandbox": {"resources": {"cpu": "500m", "memory": "256Mi", "ephemeralStorage": "64Mi"}},
        "agentRef": {"name": "autonomous"},
    }
    return {"apiVersion": API, "kind": "Skill", "metadata": {"name": name}, "spec": spec}


async def output_of(user: Client, skill: str) -> str:
    await user.apply(make_run(f"{skill}-1", skill=skill))
    await user.until_run(f"{skill}-1", "Succeeded")
    [pod] = await user.pods()
    return await user.log(pod["metadata"]["name"])


async def test_what_a_lockfile_pins_is_locked_and_runs(bare_world: NodeWorld, author: Client) -> None:
    await author.apply(make_node_skill("top@^3", pnpm_lock=bare_world.lockfile()))
    status = await author.until_skill("demo", Ready="Ready", SandboxReady="OnDemand")
    assert status["lock"]["node"] == ["leaf@1.0.0", "top@3.0.0"]
    assert "3.0.0 1.0.0" in await output_of(author, "demo")


async def test_a_lockfile_that_was_edited_makes_the_lock_anew(bare_world: NodeWorld, author: Client) -> None:
    await author.apply(make_node_skill("top@^3"))
    status = await author.until_skill("demo", Resolved="Locked")
    assert status["lock"]["node"] == ["leaf@1.5.0", "top@3.1.0"]
    await author.apply(make_node_skill("top@^3", pnpm_lock=bare_world.lockfile()))
    await author.until(
        lambda: author.get(Kind.SKILL, "demo"),
        lambda body: body["status"]["lock"].get("node") == ["leaf@1.0.0", "top@3.0.0"],
        "the lock is the lockfile's",
    )


async def test_a_lockfile_with_other_bytes_is_refused(bare_world: NodeWorld, author: Client) -> None:
    await author.apply(make_node_skill("top@^3", pnpm_lock=bare_world.lockfile(leaf="1.5.0")))
    status = await author.until_skill("demo", Resolved="Unresolvable")
    message = condition(status, "Resolved")["message"]
    assert "other bytes for leaf 1.0.0 than pnpm-lock.yaml says" in message
    assert await author.pods() == []


async def test_a_lockfile_that_does_not_hold_what_is_declared_is_refused(
    bare_world: NodeWorld, author: Client
) -> None:
    await author.apply(make_node_skill("leaf@^1", pnpm_lock=bare_world.lockfile()))
    status = await author.until_skill("demo", Accepted="InvalidSource")
    assert "pnpm-lock.yaml" in condition(status, "Accepted")["message"]

"""A resolver or scanner dies, hangs, talks nonsense or wants all memory: said, contained, over by itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from faults_support import make_service
from operator_world import Client, World, condition, make_advisory, make_policy
from uv import find_uv_bin

from skillwarden.advisories.sync import sync
from skillwarden.domain.finding import ScannerName
from skillwarden.domain.package import Ecosystem
from skillwarden.nodejs import find_node_tools
from skillwarden.scan.auditor import Spare
from skillwarden.scan.pip_audit import DEFAULT_COMMAND

sys.path.insert(0, str(Path(__file__).parent.parent / "resolve"))
from npm_support import Registry, running_registry

#: While ``broken`` lies beside it, it does one of these; else it becomes the real tool.
FAULTS = {
    "dies": "os.kill(os.getpid(), 9)",
    "hangs": "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(100000)",
    "talks nonsense": "os.write(1, os.urandom(100000)); os._exit(0)",
    # What it gets that much for is an honest answer: only the limit keeps it from a pass.
    "wants 2 GiB": "held = b'x' * (2 << 30)",
}
#: What a message says that names a way out.
FIXES = {
    "dies": "SKILLWARDEN_TOOL_MEMORY",
    "hangs": "_DEADLINE",
    "talks nonsense": "of the operator's image",
    "wants 2 GiB": "SKILLWARDEN_TOOL_MEMORY",
}
_SCRIPT = """#!{python}
import os, signal, sys, time
real = {real!r}
if os.path.exists({flag!r}):
    {fault}
os.execv(real[0], [*real, *sys.argv[1:]])
"""
NODE_VERSION = "24"


class ToolWorld(World):
    """A world whose operator knows an npm registry, and has little patience."""

    registry: Registry

    def settings(self) -> Any:
        changed = {"npm_registry_url": self.registry.url, "node_runtimes": {NODE_VERSION: "node:24"}}
        return super().settings().model_copy(update=changed)


@pytest.fixture(scope="module")
def bare_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = ToolWorld(tmp_path_factory.mktemp("world"))
    world.start()
    world.registry = world.run(world._stack.enter_async_context(running_registry()))
    folder = world.root / "osv"
    for ecosystem in ("PyPI", "npm"):
        record = make_advisory("nobody-uses-this", id_=f"GHSA-{ecosystem}")
        record["affected"][0]["package"]["ecosystem"] = ecosystem
        (folder / ecosystem).mkdir(parents=True)
        (folder / ecosystem / f"{record['id']}.json").write_text(json.dumps(record))
    world.run(sync(folder, into=world.root / "state" / "advisories", force=True))
    yield world
    world.stop()


@dataclass
class Tool:
    """A tool of the operator, and where to put another in its place."""

    name: str
    state: tuple[str, str]
    ecosystem: Ecosystem
    real: Callable[[], tuple[str, ...]]

    def parts(self, world: World) -> tuple[Any, Any]:
        """Return the resolver and the scanner of its ecosystem."""
        assert world.core is not None
        stages = world.core._parts.skills._tools.stages
        scanner = {Ecosystem.PYPI: ScannerName.PIP_AUDIT, Ecosystem.NPM: ScannerName.NPM_AUDIT}
        resolver = stages._resolver._npm if self.ecosystem is Ecosystem.NPM else stages._resolver._python
        return resolver, stages._scans._scanners[scanner[self.ecosystem]]

    def swap(self, world: World, script: Path, patch: pytest.MonkeyPatch) -> None:
        resolver, scanner = self.parts(world)
        match self.name:
            case "uv":
                patch.setattr(resolver, "_settings", replace(resolver._settings, uv_path=script))
            case "npm":
                tools = replace(find_node_tools(), node=script)
                patch.setattr("skillwarden.resolve.npm.find_node_tools", lambda: tools)
            case "pip-audit":
                spare = scanner._spare
                patch.setattr(scanner, "_spare", Spare(replace(spare._tool, command=(str(script),))))
            case _:
                patch.setattr(scanner, "_command", (str(script),))

    def give(self, seconds: float, world: World, patch: pytest.MonkeyPatch) -> None:
        """Set how long it may take."""
        resolver, _ = self.parts(world)
        assert world.core is not None
        patch.setattr(resolver, "_settings", replace(resolver._settings, deadline_seconds=seconds))
        patch.setattr(world.core._parts.skills._tools.stages._scans, "_deadline", seconds)


def _node() -> tuple[str, ...]:
    return (str(find_node_tools().node),)


TOOLS = {
    "uv": Tool("uv", ("Resolved", "ResolverUnavailable"), Ecosystem.PYPI, lambda: (find_uv_bin(),)),
    "npm": Tool("npm", ("Resolved", "ResolverUnavailable"), Ecosystem.NPM, _node),
    "pip-audit": Tool("pip-audit", ("Scanned", "ScannerError"), Ecosystem.PYPI, lambda: DEFAULT_COMMAND),
    "npm audit": Tool(
        "npm audit", ("Scanned", "ScannerError"), Ecosystem.NPM, lambda: find_node_tools().npm()
    ),
}


def make_using(tool: Tool, world: World, package: str) -> dict[str, Any]:
    """A Skill that needs the tool, with a package that no other test knows."""
    if tool.ecosystem is Ecosystem.PYPI:
        world.index.wheel(package)
        return make_service(package)
    assert isinstance(world, ToolWorld)
    world.registry.add(package)
    body = make_service()
    body["spec"]["runtime"] = {"language": "Node", "version": NODE_VERSION}
    body["spec"]["source"] = {"files": [{"path": "main.js", "content": "setInterval(() => 0, 1000)"}]}
    body["spec"]["packages"] = {"node": {"manager": "npm", "dependencies": [package]}}
    body["spec"]["entrypoint"] = {"command": ["node", "main.js"]}
    return body


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", TOOLS)
async def test_it_is_said_and_contained_and_over_by_itself_when(
    name: str, fault: str, world: World, user: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool, flag, script = TOOLS[name], tmp_path / "broken", tmp_path / "tool"
    text = _SCRIPT.format(python=sys.executable, real=list(tool.real()), flag=str(flag), fault=FAULTS[fault])
    script.write_text(text)
    script.chmod(0o755)
    flag.touch()
    tool.swap(world, script, monkeypatch)
    # All of a deadline is waited for where it hangs; where it fails, it must have the time to.
    tool.give(3 if fault == "hangs" else 30, world, monkeypatch)
    await user.apply(make_policy(rules=[], unlisted="Allow"))
    await user.apply(make_using(tool, world, f"{name}-{fault}".replace(" ", "-").lower()))
    kind, reason = tool.state
    status = await user.until_skill("demo", **{kind: reason})
    message = condition(status, kind)["message"]
    # A deadline is the runner's, which calls the scanner by the name that policies use.
    assert name in message or name.replace(" ", "-") in message
    assert FIXES[fault] in message
    assert condition(status, "Compliant")["status"] != "True"
    assert await user.pods() == []
    # Another skill goes on meanwhile.
    await user.apply(make_service(name="other"))
    await user.until_skill("other", Ready="Ready")
    assert [pod["metadata"]["labels"]["skillwarden.io/skill"] for pod in await user.pods()] == ["other"]
    # Nobody tells the operator that it is mended.
    flag.unlink()
    tool.give(30, world, monkeypatch)
    await user.until_skill("demo", Scanned="Complete", Compliant="Allowed")

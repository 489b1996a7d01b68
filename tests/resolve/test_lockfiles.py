"""An author's own lockfile: what is taken of it, what is refused, and that npm's lock holds its versions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from npm_support import Registry, pnpm_lockfile, running_registry

from skillwarden.domain.lock import Platform
from skillwarden.domain.package import DeclaredPackage
from skillwarden.domain.pins import Pins
from skillwarden.domain.skill import NodeManager, SourceFile
from skillwarden.resolve.errors import UnresolvableError
from skillwarden.resolve.intake_npm import parse_node
from skillwarden.resolve.lockfile_graph import LockfileError
from skillwarden.resolve.lockfiles import LOCKFILES, read_pins
from skillwarden.resolve.npm import NpmResolver
from skillwarden.resolve.npm_settings import NpmSettings

SHA = "sha512-" + "A" * 86 + "=="

YARN = f"""# yarn lockfile v1

leaf@^1.0.0:
  version "1.0.0"
  resolved "https://registry.example/leaf/-/leaf-1.0.0.tgz#abc"
  integrity {SHA}

top@^3:
  version "3.0.0"
  dependencies:
    leaf "^1.0.0"
"""

BERRY = """__metadata:
  version: 8

"leaf@npm:^1.0.0":
  version: 1.0.0
  resolution: "leaf@npm:1.0.0"
  checksum: 10c0/00
  languageName: node
  linkType: hard

"project@workspace:.":
  version: 0.0.0-use.local
  resolution: "project@workspace:."
  dependencies:
    top: "npm:^3"

"top@npm:^3":
  version: 3.0.0
  resolution: "top@npm:3.0.0"
  dependencies:
    leaf: "npm:^1.0.0"
"""

PNPM_9 = pnpm_lockfile(leaf=SHA, top=SHA)

PNPM_6 = f"""lockfileVersion: '6.0'

dependencies:
  top:
    specifier: ^3
    version: 3.0.0

packages:
  /leaf@1.0.0:
    resolution: {{integrity: {SHA}}}
  /top@3.0.0:
    resolution: {{integrity: {SHA}}}
    dependencies:
      leaf: 1.0.0
"""

NPM_3 = json.dumps(
    {
        "lockfileVersion": 3,
        "packages": {
            "": {"dependencies": {"top": "^3"}},
            "node_modules/leaf": {
                "version": "1.0.0",
                "resolved": "https://r.test/l.tgz",
                "integrity": SHA,
            },
            "node_modules/top": {
                "version": "3.0.0",
                "resolved": "https://r.example/t.tgz",
                "integrity": SHA,
                "dependencies": {"leaf": "^1.0.0"},
            },
        },
    },
    indent=2,
)

FORMATS = {
    "yarn 1": (NodeManager.YARN, YARN),
    "yarn berry": (NodeManager.YARN, BERRY),
    "pnpm 9": (NodeManager.PNPM, PNPM_9),
    "pnpm 6": (NodeManager.PNPM, PNPM_6),
    "npm 3": (NodeManager.NPM, NPM_3),
}


def declare(*texts: str) -> tuple[DeclaredPackage, ...]:
    return parse_node(texts).declared


def pins(manager: NodeManager, content: str, *declared: str) -> Pins:
    file = SourceFile(LOCKFILES[manager][0], content.encode())
    found = read_pins([file], manager=manager, declared=declare(*(declared or ("top@^3",))))
    assert found is not None
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_pins_what_the_declared_packages_reach(name: str) -> None:
    found = pins(*FORMATS[name])
    assert found.direct == (("top", "3.0.0"),)
    assert found.versions == {"leaf": ("1.0.0",), "top": ("3.0.0",)}
    assert found.overrides() == {"leaf": "1.0.0", "top": "3.0.0"}


Graph = dict[str, tuple[str, tuple[str, ...]]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Packages by name, each with its version and the names that it needs; of those that come later."""
    names = [f"p{number}" for number in range(draw(st.integers(1, 8)))]
    if draw(st.booleans()):
        names[0] = f"@scope/{names[0]}"
    number = st.integers(0, 30)
    return {
        name: (
            f"{draw(number)}.{draw(number)}.{draw(number)}{draw(st.sampled_from(['', '-rc.1']))}",
            tuple(draw(st.lists(st.sampled_from(names[place + 1 :]), unique=True)))
            if names[place + 1 :]
            else (),
        )
        for place, name in enumerate(names)
    }


def write_yarn(graph: Graph) -> str:
    rows = ["# yarn lockfile v1\n"]
    for name, (version, needs) in graph.items():
        rows += [
            f'"{name}@{version}":\n  version "{version}"',
            f'  resolved "https://r.test/{name}.tgz"\n  integrity {SHA}',
        ]
        rows += ["  dependencies:"] * bool(needs)
        rows += [f'    "{other}" "{graph[other][0]}"' for other in needs]
        rows.append("")
    return "\n".join(rows)


def write_berry(graph: Graph) -> str:
    top = next(iter(graph))
    whole = {"project": ("0.0.0-use.local", (top,))} | graph
    rows = ["__metadata:\n  version: 8\n"]
    for name, (version, needs) in whole.items():
        where = "workspace:." if name == "project" else f"npm:{version}"
        rows.append(f'"{name}@{where}":\n  version: {version}\n  resolution: "{name}@{where}"')
        rows += ["  dependencies:"] * bool(needs)
        rows += [f'    "{other}": "npm:{graph[other][0]}"' for other in needs]
        rows.append("")
    return "\n".join(rows)


def write_pnpm(graph: Graph) -> str:
    top = next(iter(graph))
    version = graph[top][0]
    rows = ["lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:"]
    rows += [f"      '{top}':\n        specifier: {version}\n        version: {version}\npackages:"]
    rows += [f"  '{name}@{row[0]}':\n    resolution: {{integrity: {SHA}}}" for name, row in graph.items()]
    rows.append("snapshots:")
    for name, (own, needs) in graph.items():
        rows.append(f"  '{name}@{own}':" + ("" if needs else " {}"))
        rows += ["    dependencies:"] * bool(needs)
        rows += [f"      '{other}': {graph[other][0]}" for other in needs]
    return "\n".join(rows) + "\n"


def write_npm(graph: Graph) -> str:
    top = next(iter(graph))
    packages: dict[str, object] = {"": {"dependencies": {top: graph[top][0]}}}
    for name, (version, needs) in graph.items():
        packages[f"node_modules/{name}"] = {
            "version": version,
            "resolved": f"https://r.test/{name}.tgz",
            "integrity": SHA,
            "dependencies": {other: graph[other][0] for other in needs},
        }
    return json.dumps({"lockfileVersion": 3, "packages": packages})


WRITERS = {
    "yarn 1": (NodeManager.YARN, write_yarn),
    "yarn berry": (NodeManager.YARN, write_berry),
    "pnpm 9": (NodeManager.PNPM, write_pnpm),
    "npm 3": (NodeManager.NPM, write_npm),
}


@pytest.mark.parametrize("name", WRITERS)
@given(graph=graphs())
def test_what_was_written_is_read_back_as_far_as_the_declared_packages_reach(name: str, graph: Graph) -> None:
    manager, write = WRITERS[name]
    top = next(iter(graph))
    found = pins(manager, write(graph), f"{top}@{graph[top][0]}")
    reached, queue = set(), [top]
    while queue:
        one = queue.pop()
        if one not in reached:
            reached.add(one)
            queue += graph[one][1]
    assert found.direct == ((top, graph[top][0]),)
    assert {(item.name, item.version, frozenset(item.needs)) for item in found.packages} == {
        (one, graph[one][0], frozenset((other, graph[other][0]) for other in graph[one][1]))
        for one in reached
    }


@pytest.mark.parametrize("name", FORMATS)
def test_a_lockfile_that_contradicts_what_is_declared_is_refused(name: str) -> None:
    with pytest.raises(LockfileError, match=r"locks top to 3\.0\.0"):
        pins(*FORMATS[name], "top@^4")
    with pytest.raises(LockfileError, match="does not lock other"):
        pins(*FORMATS[name], "other@1")


FOREIGN = {
    "yarn 1: git": (
        NodeManager.YARN,
        YARN.replace("leaf@^1.0.0", '"leaf@git+https://h.example/l.git"').replace(
            'leaf "^1.0.0"', 'leaf "git+https://h.example/l.git"'
        ),
        "yarn.lock, line 3: leaf comes from a version control repository",
    ),
    "yarn 1: alias": (
        NodeManager.YARN,
        YARN.replace("leaf@^1.0.0", '"leaf@npm:evil@^1.0.0"').replace(
            'leaf "^1.0.0"', 'leaf "npm:evil@^1.0.0"'
        ),
        "yarn.lock, line 3: leaf is an alias",
    ),
    "berry: patch": (
        NodeManager.YARN,
        BERRY.replace("leaf@npm:^1.0.0", "leaf@patch:leaf@npm%3A1#x").replace(
            'leaf: "npm:^1.0.0"', 'leaf: "patch:leaf@npm%3A1#x"'
        ),
        "yarn.lock, line 4: leaf is a",
    ),
    "berry: resolved to another name": (
        NodeManager.YARN,
        BERRY.replace('"leaf@npm:1.0.0"', '"evil@npm:1.0.0"'),
        "yarn.lock, line 4: leaf is resolved to 'evil@npm:1.0.0'",
    ),
    "pnpm: link": (
        NodeManager.PNPM,
        PNPM_9.replace("leaf: 1.0.0", "leaf: link:../leaf"),
        "pnpm-lock.yaml, line 20: leaf is a folder, a link",
    ),
    "pnpm: alias": (
        NodeManager.PNPM,
        PNPM_9.replace("leaf: 1.0.0", "leaf: evil@1.0.0"),
        "pnpm-lock.yaml, line 20: leaf is an alias",
    ),
    "npm: link": (
        NodeManager.NPM,
        NPM_3.replace('"resolved": "https://r.test/l.tgz"', '"link": true'),
        "package-lock.json, line 9: leaf is a link",
    ),
    "npm: git": (
        NodeManager.NPM,
        NPM_3.replace("https://r.test/l.tgz", "git+ssh://h.example/l"),
        "package-lock.json, line 9: leaf comes from elsewhere",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_the_registrys_is_refused_with_its_line(name: str) -> None:
    manager, content, words = FOREIGN[name]
    with pytest.raises(LockfileError) as caught:
        pins(manager, content)
    assert caught.value.message.startswith(words)


def test_another_managers_lockfile_is_not_ignored() -> None:
    with pytest.raises(LockfileError, match=r"it is yarn's, and spec\.packages\.node\.manager is npm"):
        read_pins([SourceFile("yarn.lock", b"")], manager=NodeManager.NPM, declared=declare("top"))


def test_yaml_aliases_are_refused() -> None:
    with pytest.raises(LockfileError, match="alias"):
        pins(NodeManager.PNPM, "a: &a 1\nb: *a\n")


@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_a_damaged_lockfile_is_refused_and_breaks_nothing(name: str, data: st.DataObject) -> None:
    manager, content = FORMATS[name]
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(len(content), start + 40)))
    damaged = content[:start] + data.draw(st.text(max_size=8)) + content[end:]
    try:
        file = SourceFile(LOCKFILES[manager][0], damaged.encode("utf-8", "surrogatepass"))
        read_pins([file], manager=manager, declared=declare("top@^3"))
    except LockfileError as error:
        assert error.message.startswith(LOCKFILES[manager][0])


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    async with running_registry() as made:
        for version in ("1.0.0", "1.5.0"):
            made.add("leaf", version)
        made.add("top", "3.0.0", dependencies={"leaf": "^1.0.0"})
        made.add("top", "3.1.0", dependencies={"leaf": "^1.0.0"})
        yield made


async def test_npms_lock_holds_the_pinned_versions_and_not_newer_ones(
    registry: Registry, tmp_path: Path
) -> None:
    npm = NpmResolver(NpmSettings(registry_url=registry.url, cache_dir=tmp_path / "npm", probe_seconds=2))
    node, declared = Platform(node="24"), declare("top@^3")
    free = await npm.resolve(declared, platform=node)
    assert [str(p.id) for p in free.packages] == ["leaf 1.5.0", "top 3.1.0"]
    held = await npm.resolve(declared, platform=node, pins=pins(NodeManager.YARN, BERRY))
    assert [str(p.id) for p in held.packages] == ["leaf 1.0.0", "top 3.0.0"]
    with pytest.raises(UnresolvableError, match=r"other bytes for leaf 1\.0\.0 than yarn\.lock says"):
        await npm.resolve(declared, platform=node, pins=pins(NodeManager.YARN, YARN))
    alone = Pins("yarn.lock", (("top", "3.0.0"),), pins(NodeManager.YARN, BERRY).packages[1:])
    with pytest.raises(UnresolvableError, match=r"top 3\.0\.0 needs leaf 1\.5\.0 .*does not hold it"):
        await npm.resolve(declared, platform=node, pins=alone)

"""npm's lock, read without trust: what is refused, and that nothing is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.domain.errors import SkillwardenError
from skillwarden.domain.lock import Lock, Platform
from skillwarden.resolve.errors import ForbiddenHostError, ResolverFailedError, UnresolvableError
from skillwarden.resolve.npmlock import Registry, read_npm_lock

HOST = "registry.example"
REGISTRY = Registry("https", HOST)
NODE = Platform(node="24")
SRI = "sha512-" + "A" * 86 + "=="


def entry(package: str, /, version: str = "1.0.0", **fields: Any) -> dict[str, Any]:
    url = f"https://{HOST}/{package}/-/{package.rpartition('/')[2]}-{version}.tgz"
    return {"version": version, "resolved": url, "integrity": SRI, **fields}


def lock_text(packages: dict[str, Any], declared: dict[str, str], **fields: Any) -> str:
    return json.dumps(
        {"lockfileVersion": 3, "packages": {"": {"dependencies": declared}, **packages}, **fields}
    )


def read(packages: dict[str, Any], declared: dict[str, str] | None = None, **fields: Any) -> list[str]:
    declared = declared if declared is not None else {"a": "*"}
    found = read_npm_lock(
        lock_text(packages, declared, **fields), platform=NODE, registry=REGISTRY, declared=declared
    )
    return [str(package.id) for package in found]


@pytest.mark.parametrize(
    ("sentence", "row", "error", "words"),
    [
        ("a link", entry("a", link=True), UnresolvableError, "link to a folder"),
        ("an alias", entry("a", name="b"), UnresolvableError, "alias of 'b'"),
        ("git", entry("a", resolved="git+ssh://git@x/y.git#1"), UnresolvableError, r"comes from git\+ssh"),
        ("a file", entry("a", resolved="file:../a.tgz"), UnresolvableError, "comes from file"),
        ("no address", {"version": "1.0.0", "integrity": SRI}, UnresolvableError, "no address"),
        (
            "another host",
            entry("a", resolved="https://evil.example/a.tgz"),
            ForbiddenHostError,
            "evil.example",
        ),
        ("plain text", entry("a", resolved=f"http://{HOST}/a.tgz"), ForbiddenHostError, "http://"),
        ("another port", entry("a", resolved=f"https://{HOST}:444/a.tgz"), ForbiddenHostError, HOST),
        ("credentials", entry("a", resolved=f"https://u:p@{HOST}/a.tgz"), ForbiddenHostError, HOST),
        ("SHA-1 alone", entry("a", integrity="sha1-" + "A" * 27 + "="), UnresolvableError, "no SHA-512"),
        ("no hash", entry("a", integrity=None), UnresolvableError, "no SHA-512"),
        ("half a hash", entry("a", integrity="sha512-AAAA"), UnresolvableError, "no SHA-512"),
        ("no version", entry("a", version=None), ResolverFailedError, "no version"),
        ("a version that is none", entry("a", version="../x"), ResolverFailedError, "no version"),
        ("another system alone", entry("a", os=["darwin"]), UnresolvableError, "does not run on Linux"),
        ("platforms that are numbers", entry("a", os=[7]), ResolverFailedError, "list of platforms"),
        (
            "dependencies that are a list",
            entry("a", dependencies=["b"]),
            ResolverFailedError,
            "not an object",
        ),
        (
            "a dependency that is not there",
            entry("a", dependencies={"b": "1"}),
            ResolverFailedError,
            "needs b",
        ),
        ("no object", 7, ResolverFailedError, "not an object"),
    ],
)
def test_a_lock_is_refused_that_has(sentence: str, row: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read({"node_modules/a": row})


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("no JSON", "{"),
        ("a list", "[]"),
        ("another version", json.dumps({"lockfileVersion": 2, "packages": {}})),
        ("no packages", json.dumps({"lockfileVersion": 3})),
        ("no project", json.dumps({"lockfileVersion": 3, "packages": {}})),
        ("another project's", lock_text({}, {"b": "*"})),
        ("too deep", "[" * 100_000),
    ],
)
def test_a_text_is_no_lock_that_is(sentence: str, text: str) -> None:
    with pytest.raises(ResolverFailedError, match="npm's lock cannot be used"):
        read_npm_lock(text, platform=NODE, registry=REGISTRY, declared={"a": "*"})


@pytest.mark.parametrize(
    "location", ["../a", "a", "packages/a", "node_modules/../a", "node_modules/a\\b", "/node_modules/a"]
)
def test_a_location_outside_of_node_modules_is_refused(location: str) -> None:
    with pytest.raises(UnresolvableError, match="outside of node_modules"):
        read({"node_modules/a": entry("a"), location: entry("b")})


def test_what_nobody_needs_here_is_left_out_with_what_only_it_needs() -> None:
    packages = {
        "node_modules/a": entry(
            "a", optionalDependencies={"mac": "1", "any": "1"}, dependencies={"any": "1"}
        ),
        "node_modules/mac": entry("mac", os=["darwin"], dependencies={"only-mac": "1"}),
        "node_modules/only-mac": entry("only-mac"),
        "node_modules/any": entry("any"),
        "node_modules/stray": entry("stray"),
    }
    assert sorted(read(packages)) == ["a 1.0.0", "any 1.0.0"]


def test_a_bundled_package_has_its_holders_artefact() -> None:
    packages = {
        "node_modules/a": entry("a", dependencies={"b": "1"}, bundleDependencies=["b"]),
        "node_modules/a/node_modules/b": {"version": "2.0.0", "inBundle": True},
    }
    found = read_npm_lock(
        lock_text(packages, {"a": "*"}), platform=NODE, registry=REGISTRY, declared={"a": "*"}
    )
    holder, bundled = sorted(found, key=lambda package: package.bundled)
    assert (str(bundled.id), bundled.bundled) == ("b 2.0.0", True)
    assert bundled.artefact == holder.artefact


def test_two_places_of_one_version_are_one_package() -> None:
    packages = {
        "node_modules/a": entry("a", dependencies={"c": "1"}),
        "node_modules/b": entry("b", dependencies={"c": "1"}),
        "node_modules/c": entry("c", "2.0.0"),
        "node_modules/a/node_modules/c": entry("c"),
        "node_modules/b/node_modules/c": entry("c"),
    }
    declared = {"a": "*", "b": "*", "c": "2"}
    found = read_npm_lock(lock_text(packages, declared), platform=NODE, registry=REGISTRY, declared=declared)
    places = {str(package.id): package.locations for package in found}
    assert places["c 1.0.0"] == ("node_modules/a/node_modules/c", "node_modules/b/node_modules/c")
    assert places["c 2.0.0"] == ("node_modules/c",)


NAMES = st.sampled_from(["a", "b", "c", "@s/d"])


@given(
    edges=st.dictionaries(NAMES, st.frozensets(NAMES, max_size=3), max_size=4),
    declared=st.frozensets(NAMES, min_size=1, max_size=2),
)
def test_a_flat_closure_is_exactly_what_is_reached(
    edges: dict[str, frozenset[str]], declared: frozenset[str]
) -> None:
    everything = {"a", "b", "c", "@s/d"}
    packages = {
        f"node_modules/{name}": entry(name, dependencies=dict.fromkeys(edges.get(name, ()), "*"))
        for name in everything
    }
    reached, queue = set(), list(declared)
    while queue:
        name = queue.pop()
        if name not in reached:
            reached.add(name)
            queue.extend(edges.get(name, ()))
    wanted = dict.fromkeys(sorted(declared), "*")
    found = read_npm_lock(lock_text(packages, wanted), platform=NODE, registry=REGISTRY, declared=wanted)
    assert {package.id.name for package in found} == reached
    assert {package.id.name for package in found if package.direct} == set(declared)
    shuffled = dict(sorted(packages.items(), reverse=True))
    again = read_npm_lock(lock_text(shuffled, wanted), platform=NODE, registry=REGISTRY, declared=wanted)
    assert Lock(NODE, found).digest == Lock(NODE, again).digest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(row=st.dictionaries(st.sampled_from(list(entry("a", os=[], dependencies={}, name="a"))), JSON))
def test_whatever_an_entry_says_is_read_or_refused_in_words(row: dict[str, Any]) -> None:
    try:
        found = read({"node_modules/a": {**entry("a"), **row}})
    except SkillwardenError as error:
        assert error.message
    else:
        assert len(found) == 1

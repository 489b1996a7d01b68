"""The three older kinds of patch, against the examples of their specifications."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.localcluster.apiserver.errors import ApiError
from skillwarden.localcluster.apiserver.patches import json_patch, merge_patch, strategic_merge
from skillwarden.localcluster.apiserver.pod_schema import POD

# RFC 7386, appendix A.
MERGES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "wanted"), MERGES)
def test_merge_patches(target: Any, patch: Any, wanted: Any) -> None:
    before = copy.deepcopy(target)
    assert merge_patch(target, patch) == wanted
    assert target == before


def op(kind: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **more}


# RFC 6902, appendix A.
JSON_PATCHES = [
    ({"foo": "bar"}, [op("add", "/baz", value="qux")], {"foo": "bar", "baz": "qux"}),
    ({"foo": ["bar", "baz"]}, [op("add", "/foo/1", value="qux")], {"foo": ["bar", "qux", "baz"]}),
    ({"baz": "qux", "foo": "bar"}, [op("remove", "/baz")], {"foo": "bar"}),
    ({"foo": ["bar", "qux", "baz"]}, [op("remove", "/foo/1")], {"foo": ["bar", "baz"]}),
    ({"baz": "qux"}, [op("replace", "/baz", value="boo")], {"baz": "boo"}),
    (
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    (
        {"foo": ["all", "grass", "cows", "eat"]},
        [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
        {"foo": ["all", "cows", "eat", "grass"]},
    ),
    ({"baz": "qux"}, [op("test", "/baz", value="qux")], {"baz": "qux"}),
    ({"foo": "bar"}, [op("add", "/child", value={"g": {}})], {"foo": "bar", "child": {"g": {}}}),
    ({"/": 9, "~1": 10}, [op("test", "/~01", value=10)], {"/": 9, "~1": 10}),
    ({"foo": ["bar"]}, [op("add", "/foo/-", value=["a"])], {"foo": ["bar", ["a"]]}),
    ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
    ({"a": 1}, [op("replace", "", value={"b": 2})], {"b": 2}),
    ({"a": [1, 2]}, [op("replace", "/a/0", value=9)], {"a": [9, 2]}),
]


@pytest.mark.parametrize(("target", "patch", "wanted"), JSON_PATCHES)
def test_json_patches(target: Any, patch: Any, wanted: Any) -> None:
    before = copy.deepcopy(target)
    assert json_patch(target, patch) == wanted
    assert target == before


@pytest.mark.parametrize(
    ("target", "patch", "status"),
    [
        ({"baz": "qux"}, [op("test", "/baz", value="bar")], 422),
        ({"a": 1}, [op("test", "/a", value=True)], 422),
        ({"foo": "bar"}, [op("add", "/baz/bat", value="qux")], 422),
        ({"foo": "bar"}, [op("remove", "/baz")], 422),
        ({"foo": "bar"}, [op("replace", "/baz", value=1)], 422),
        ({"foo": []}, [op("add", "/foo/1", value=1)], 422),
        ({"foo": [1]}, [op("remove", "/foo/-")], 422),
        ({"foo": [1]}, [op("replace", "/foo/00", value=1)], 422),
        ({"foo": {"bar": 1}}, [{"op": "move", "from": "/foo", "path": "/foo/bar/x"}], 422),
        ({"foo": "bar"}, [op("frobnicate", "/foo")], 422),
        ({"foo": "bar"}, [op("add", "foo", value=1)], 400),
        ({"foo": "bar"}, [op("add", "/foo")], 400),
        ({"foo": "bar"}, [{"op": "remove"}], 400),
        ({"foo": "bar"}, {"foo": 1}, 400),
        ({"foo": "bar"}, [op("test", "/foo", value="bar")] * 10_001, 400),
    ],
)
def test_json_patches_that_do_not_fit(target: Any, patch: Any, status: int) -> None:
    before = copy.deepcopy(target)
    with pytest.raises(ApiError) as caught:
        json_patch(target, patch)
    assert caught.value.code == status
    assert target == before


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": spec}


MAIN = {"name": "main", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}

STRATEGIC = {
    "containers merge by name": (
        pod(containers=[MAIN, {"name": "side", "image": "i"}]),
        pod(containers=[{"name": "side", "image": "j"}]),
        pod(containers=[MAIN, {"name": "side", "image": "j"}]),
    ),
    "environments merge by name": (
        pod(containers=[{"name": "m", "env": [{"name": "A", "value": "1"}]}]),
        pod(containers=[{"name": "m", "env": [{"name": "B", "value": "2"}]}]),
        pod(containers=[{"name": "m", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]),
    ),
    "an item is deleted by directive": (
        pod(volumes=[{"name": "a"}, {"name": "b"}]),
        pod(volumes=[{"name": "a", "$patch": "delete"}]),
        pod(volumes=[{"name": "b"}]),
    ),
    "a list is replaced by directive": (
        pod(volumes=[{"name": "a"}, {"name": "b"}]),
        pod(volumes=[{"$patch": "replace"}, {"name": "c"}]),
        pod(volumes=[{"name": "c"}]),
    ),
    "an object is replaced by directive": (
        pod(securityContext={"runAsUser": 1, "fsGroup": 2}),
        pod(securityContext={"$patch": "replace", "runAsUser": 3}),
        pod(securityContext={"runAsUser": 3}),
    ),
    "mounts merge by path": (
        pod(containers=[{"name": "m", "volumeMounts": [{"name": "a", "mountPath": "/x"}]}]),
        pod(containers=[{"name": "m", "volumeMounts": [{"name": "b", "mountPath": "/x"}]}]),
        pod(containers=[{"name": "m", "volumeMounts": [{"name": "b", "mountPath": "/x"}]}]),
    ),
    "arguments are replaced": (
        pod(containers=[{"name": "m", "args": ["a", "b"]}]),
        pod(containers=[{"name": "m", "args": ["c"]}]),
        pod(containers=[{"name": "m", "args": ["c"]}]),
    ),
    "finalizers are a set": (
        {"metadata": {"finalizers": ["a/b"]}},
        {"metadata": {"finalizers": ["a/c", "a/b"]}},
        {"metadata": {"finalizers": ["a/b", "a/c"]}},
    ),
    "items of a set are deleted by directive": (
        {"metadata": {"finalizers": ["a/b", "a/c"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}},
        {"metadata": {"finalizers": ["a/c"]}},
    ),
    "conditions merge by type": (
        {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "X", "status": "True"}]}},
        {
            "status": {
                "$setElementOrder/conditions": [{"type": "X"}],
                "conditions": [{"type": "Ready", "status": "True"}],
            }
        },
        {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "True"}]}},
    ),
    "owners merge by UID": (
        {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}]}},
        {"metadata": {"ownerReferences": [{"uid": "2", "name": "b"}]}},
        {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}]}},
    ),
    "null removes": (pod(nodeName="n", hostname="h"), pod(nodeName=None), pod(hostname="h")),
}


@pytest.mark.parametrize("case", STRATEGIC)
def test_strategic_merge_patches(case: str) -> None:
    target, patch, wanted = STRATEGIC[case]
    before = copy.deepcopy(target)
    assert strategic_merge(target, patch, POD) == wanted
    assert target == before


def test_a_strategic_merge_needs_the_merge_key() -> None:
    with pytest.raises(ApiError, match="merge key: name"):
        strategic_merge(pod(containers=[MAIN]), pod(containers=[{"image": "j"}]), POD)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, JSON)
def test_a_merge_patch_twice_is_the_patch_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(JSON, JSON)
def test_adding_then_removing_gives_back_the_document(target: Any, value: Any) -> None:
    document = {"kept": target}
    added = json_patch(document, [op("add", "/new", value=value)])
    assert json_patch(added, [op("test", "/new", value=value), op("remove", "/new")]) == document

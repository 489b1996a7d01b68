"""The graph of a lock."""

from __future__ import annotations

import gc
import weakref

from make_domain import judge, make_lock, make_policy

from skillwarden.domain.closure import closure_of
from skillwarden.domain.policy_index import index_of


def test_a_lock_has_one_graph_for_as_long_as_it_lives() -> None:
    lock = make_lock("a 1 > b 1")
    graph = closure_of(lock)
    assert closure_of(lock) is graph
    assert closure_of(make_lock("a 1 > b 1")) is not graph

    gone = weakref.ref(graph)
    del lock, graph
    gc.collect()
    assert gone() is None


def test_a_policy_is_read_once_and_forgotten_with_the_policy() -> None:
    lock, policy = make_lock("a 1 > b 1"), make_policy()
    assert judge(lock, policy, scan=None).reasons
    index = index_of(policy)
    assert index_of(policy) is index

    gone = weakref.ref(index)
    del policy, index
    gc.collect()
    assert gone() is None
    assert not closure_of(lock).opinions


def test_reaching_stops_at_what_is_taken_out() -> None:
    graph = closure_of(make_lock("a 1 > b 1 > c 1", "d 1 > c 1"))
    place = {node.package.id.name: node.position for node in graph.nodes}
    assert graph.reach([place["a"]]) == {place["a"], place["b"], place["c"]}
    assert graph.reach([place["a"]], without=frozenset({place["b"]})) == {place["a"]}
    assert graph.reach([place["b"]], without=frozenset({place["b"]})) == set()


def test_each_package_knows_the_declared_ones_that_pull_it_in() -> None:
    graph = closure_of(make_lock("a 1 > b 1 > c 1", "d 1 > c 1"))
    roots = {node.package.id.name: graph.roots[node.position] for node in graph.nodes}
    assert roots == {"a": ("a",), "b": ("a",), "c": ("a", "d"), "d": ("d",)}

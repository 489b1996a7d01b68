"""The table keeps its groups right through every change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skillwarden.services.table import Name, Table

NAMES = st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2", "3"]))
VALUES = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), NAMES, VALUES),
        st.tuples(st.just("drop"), NAMES, VALUES),
        st.tuples(st.just("replace"), st.dictionaries(NAMES, VALUES), VALUES),
    ),
    max_size=30,
)


@given(STEPS)
def test_against_a_dict_groups_hold_exactly_what_belongs_to_them(
    steps: list[tuple[str, object, int]],
) -> None:
    table: Table[int] = Table(lambda name, value: (name[0], value))
    model: dict[Name, int] = {}
    for step, what, value in steps:
        match step, what:
            case "put", tuple():
                table.put(what, value)  # type: ignore[arg-type]
                model[what] = value  # type: ignore[index]
            case "drop", tuple():
                assert table.drop(what) == model.pop(what, None)  # type: ignore[arg-type, call-overload]
            case "replace", dict():
                assert table.replace(what) == set(model) - set(what)
                model = dict(what)
        assert len(table) == len(model)
        assert set(table) == set(model)
        assert sorted(table.values()) == sorted(model.values())
        for namespace in "xy":
            for group in range(4):
                want = [v for (space, _), v in model.items() if (space, v) == (namespace, group)]
                assert list(table.grouped((namespace, group))) == want


def test_iterating_does_not_mind_changes() -> None:
    table: Table[int] = Table()
    table.put(("x", "1"), 1)
    table.put(("x", "2"), 2)
    for name in table:
        table.drop(name)
    assert len(table) == 0
    assert table.grouped("x") == ()
    assert table.get(("x", "1")) is None

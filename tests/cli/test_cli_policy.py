"""``skillwarden policy test``: cases for CI, none of which passes by being overlooked."""

from __future__ import annotations

from typing import Any

import pytest
from cli_support import Desk, Ran, cli, make_policy, make_skill
from operator_world import make_advisory

HOLE = make_advisory("gamma", fixed="2.0")


def case(desk: Desk, file: str = "a", *, packages: tuple[str, ...] = (), **fields: Any) -> None:
    """Write a case in a folder of its own, with the skill and the policy that it names beside the folder."""
    desk.write("skill.yaml", make_skill(packages=packages))
    desk.write("policy.yaml", make_policy())
    (desk.root / "cases" / file).parent.mkdir(exist_ok=True, parents=True)
    body = {"skill": "../skill.yaml", "policies": ["../policy.yaml"], "maturity": "Supervised"}
    desk.write(f"cases/{file}.case.yaml", {**body, **fields})


def run(desk: Desk, *options: object) -> Ran:
    return cli("policy", "test", desk.root / "cases", "--advisories", desk.osv(HOLE), *options)


def test_cases_that_are_as_expected_pass(desk: Desk) -> None:
    denied = {"verdict": "Denied", "reason": "Denied", "ground": "PYSEC-2026-1"}
    above = {"skill": "../../skill.yaml", "policies": ["../../policy.yaml"], "name": "a hole below alpha"}
    case(desk, "deep/holed", packages=("alpha",), expect=denied, **above)
    case(desk, "pupil", packages=("alpha",), maturity="Student", expect={"verdict": "Denied"})
    ran = run(desk)
    assert ran.code == 0, ran.said
    assert "a hole below alpha: Denied (Denied)" in ran.out
    assert "2 of 2 case(s) as expected" in ran.out


@pytest.mark.parametrize(
    ("expect", "words"),
    [
        ({"verdict": "Denied"}, "expected Denied, but it is Allowed"),
        ({"verdict": "Allowed", "reason": "Banned"}, "expected the reason Banned, but it is Allowed"),
        ({"verdict": "Allowed", "ground": "nobody says this"}, "no ground says 'nobody says this'"),
    ],
)
def test_a_case_that_is_otherwise_fails_and_says_how(expect: dict[str, str], words: str, desk: Desk) -> None:
    case(desk, "good", expect={"verdict": "Allowed"})
    case(desk, "other", expect=expect)
    ran = run(desk)
    assert ran.code == 1
    assert words in ran.said
    assert "1 of 2 case(s) as expected" in ran.said
    good, other = run(desk, "--format", "json").json
    assert (good["passed"], other["passed"], other["verdict"]) == (True, False, "Allowed")


def test_a_policy_of_another_namespace_does_not_count(desk: Desk) -> None:
    case(desk, packages=("beta",), expect={"verdict": "Denied", "reason": "NoPolicy"})
    policy = make_policy()
    policy["metadata"]["namespace"] = "other"
    desk.write("policy.yaml", policy)
    ran = run(desk)
    assert ran.code == 0, ran.said
    assert "PackagePolicy other/rules" in ran.err


def test_an_index_that_is_down_decides_nothing(desk: Desk) -> None:
    case(desk, packages=("alpha",), expect={"verdict": "Allowed"})
    desk.index.down = True
    ran = run(desk)
    assert ran.code == 2
    assert "UNDECIDED" in ran.out


def test_a_skill_that_intake_refuses_may_be_what_a_case_is_about(desk: Desk) -> None:
    case(desk, packages=("git+https://x",), expect={"verdict": "Unknown", "reason": "InvalidPackage"})
    assert run(desk).code == 0


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"expect": {"verdict": "Fine"}}, "expect.verdict"),
        ({"expect": {"verdict": "Allowed", "reazon": "Banned"}}, "expect.reazon"),
        ({"expect": {"verdict": "Allowed"}, "skill": "nothing.yaml"}, "nothing.yaml"),
        ({"expect": {"verdict": "Allowed"}, "policies": ["../skill.yaml"]}, "not a PackagePolicy"),
    ],
)
def test_a_case_that_cannot_be_read_is_no_pass(fields: dict[str, Any], words: str, desk: Desk) -> None:
    case(desk, "good", expect={"verdict": "Allowed"})
    case(desk, "wrong", **fields)
    ran = run(desk)
    assert ran.code == 64
    assert words in ran.said
    assert "wrong.case.yaml" in ran.said


def test_no_case_at_all_is_no_pass(desk: Desk) -> None:
    (desk.root / "cases").mkdir()
    assert run(desk).code == 64

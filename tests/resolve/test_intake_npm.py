"""Intake of npm packages: a name and a range are taken, each trick is refused under its own code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.domain.errors import RefusalCode
from skillwarden.domain.package import Ecosystem
from skillwarden.domain.semver import parse_semver, parse_semver_range
from skillwarden.resolve.intake_npm import parse_node


@pytest.mark.parametrize(
    ("text", "name", "versions"),
    [
        ("lodash", "lodash", ""),
        ("lodash@4.17.21", "lodash", "4.17.21"),
        (" lodash@^4.17.21 ", "lodash", "^4.17.21"),
        ("lodash@~4.17", "lodash", "~4.17"),
        ("lodash@>=4.17.0  <5", "lodash", ">=4.17.0 <5"),
        ("lodash@1 || 2.x || >=4", "lodash", "1 || 2.x || >=4"),
        ("lodash@1.2.3 - 2.0.0", "lodash", "1.2.3 - 2.0.0"),
        ("lodash@*", "lodash", "*"),
        ("lodash@1.0.0-rc.1", "lodash", "1.0.0-rc.1"),
        ("@babel/core@^7", "@babel/core", "^7"),
        ("@babel/core", "@babel/core", ""),
        ("JSONStream@1", "JSONStream", "1"),
        ("socket.io@4", "socket.io", "4"),
        ("gitignore", "gitignore", ""),
        ("git-url@1", "git-url", "1"),
        ("file-loader@^6", "file-loader", "^6"),
        ("npm-run-all@4", "npm-run-all", "4"),
    ],
)
def test_a_name_and_a_range_are_taken(text: str, name: str, versions: str) -> None:
    intake = parse_node([text])
    assert intake.refusals == ()
    (item,) = intake.declared
    assert (item.ecosystem, item.name, item.specifier) == (Ecosystem.NPM, name, versions)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("lodash\n--registry=http://x", RefusalCode.CONTROL_CHARACTER),
        ("lodash\0", RefusalCode.CONTROL_CHARACTER),
        ("--registry=http://evil.example", RefusalCode.OPTION_LINE),
        ("-g", RefusalCode.OPTION_LINE),
        ("lodash@npm:evil@1", RefusalCode.ALIAS),
        ("npm:evil", RefusalCode.ALIAS),
        ("lodash@https://evil.example/x.tgz", RefusalCode.URL),
        ("http://evil.example/x", RefusalCode.URL),
        ("a@git+ssh://git@evil.example/x.git", RefusalCode.VCS),
        ("a@git://evil.example/x", RefusalCode.VCS),
        ("git@evil.example:x/y.git", RefusalCode.VCS),
        ("user/repo", RefusalCode.VCS),
        ("a@user/repo", RefusalCode.VCS),
        ("a@github:user/repo", RefusalCode.VCS),
        ("gist:11081aaa281", RefusalCode.VCS),
        ("a@file:../evil", RefusalCode.LOCAL_PATH),
        ("a@file:///etc", RefusalCode.LOCAL_PATH),
        ("a@link:../evil", RefusalCode.LOCAL_PATH),
        ("a@workspace:*", RefusalCode.LOCAL_PATH),
        ("./evil", RefusalCode.LOCAL_PATH),
        ("a@../evil", RefusalCode.LOCAL_PATH),
        ("/etc/passwd", RefusalCode.LOCAL_PATH),
        ("~/evil", RefusalCode.LOCAL_PATH),
        ("C:\\evil", RefusalCode.LOCAL_PATH),
        ("evil-1.0.0.tgz", RefusalCode.LOCAL_PATH),
        ("@scope/name; rm -rf x", RefusalCode.SHELL_CHARACTER),
        ("lodash@`id`", RefusalCode.SHELL_CHARACTER),
        ("lodash@$(id)", RefusalCode.SHELL_CHARACTER),
        ("lodash@1|sh", RefusalCode.SHELL_CHARACTER),
        ("lodash@latest", RefusalCode.TAG),
        ("lodash@next-14", RefusalCode.TAG),
        ("l\u043edash", RefusalCode.NON_ASCII),
        ("lodash\u200b", RefusalCode.NON_ASCII),
        ("a" * 513, RefusalCode.TOO_LONG),
        ("a" * 215, RefusalCode.SYNTAX),
        ("", RefusalCode.SYNTAX),
        ("lodash@", RefusalCode.SYNTAX),
        ("lodash @1", RefusalCode.SYNTAX),
        (".hidden", RefusalCode.SYNTAX),
        ("_private@1", RefusalCode.SYNTAX),
        ("node_modules", RefusalCode.SYNTAX),
        ("@scope", RefusalCode.SYNTAX),
        ("@scope/", RefusalCode.SYNTAX),
        ("@scope/../x", RefusalCode.SYNTAX),
        ("@a/b/c", RefusalCode.SYNTAX),
        ("lodash==4.17.21", RefusalCode.SYNTAX),
        ("lodash@>=1,<2", RefusalCode.SYNTAX),
        ("lodash@1@2", RefusalCode.SYNTAX),
        ("lodash express", RefusalCode.SYNTAX),
        ("lodash@>2 <1", RefusalCode.EMPTY_RANGE),
        ("lodash@<0.0.0-0", RefusalCode.EMPTY_RANGE),
        ("lodash@1.0.0 2.0.0", RefusalCode.EMPTY_RANGE),
    ],
)
def test_each_trick_is_refused_under_its_own_code(text: str, code: RefusalCode) -> None:
    intake = parse_node(["express", text])
    assert [item.name for item in intake.declared] == ["express"]
    (refusal,) = intake.refusals
    assert refusal.code is code
    assert refusal.field == "packages.node.dependencies[1]"
    assert refusal.message
    assert refusal.fix


def test_a_package_twice_is_refused_where_it_means_two_things() -> None:
    assert parse_node(["a@1", "a@1"]).refusals == ()
    (refusal,) = parse_node(["a@1", "a@2"]).refusals
    assert refusal.code is RefusalCode.DUPLICATE


ODD_TEXT = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="abzA019.-_~^<>=|*x@ /\\:'\"+#$`&%\n\t\0\u0430", max_size=30),
    st.builds(
        lambda a, b: a + b,
        st.sampled_from(["lodash@", "@a/", "@a/b@", "a@npm:", "a@file:"]),
        st.text(max_size=12),
    ),
)


@given(st.lists(ODD_TEXT, max_size=4))
def test_intake_never_raises_and_what_it_takes_is_a_name_and_a_range(texts: list[str]) -> None:
    intake = parse_node(texts)
    for item in intake.declared:
        assert re.fullmatch(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~][A-Za-z0-9._~-]*", item.name)
        assert re.fullmatch(r"[0-9A-Za-z.+*<>=~^| -]*", item.specifier)
        assert not item.specifier or parse_semver_range(item.specifier) is not None
        assert parse_node([item.requirement]).declared == (item,)
    for refusal in intake.refusals:
        shown = refusal.text + refusal.message + refusal.fix
        assert shown.isascii()
        assert shown.isprintable()
        assert len(refusal.text) <= 80


VERSIONS = ["0.0.0", "0.9.0", "1.0.0-rc.1", "1.0.0", "1.2.3", "1.9.9", "2.0.0-0", "2.0.0", "3.1.0"]
BOUNDS = st.builds(
    str.__add__, st.sampled_from(["", "=", "<", "<=", ">", ">=", "^", "~"]), st.sampled_from(VERSIONS)
)


@given(st.lists(BOUNDS, min_size=1, max_size=3), st.lists(BOUNDS, max_size=2))
def test_no_range_that_some_version_satisfies_is_called_empty(one: list[str], other: list[str]) -> None:
    text = " ".join(one) + (" || " + " ".join(other) if other else "")
    range_ = parse_semver_range(text)
    assert range_ is not None
    held = [version for version in map(parse_semver, VERSIONS) if version and range_.contains(version)]
    if held:
        assert not range_.empty, f"{text} takes {held[0]}"

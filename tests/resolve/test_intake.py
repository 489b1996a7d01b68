"""Intake: plain requirements are taken, each trick is refused under its own code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from skillwarden.domain.errors import Refusal, RefusalCode
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.ranges import is_empty_range


def refusal_of(*texts: str) -> Refusal:
    refusals = parse_python(texts).refusals
    assert len(refusals) == 1, refusals
    return refusals[0]


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("numpy", "numpy"),
        ("Flask_SQLAlchemy", "flask-sqlalchemy"),
        ("pandas>=2.2,<3", "pandas<3,>=2.2"),
        (" pandas >= 2.2 , < 3 ", "pandas<3,>=2.2"),
        ("requests[Socks,use_chardet]~=2.31", "requests[socks,use-chardet]~=2.31"),
        ("numpy (>=1.20)", "numpy>=1.20"),
        ("torch==2.1.0+cpu", "torch==2.1.0+cpu"),
        ("pytz==2024.*", "pytz==2024.*"),
        ("a===1.0", "a===1.0"),
        ("epoch>=1!2.0", "epoch>=1!2.0"),
        ("git-plus", "git-plus"),
        ("file-magic", "file-magic"),
    ],
)
def test_a_plain_requirement_is_taken_in_canonical_form(text: str, requirement: str) -> None:
    intake = parse_python([text])
    assert intake.refusals == ()
    assert [item.requirement for item in intake.declared] == [requirement]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("numpy\n--index-url https://evil.example", RefusalCode.CONTROL_CHARACTER),
        ("numpy\r", RefusalCode.CONTROL_CHARACTER),
        ("numpy\0", RefusalCode.CONTROL_CHARACTER),
        ("numpy\x1b[31m", RefusalCode.CONTROL_CHARACTER),
        ("numpy\u2028evil", RefusalCode.CONTROL_CHARACTER),
        ("numpy\x85", RefusalCode.CONTROL_CHARACTER),
        ("-r other.txt", RefusalCode.OPTION_LINE),
        ("  --index-url=https://evil.example/simple", RefusalCode.OPTION_LINE),
        ("-e .", RefusalCode.OPTION_LINE),
        ("--extra-index-url http://x", RefusalCode.OPTION_LINE),
        ("evil @ https://evil.example/evil.whl", RefusalCode.URL),
        ("https://evil.example/evil.tar.gz", RefusalCode.URL),
        ("evil@ftp://evil.example/x", RefusalCode.URL),
        ("lodash@4.17.21", RefusalCode.URL),
        ("evil @ git+https://evil.example/x.git", RefusalCode.VCS),
        ("git+ssh://git@evil.example/x", RefusalCode.VCS),
        ("evil@hg+http://evil.example", RefusalCode.VCS),
        ("git@evil.example:x.git", RefusalCode.VCS),
        ("./evil", RefusalCode.LOCAL_PATH),
        ("../evil", RefusalCode.LOCAL_PATH),
        (".", RefusalCode.LOCAL_PATH),
        ("/etc/passwd", RefusalCode.LOCAL_PATH),
        ("~/evil", RefusalCode.LOCAL_PATH),
        ("C:\\evil", RefusalCode.LOCAL_PATH),
        ("evil-1.0-py3-none-any.whl", RefusalCode.LOCAL_PATH),
        ("evil-1.0.tar.gz", RefusalCode.LOCAL_PATH),
        ("evil @ file:///tmp/evil", RefusalCode.LOCAL_PATH),
        ("file:evil", RefusalCode.LOCAL_PATH),
        ("numpy; rm -rf x", RefusalCode.SHELL_CHARACTER),
        ("numpy && curl x", RefusalCode.SHELL_CHARACTER),
        ("numpy|sh", RefusalCode.SHELL_CHARACTER),
        ("`id`", RefusalCode.SHELL_CHARACTER),
        ("$(id)", RefusalCode.SHELL_CHARACTER),
        ("numpy; python_version < '3.9'", RefusalCode.MARKER),
        ("numpy>=1 ; extra == 'x'", RefusalCode.MARKER),
        ("nump\u0443", RefusalCode.NON_ASCII),
        ("\uff4eumpy", RefusalCode.NON_ASCII),
        ("numpy\u200b", RefusalCode.NON_ASCII),
        ("numpy\u202e", RefusalCode.NON_ASCII),
        ("\ud800", RefusalCode.NON_ASCII),
        ("a" * 513, RefusalCode.TOO_LONG),
        ("\n" * 10_000, RefusalCode.TOO_LONG),
        ("", RefusalCode.SYNTAX),
        ("   ", RefusalCode.SYNTAX),
        ("numpy==", RefusalCode.SYNTAX),
        ("numpy # comment", RefusalCode.SYNTAX),
        ("numpy=1.0", RefusalCode.SYNTAX),
        ("numpy pandas", RefusalCode.SYNTAX),
        ("numpy_", RefusalCode.SYNTAX),
        ("numpy[extra_]", RefusalCode.SYNTAX),
        ("numpy===junk", RefusalCode.SYNTAX),
        ("numpy>2,<1", RefusalCode.EMPTY_RANGE),
        ("numpy==1,==2", RefusalCode.EMPTY_RANGE),
        ("numpy==1.*,!=1.*", RefusalCode.EMPTY_RANGE),
        ("numpy~=1.4,>=2", RefusalCode.EMPTY_RANGE),
    ],
)
def test_each_trick_is_refused_under_its_own_code(text: str, code: RefusalCode) -> None:
    intake = parse_python(["pandas", text])
    assert [item.name for item in intake.declared] == ["pandas"]
    (refusal,) = intake.refusals
    assert refusal.code is code
    assert refusal.field == "packages.python[1]"
    assert refusal.message
    assert refusal.fix


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nump\u0443", ("U+0443", "CYRILLIC SMALL LETTER U", "'y'", "'numpy'")),
        ("\uff4eumpy", ("FULLWIDTH LATIN SMALL LETTER N", "'n'", "'numpy'")),
        ("num\u200bpy", ("ZERO WIDTH SPACE", "Remove the character")),
        ("p\u00ebndas", ("LATIN SMALL LETTER E WITH DIAERESIS", "'e'", "'pendas'")),
    ],
)
def test_a_homoglyph_is_named_with_its_ascii_look_alike(text: str, words: tuple[str, ...]) -> None:
    refusal = refusal_of(text)
    for word in words:
        assert word in refusal.message + " " + refusal.fix
    assert (refusal.text + refusal.message + refusal.fix).isascii()


def test_the_same_package_twice_with_one_meaning_is_one() -> None:
    intake = parse_python(["Numpy >=1", "numpy>=1", "numpy>=1"])
    assert [item.requirement for item in intake.declared] == ["numpy>=1"]
    assert intake.refusals == ()


@pytest.mark.parametrize("second", ["numpy<3", "NumPy[extra]", "numpy"])
def test_the_same_package_with_another_meaning_is_a_duplicate(second: str) -> None:
    refusal = refusal_of("numpy>=1", second)
    assert refusal.code is RefusalCode.DUPLICATE
    assert "numpy>=1" in refusal.message


def test_credentials_in_an_address_are_not_repeated() -> None:
    refusal = refusal_of("evil @ https://user:hunter2@evil.example/x")
    assert "hunter2" not in refusal.text + refusal.message + refusal.fix


def test_an_order_of_entries_does_not_matter() -> None:
    assert parse_python(["b", "a"]).declared == parse_python(["a", "b"]).declared


ODD_TEXT = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="abzAZ019.-_[]()<>=!~,;@ /\\:'\"+*#$`|&%\n\t\0\u0430", max_size=30),
    st.builds(
        lambda a, b: a + b, st.sampled_from(["numpy", "a @ ", "a>=", "-r", "a[", "a;"]), st.text(max_size=12)
    ),
)


@given(st.lists(ODD_TEXT, max_size=4))
def test_intake_never_raises_and_what_it_takes_is_plain(texts: list[str]) -> None:
    intake = parse_python(texts)
    for item in intake.declared:
        again = Requirement(item.requirement)
        assert again.url is None
        assert again.marker is None
        assert item.requirement.isascii()
        assert item.requirement.isprintable()
        assert not set(item.requirement) & set(";&|`$/\\@")
        assert parse_python([item.requirement]).declared == (item,)
    for refusal in intake.refusals:
        shown = refusal.text + refusal.message + refusal.fix
        assert shown.isascii()
        assert shown.isprintable()
        assert len(refusal.text) <= 80


RELEASES = ["0", "1", "1.0", "1.1", "1.1.2", "2", "2.0.1", "1!0.5"]
SUFFIXES = ["", "a1", "rc2", ".post1", ".dev3"]
GRID = [
    Version(release + suffix + local)
    for release in [*RELEASES, "0.9", "1.2", "1.1.9", "3", "1!1"]
    for suffix in ["", "a1", "a0.dev0", "rc2", "rc3", ".post1", ".post2", ".dev3", ".dev0", ".post1.dev0"]
    for local in ["", "+x"]
]


@st.composite
def specifier_sets(draw: st.DrawFn) -> SpecifierSet:
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        operator = draw(st.sampled_from([">=", ">", "<=", "<", "==", "!=", "~=", "===", "==*", "!=*"]))
        release = draw(st.sampled_from(RELEASES))
        if operator.endswith("*"):
            parts.append(f"{operator[:-1]}{release}.*")
            continue
        local = draw(st.sampled_from(["", "+x"])) if operator in {"==", "!=", "==="} else ""
        parts.append(operator + release + draw(st.sampled_from(SUFFIXES)) + local)
    try:
        return SpecifierSet(",".join(parts))
    except InvalidSpecifier:
        return SpecifierSet(">=1")


@given(specifier_sets())
def test_no_range_that_some_version_satisfies_is_called_empty(specifiers: SpecifierSet) -> None:
    satisfied = [version for version in GRID if specifiers.contains(version, prereleases=True)]
    if satisfied:
        assert not is_empty_range(specifiers), f"{specifiers} takes {satisfied[0]}"


@pytest.mark.parametrize(
    "text", [">=1,<1", ">1,<=1", "==1,!=1", "~=1.4.5,<1.4", "==1.*,==2.*", "==1,>1", ">=2,!=2,<=2"]
)
def test_a_range_with_nothing_in_it_is_empty(text: str) -> None:
    assert is_empty_range(SpecifierSet(text))


@pytest.mark.parametrize("text", ["", ">=1", ">=1,<=1", "==1,==1+x", "!=1", "==1.*,!=1.1.*", "===1,<0"])
def test_a_range_that_might_hold_something_is_not_empty(text: str) -> None:
    assert not is_empty_range(SpecifierSet(text))

"""npm's versions, ranges and names in the domain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_domain import make_lock, make_mixed_lock

from skillwarden.domain.closure import closure_of
from skillwarden.domain.finding import ScannerName
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import DeclaredPackage, Ecosystem, PackageId
from skillwarden.domain.ranges import lowest_above, parse_range, sort_versions
from skillwarden.domain.semver import parse_semver, parse_semver_range

NPM = Ecosystem.NPM
VERSIONS = st.builds(
    lambda core, pre: ".".join(map(str, core)) + (f"-{pre}" if pre else ""),
    st.tuples(*[st.integers(0, 3)] * 3),
    st.sampled_from(["", "alpha", "rc.1", "rc.2", "1"]),
)


@pytest.mark.parametrize(
    ("text", "version", "matches", "banned"),
    [
        ("^1.2.0", "1.9.9", True, True),
        ("^1.2.0", "2.0.0", False, False),
        ("<1.0.0", "0.9.9", True, True),
        ("<1.0.0", "1.0.0", False, False),
        (">=1.0.0-rc.1 <2", "1.0.0-rc.2", True, True),
        ("<2.0.0", "1.5.0-beta", True, True),
        ("<2.0.0", "2.0.0-rc.1", False, True),
        ("1.x", "1.0.0-rc.1", False, True),
        ("^1", "1.0.0-rc.1", False, True),
        (">=1", "1.0.0-rc.1", False, True),
        (">1", "2.0.0-0", False, True),
        (">1", "1.9.9", False, False),
        (">=1.0.0", "1.0.0-rc.1", False, True),
        (">1.0.0", "1.0.0-rc.1", False, False),
        (">=1.0.0-rc.1", "1.0.0-beta", False, False),
        ("=1.2.3", "1.2.3-rc.1", False, False),
        ("1.x || >=3.0.0", "2.5.0", False, False),
        ("1.x || >=3.0.0", "3.0.1", True, True),
        ("=1.2.3", "1.2.3", True, True),
        ("*", "odd", True, True),
        ("<1.0.0", "odd", False, True),
        ("latest", "1.0.0", False, True),
    ],
)
def test_a_range_of_a_rule_and_of_a_ban(text: str, version: str, matches: bool, banned: bool) -> None:
    range_ = parse_range(NPM, text)
    assert range_.matches(version) is matches
    assert range_.may_hold(version) is banned


@given(VERSIONS, VERSIONS)
def test_a_ban_holds_all_that_the_order_of_versions_puts_inside(one: str, two: str) -> None:
    first, second = parse_semver(one), parse_semver(two)
    assert first is not None and second is not None
    assert parse_range(NPM, f"<{two}").may_hold(one) is (first < second)
    assert parse_range(NPM, f">{two}").may_hold(one) is (first > second)
    of_it = first.prerelease and not second.prerelease and first.core == second.core
    assert parse_range(NPM, f">={two}").may_hold(one) is (first >= second or of_it)
    assert parse_range(NPM, f">={two}").matches(one) is (first >= second)


@given(st.text(max_size=300))
def test_no_text_makes_the_parsers_raise(text: str) -> None:
    parse_semver(text)
    parse_semver_range(text)


@pytest.mark.parametrize("length", [257, 100_000])
def test_a_text_longer_than_a_version_can_be_is_none(length: int) -> None:
    assert parse_semver("1.2.3-" + "a" * length) is None
    assert parse_semver_range("1.2.3 " * length) is None


def test_versions_are_in_the_order_of_semver() -> None:
    found = sort_versions(NPM, ["1.10.0", "1.9.0", "1.10.0-rc.2", "1.10.0-rc.10", "odd"])
    assert found == ("1.9.0", "1.10.0-rc.2", "1.10.0-rc.10", "1.10.0", "odd")
    assert lowest_above(NPM, "1.9.0", ["1.10.0", "1.9.0", "1.10.0-rc.2"]) == "1.10.0-rc.2"


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("v1.2.3", "1.2.3"),
        ("=1.2.3", "1.2.3"),
        ("1.2.3+build.5", "1.2.3"),
        ("1.2", "1.2"),
        ("1.2.3-rc.1", "1.2.3-rc.1"),
    ],
)
def test_a_version_has_one_spelling(written: str, known: str) -> None:
    assert PackageId.of(NPM, "left-pad", written).version == known


@pytest.mark.parametrize(
    ("specifier", "pinned"),
    [
        ("1.2.3", "1.2.3"),
        ("=1.2.3", "1.2.3"),
        ("^1.2.3", None),
        ("1.x", None),
        ("", None),
        ("1.2.3 || 2.0.0", None),
    ],
)
def test_a_bare_version_pins(specifier: str, pinned: str | None) -> None:
    assert DeclaredPackage(NPM, "left-pad", specifier=specifier).pinned_version == pinned


def test_a_scoped_package_has_a_purl_with_an_escaped_scope() -> None:
    assert PackageId.of(NPM, "@acme/core", "1.0.0").purl == "pkg:npm/%40acme/core@1.0.0"


def npm(name: str, version: str, *locations: str, parents: tuple[PackageId, ...] = ()) -> LockedPackage:
    return LockedPackage(
        PackageId.of(NPM, name, version),
        Artefact(f"{name}-{version}.tgz", "sha512:" + "a" * 128),
        parents,
        direct=not parents,
        locations=locations,
    )


def test_several_versions_of_a_name_are_kept_apart() -> None:
    top, old = npm("ms", "2.1.3", "node_modules/ms"), npm("debug", "2.0.0", "node_modules/debug")
    nested = npm("ms", "0.7.0", "node_modules/debug/node_modules/ms", parents=(old.id,))
    lock = Lock(Platform(node="24"), (top, old, nested))
    assert lock.paths[nested.id] == ("debug", "ms")
    assert lock.paths[top.id] == ("ms",)
    assert closure_of(lock).by_root[old.id] == {lock.packages.index(item) for item in (old, nested)}


def test_two_packages_at_one_location_are_no_lock() -> None:
    with pytest.raises(ValueError, match="location"):
        Lock(Platform(node="24"), (npm("a", "1.0.0", "node_modules/x"), npm("b", "1.0.0", "node_modules/x")))


def test_where_a_package_lies_is_part_of_the_digest() -> None:
    one = Lock(Platform(node="24"), (npm("a", "1.0.0", "node_modules/a"),))
    two = Lock(Platform(node="24"), (npm("a", "1.0.0", "node_modules/b/node_modules/a"),))
    assert one.digest != two.digest


def test_a_mixed_lock_survives_json_and_keeps_equal_names_apart() -> None:
    lock = make_mixed_lock()
    assert Lock.from_json(lock.to_json()) == lock
    assert lock.ecosystems == {Ecosystem.PYPI, NPM}
    closure = closure_of(lock)
    assert {id_.ecosystem for id_ in closure.ids_for(ScannerName.NPM_AUDIT)} == {NPM}
    assert {id_.ecosystem for id_ in closure.ids_for(ScannerName.PIP_AUDIT)} == {Ecosystem.PYPI}
    assert closure.ids_for(ScannerName.OSV) == closure.ids


def test_a_digest_of_another_shape_is_not_read() -> None:
    record = make_lock("numpy 2.1").to_json()
    record["packages"][0]["digest"] = "md5:" + "0" * 32
    with pytest.raises(ValueError, match="sha256"):
        Lock.from_json(record)


@pytest.mark.parametrize(
    "platform",
    [
        Platform("3.12"),
        Platform(node="24"),
        Platform("3.12", node="24"),
        Platform("3.12", "musl-1.2", "arm64"),
    ],
    ids=str,
)
def test_a_platform_is_read_as_it_is_written(platform: Platform) -> None:
    assert Platform.parse(str(platform)) == platform


@pytest.mark.parametrize(
    "text", ["linux-amd64-glibc-2.28", "python3.12-windows-amd64-x", "ruby3-linux-amd64-glibc-2.28"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="platform"):
        Platform.parse(text)

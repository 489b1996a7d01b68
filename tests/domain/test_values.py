"""Locks, contents, names and packages: identity that cannot be bent."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from make_domain import PLATFORM, declare, make_lock, make_package

from skillwarden.domain.content import MAX_SOURCE_BYTES, content_digest, pack, unpack
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform, resolution_key
from skillwarden.domain.naming import MAX_NAME, child_name, label_value, short_digest
from skillwarden.domain.package import DeclaredPackage, Ecosystem, PackageId
from skillwarden.domain.skill import SourceFile

TEXT = st.text(alphabet='ab",[]\\ \0é', max_size=6)
SHA = st.sampled_from(["sha256:" + "0" * 64, "sha256:" + "f" * 64, "sha512:" + "0" * 128])
PLATFORMS = st.sampled_from([Platform("3.12"), Platform("3.11"), Platform("3.12", arch="arm64")])
TIMES = st.none() | st.datetimes(min_value=datetime(2020, 1, 1), timezones=st.just(UTC))
PACKAGES = st.builds(
    LockedPackage,
    id=st.builds(PackageId, st.just(Ecosystem.PYPI), TEXT, TEXT),
    artefact=st.builds(Artefact, TEXT, SHA, url=TEXT, size=st.none() | st.integers(0, 9), uploaded_at=TIMES),
    parents=st.lists(st.builds(PackageId, st.just(Ecosystem.PYPI), TEXT, TEXT), max_size=2).map(tuple),
    direct=st.booleans(),
)
CLOSURES = st.lists(PACKAGES, max_size=4, unique_by=lambda package: package.id.name).map(tuple)


def identity(lock: Lock) -> Any:
    """What DESIGN 1.3 says a lock is."""
    return lock.platform, {(item.id, item.artefact.filename, item.artefact.digest) for item in lock.packages}


@given(PLATFORMS, CLOSURES, st.randoms(use_true_random=False))
def test_a_lock_digest_does_not_depend_on_the_order(platform: Platform, packages: Any, random: Any) -> None:
    shuffled = list(packages)
    random.shuffle(shuffled)
    assert Lock(platform, packages).digest == Lock(platform, tuple(shuffled)).digest


@given(PLATFORMS, CLOSURES, PLATFORMS, CLOSURES)
def test_two_locks_have_one_digest_only_if_they_are_the_same_artefacts(
    platform: Platform, packages: Any, other_platform: Platform, others: Any
) -> None:
    one, two = Lock(platform, packages), Lock(other_platform, others)
    assert (one.digest == two.digest) is (identity(one) == identity(two))


LOCKED = make_package("numpy 2.1")


@pytest.mark.parametrize(
    ("sentence", "changed", "same"),
    [
        ("the hash", replace(LOCKED, artefact=replace(LOCKED.artefact, digest="sha256:" + "0" * 64)), False),
        ("the file name", replace(LOCKED, artefact=replace(LOCKED.artefact, filename="x.whl")), False),
        ("the version", replace(LOCKED, id=PackageId.of(Ecosystem.PYPI, "numpy", "2.2")), False),
        ("the name", replace(LOCKED, id=PackageId.of(Ecosystem.PYPI, "numpi", "2.1")), False),
        ("where it lies", replace(LOCKED, artefact=replace(LOCKED.artefact, url="http://mirror")), True),
        (
            "who requires it",
            replace(LOCKED, parents=(PackageId.of(Ecosystem.PYPI, "pandas", "2.2"),), direct=False),
            True,
        ),
    ],
)
def test_the_digest_changes_with(sentence: str, changed: LockedPackage, same: bool) -> None:
    assert (Lock(PLATFORM, (LOCKED,)).digest == Lock(PLATFORM, (changed,)).digest) is same, sentence


def test_fields_of_a_lock_do_not_run_together() -> None:
    one = replace(LOCKED, id=PackageId(Ecosystem.PYPI, "a", "bc"))
    two = replace(LOCKED, id=PackageId(Ecosystem.PYPI, "ab", "c"))
    assert Lock(PLATFORM, (one,)).digest != Lock(PLATFORM, (two,)).digest


def test_empty_locks_of_two_platforms_differ() -> None:
    assert Lock(Platform("3.12"), ()).digest != Lock(Platform("3.11"), ()).digest


def test_a_lock_holds_each_package_once() -> None:
    with pytest.raises(ValueError, match="once"):
        Lock(PLATFORM, (make_package("numpy 2.1"), make_package("numpy 2.2")))


REAL = st.lists(
    st.builds(
        lambda name, version, sha, url, size, at, parents, direct: LockedPackage(
            PackageId.of(Ecosystem.PYPI, name, version),
            Artefact(f"{name}.whl", sha, url, size, at),
            parents,
            direct,
        ),
        st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True),
        st.from_regex(r"[0-9]\.[0-9](rc1)?", fullmatch=True),
        SHA,
        TEXT,
        st.none() | st.integers(0, 9),
        TIMES,
        st.lists(
            st.sampled_from([PackageId.of(Ecosystem.PYPI, name, "1") for name in "ab"]), unique=True
        ).map(tuple),
        st.booleans(),
    ),
    max_size=4,
    unique_by=lambda package: package.id.name,
).map(tuple)


@given(PLATFORMS, REAL)
def test_a_lock_survives_json(platform: Platform, packages: Any) -> None:
    lock = Lock(platform, packages)
    read = Lock.from_json(lock.to_json())
    assert read == lock
    assert read.digest == lock.digest


def test_paths_are_the_shortest_and_end_in_a_cycle() -> None:
    lock = make_lock("a 1 > b 1 > c 1 > b 1", "d 1 > c 1")
    assert {item.name: path for item, path in lock.paths.items()} == {
        "a": ("a",),
        "b": ("a", "b"),
        "c": ("d", "c"),
        "d": ("d",),
    }


@given(PLATFORMS)
def test_a_platform_survives_its_text(platform: Platform) -> None:
    assert Platform.parse(str(platform)) == platform


@pytest.mark.parametrize(
    "text", ["", "python3.12", "python3.12-windows-amd64-x", "3.12-linux-amd64-glibc-2.28"]
)
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Platform.parse(text)


def test_a_resolution_is_kept_by_packages_platform_and_index_in_any_order() -> None:
    one = resolution_key(declare("a>=1", "b"), platform=PLATFORM, index="i")
    assert one == resolution_key(declare("b", "a>=1"), platform=PLATFORM, index="i")
    for other in (
        resolution_key(declare("a>=2", "b"), platform=PLATFORM, index="i"),
        resolution_key(declare("a>=1", "b"), platform=Platform("3.11"), index="i"),
        resolution_key(declare("a>=1", "b"), platform=PLATFORM, index="j"),
    ):
        assert one != other


SEGMENT = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
PATHS = st.lists(SEGMENT, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".py")
FILES = st.lists(st.builds(SourceFile, PATHS, st.binary(max_size=8)), max_size=4, unique_by=lambda f: f.path)


@given(FILES, st.randoms(use_true_random=False))
def test_what_is_packed_unpacks_and_order_does_not_matter(files: list[SourceFile], random: Any) -> None:
    shuffled = files[:]
    random.shuffle(shuffled)
    assert pack(shuffled) == pack(files)
    assert unpack(pack(files)) == tuple(sorted(files, key=lambda file: file.path))


@given(FILES, FILES)
def test_two_sources_have_one_digest_only_if_they_are_the_same_files(one: Any, two: Any) -> None:
    same = {(f.path, f.content) for f in one} == {(f.path, f.content) for f in two}
    assert (content_digest(one) == content_digest(two)) is same


@given(FILES, st.data())
def test_bytes_that_pack_would_not_write_are_refused(files: list[SourceFile], data: Any) -> None:
    packed = pack(files)
    at = data.draw(st.integers(0, len(packed)))
    bent = packed[:at] + data.draw(st.sampled_from([b" ", b"\n", b"x", b"[", b"="])) + packed[at:]
    try:
        read = unpack(bent)
    except InvalidInputError:
        return
    assert pack(read) == bent


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "./a",
        "a/.",
        "a\\b",
        "a\nb",
        "a\x00b",
        "a" * 256,
        "é" * 128,
        "a/",
    ],
)
def test_a_path_that_leaves_its_folder_or_cannot_be_shown_is_refused(path: str) -> None:
    with pytest.raises(InvalidInputError):
        pack([SourceFile(path, b"")])


@pytest.mark.parametrize(
    ("sentence", "files"),
    [
        ("twice the same path", [SourceFile("a", b"1"), SourceFile("a", b"2")]),
        ("a file below a file", [SourceFile("a", b""), SourceFile("a/b", b"")]),
        (
            "a file below a file with another between",
            [SourceFile("a", b""), SourceFile("a-b", b""), SourceFile("a/b", b"")],
        ),
        ("too many bytes", [SourceFile("a", b"x" * (MAX_SOURCE_BYTES + 1))]),
        ("too many files", [SourceFile(f"f{number}", b"") for number in range(257)]),
    ],
)
def test_a_source_is_refused_for(sentence: str, files: list[SourceFile]) -> None:
    with pytest.raises(InvalidInputError):
        pack(files)
    assert sentence


RFC_1123 = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
BASES = st.text(max_size=90) | st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True)


@given(BASES, st.lists(st.text(max_size=5), max_size=3), st.sampled_from(["", "0", "17"]))
def test_a_childs_name_is_a_label_of_at_most_63_characters(base: str, parts: list[str], suffix: str) -> None:
    name = child_name(base, *parts, suffix=suffix)
    assert len(name) <= MAX_NAME == 63
    assert RFC_1123.fullmatch(name)
    assert name == child_name(base, *parts, suffix=suffix)


@given(BASES, BASES, st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_two_owners_or_identities_have_two_names(
    one: str, two: str, first: list[str], second: list[str]
) -> None:
    assume((one, first) != (two, second))
    assert child_name(one, *first) != child_name(two, *second)


def test_parts_of_an_identity_do_not_run_together() -> None:
    assert short_digest("ab", "c") != short_digest("a", "bc")
    assert short_digest("a\0001:b") != short_digest("a", "b")


@given(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True))
def test_a_label_value_fits_and_short_ones_stay(name: str) -> None:
    value = label_value(name)
    assert len(value) <= 63
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", value)
    assert (value == name) is (len(name) <= 63)


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("NumPy", "2.1.0", "numpy 2.1.0"),
        ("ruamel_yaml", "v1.0", "ruamel-yaml 1.0"),
        ("a..b__c", "1.0-rc.1", "a-b-c 1.0rc1"),
        ("x", "1.0.0", "x 1.0.0"),
        ("x", "odd", "x odd"),
    ],
)
def test_a_package_has_one_spelling(name: str, version: str, expected: str) -> None:
    identity = PackageId.of(Ecosystem.PYPI, name, version)
    assert str(identity) == expected
    assert PackageId.of(Ecosystem.PYPI, identity.name, identity.version) == identity


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True))
def test_normalising_a_name_twice_is_normalising_it_once(name: str) -> None:
    once = PackageId.of(Ecosystem.PYPI, name, "1").name
    assert PackageId.of(Ecosystem.PYPI, once, "1").name == once
    assert once == PackageId.of(Ecosystem.PYPI, name.swapcase().replace("-", "_"), "1").name


@pytest.mark.parametrize(
    ("requirement", "pinned"),
    [
        ("numpy==1.21.0", "1.21.0"),
        ("numpy===1.21.0", "1.21.0"),
        ("numpy==1.*", None),
        ("numpy>=1", None),
        ("numpy==1.0,!=2", None),
        ("numpy", None),
    ],
)
def test_only_a_single_exact_version_is_a_pin(requirement: str, pinned: str | None) -> None:
    (package,) = declare(requirement)
    assert package.pinned_version == pinned


def test_requirements_have_one_spelling() -> None:
    assert declare("Numpy[B,a] <3, >=2") == (DeclaredPackage(Ecosystem.PYPI, "numpy", ("a", "b"), "<3,>=2"),)

"""Reading records without trust: severity, malformed entries, withdrawal, what is unreadable."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.advisories.record import UnreadableRecordError, parse_record
from skillwarden.domain.finding import Severity
from skillwarden.domain.package import Ecosystem, PackageId

CRITICAL_V3 = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
MEDIUM_V3 = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"}
NONE_V3 = {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"}
CRITICAL_V4 = {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"}

Make = Callable[..., dict[str, Any]]
MakeIndex = Callable[..., AdvisoryIndex]


def pkg(version: str, name: str = "widget") -> PackageId:
    return PackageId.of(Ecosystem.PYPI, name, version)


SEVERITIES: dict[str, tuple[dict[str, Any], Severity]] = {
    "a CVSS v3 vector": ({"severity": [CRITICAL_V3]}, Severity.CRITICAL),
    "a CVSS v4 vector": ({"severity": [CRITICAL_V4]}, Severity.CRITICAL),
    "the worst of two vectors": ({"severity": [MEDIUM_V3, CRITICAL_V4]}, Severity.CRITICAL),
    "a vector of the affected entry": (
        {"severity": [MEDIUM_V3], "entry": {"severity": [CRITICAL_V3]}},
        Severity.CRITICAL,
    ),
    "a vector counts before the database's word": (
        {"severity": [MEDIUM_V3], "database_specific": {"severity": "LOW"}},
        Severity.MEDIUM,
    ),
    "the database's word": ({"database_specific": {"severity": "MODERATE"}}, Severity.MEDIUM),
    "the database's word where the vector cannot be read": (
        {
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/garbage"}],
            "database_specific": {"severity": "high"},
        },
        Severity.HIGH,
    ),
    "a score of nothing is still an advisory": ({"severity": [NONE_V3]}, Severity.LOW),
    "an unknown word": ({"database_specific": {"severity": "spicy"}}, Severity.UNKNOWN),
    "severity of the wrong type": ({"severity": "CRITICAL"}, Severity.UNKNOWN),
    "nothing": ({}, Severity.UNKNOWN),
}


@pytest.mark.parametrize("sentence", SEVERITIES)
def test_severity_is_the_worst_that_is_stated(
    sentence: str, make_record: Make, make_index: MakeIndex
) -> None:
    fields, expected = SEVERITIES[sentence]
    [advisory] = make_index(make_record(**fields)).affecting(pkg("1.0"))
    assert advisory.severity is expected


MALFORMED: dict[str, dict[str, Any]] = {
    "a fix that is no version": {"events": [{"introduced": "0"}, {"fixed": "2019-09-12x"}]},
    "ranges that are no list": {"ranges": {}},
    "an empty object for the versions": {"versions": {}},
    "versions that are no strings": {"versions": [1.0]},
    "a range without events": {"ranges": [{"type": "ECOSYSTEM", "events": []}]},
    "a range that never begins": {"events": [{"fixed": "2.0"}]},
    "a range of an unknown type": {"ranges": [{"type": "VIBES", "events": [{"introduced": "0"}]}]},
    "an unknown event": {"events": [{"introduced": "0"}, {"mended": "2.0"}]},
    "only a git range": {"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]},
    "neither ranges nor versions": {"ranges": []},
}


@pytest.mark.parametrize("sentence", MALFORMED)
def test_an_entry_that_cannot_be_evaluated_affects_every_version_and_says_so(
    sentence: str, make_record: Make, make_index: MakeIndex
) -> None:
    record = make_record(severity=[CRITICAL_V3], **MALFORMED[sentence])
    index = make_index(record, make_record("PYSEC-2", package="other"))
    [advisory] = index.affecting(pkg("999"))
    assert (advisory.id, advisory.severity) == ("PYSEC-1", Severity.UNKNOWN)
    assert advisory.unevaluated
    assert index.affecting(pkg("999", "other")) == ()
    assert index.counts()[Ecosystem.PYPI].malformed == 1


def test_a_git_range_beside_a_list_is_ignored(make_record: Make, make_index: MakeIndex) -> None:
    git = {"type": "GIT", "repo": "https://example.invalid/x", "events": [{"introduced": "0"}]}
    index = make_index(make_record(ranges=[git], versions=["1.0"]))
    assert index.affecting(pkg("1.0"))
    assert index.affecting(pkg("1.1")) == ()


UNREADABLE: dict[str, bytes] = {
    "empty": b"",
    "truncated": b'{"id": "PYSEC-1", "aff',
    "a list": b"[]",
    "no id": b'{"affected": []}',
    "a schema of the future": b'{"id": "X", "schema_version": "2.0.0"}',
    "a schema version that is none": b'{"id": "X", "schema_version": 1}',
    "affected that is no list": b'{"id": "X", "affected": {}}',
    "half a surrogate pair": b'{"id": "X", "summary": "\\ud800"}',
    "nested beyond reason": b'{"id":' + b"[" * 100_000,
    "not UTF-8": b'{"id": "\xff\xfe"}',
}


@pytest.mark.parametrize("sentence", UNREADABLE)
def test_bytes_that_are_no_record_are_refused_with_a_reason(sentence: str) -> None:
    with pytest.raises(UnreadableRecordError):
        parse_record(UNREADABLE[sentence])


def test_an_entry_without_a_package_is_a_problem_and_the_others_still_count(make_record: Make) -> None:
    document = make_record()
    document["affected"].insert(0, {"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]})
    record = parse_record(json.dumps(document).encode())
    assert [entry.name for entry in record.entries] == ["widget"]
    assert record.problems == ("affected[0] names no package",)


def test_other_ecosystems_are_left_out(make_record: Make) -> None:
    document = make_record(entry={"package": {"ecosystem": "Debian:12", "name": "widget"}})
    record = parse_record(json.dumps(document).encode())
    assert (record.entries, record.problems) == ((), ())


def test_a_withdrawn_record_matches_nothing_and_a_strange_withdrawal_does_not_count(
    make_record: Make, make_index: MakeIndex
) -> None:
    index = make_index(
        make_record("PYSEC-1", withdrawn="2024-01-01T00:00:00.123456789Z"),
        make_record("PYSEC-2", withdrawn="soon"),
    )
    assert [advisory.id for advisory in index.affecting(pkg("1.0"))] == ["PYSEC-2"]
    withdrawn = index.advisory("PYSEC-1")
    assert withdrawn is not None and withdrawn.withdrawn
    assert index.counts()[Ecosystem.PYPI].withdrawn == 1


def test_a_summary_is_one_printable_line(make_record: Make, make_index: MakeIndex) -> None:
    [advisory] = make_index(make_record(summary="a\nb\x1b[31m\u202ec " + "x" * 5000)).affecting(pkg("1"))
    assert advisory.summary.startswith("a b [31m c x")
    assert len(advisory.summary) <= 240


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(
    affected=st.lists(
        st.fixed_dictionaries(
            {"package": st.just({"ecosystem": "PyPI", "name": "widget"})},
            optional={"ranges": JSON, "versions": JSON, "severity": JSON},
        ),
        min_size=1,
        max_size=3,
    ),
    rest=st.fixed_dictionaries({}, optional={"aliases": JSON, "summary": JSON, "published": JSON}),
)
def test_no_entry_that_names_its_package_is_ever_lost(
    affected: list[dict[str, Any]], rest: dict[str, Any]
) -> None:
    record = parse_record(json.dumps({"id": "X-1", "affected": affected, **rest}).encode())
    assert [entry.name for entry in record.entries] == ["widget"] * len(affected)
    for entry in record.entries:
        assert entry.affected.malformed or entry.affected.versions or entry.affected.ranges

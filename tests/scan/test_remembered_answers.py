"""What pip-audit said of a package is said once a revision; an error is never kept; nothing is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.domain.finding import Finding, FindingKind, ScanState
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.scan.pip_audit import PipAuditScanner
from skillwarden.scan.remembered import Remembered

MakeLock = Callable[..., Lock]
MakeIndex = Callable[..., AdvisoryIndex]
MakeAdvisory = Callable[..., dict[str, Any]]
Fake = Callable[[str], tuple[str, ...]]

#: Notes what it is asked about; fails where a file says so.
NOTES = """\
    with open({asked!r}, "a") as file:
        file.write(json.dumps([name for name, _ in pins]) + "\\n")
    if os.path.exists({fail!r}):
        sys.exit(3)
    for row in clean:
        if row["name"] == "evil":
            row["vulns"] = [{{"id": "PYSEC-1", "fix_versions": [], "aliases": []}}]
    print(json.dumps({{"dependencies": clean}}))
    sys.exit(int(any(row["vulns"] for row in clean)))
    """


class Desk:
    """A scanner whose pip-audit notes what it was asked."""

    def __init__(self, folder: Path, index: AdvisoryIndex, fake: Fake) -> None:
        self.index = index
        self._asked, self.fail = folder / "asked", folder / "fail"
        command = fake(NOTES.format(asked=str(self._asked), fail=str(self.fail)))
        self.scanner = PipAuditScanner(lambda: self.index, command=command)

    @property
    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in self._asked.read_text().splitlines()]


@pytest.fixture
def desk(tmp_path: Path, make_index: MakeIndex, make_advisory: MakeAdvisory, fake_pip_audit: Fake) -> Desk:
    return Desk(tmp_path, make_index(make_advisory("PYSEC-1", "evil", fixed=None)), fake_pip_audit)


async def test_a_package_is_asked_about_once_a_revision(
    desk: Desk, make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    first = await desk.scanner.scan(make_lock("widget==1.0", "evil==1.0"))
    again = await desk.scanner.scan(make_lock("widget==1.0", "evil==1.0"))
    assert again == first
    more = await desk.scanner.scan(make_lock("evil==1.0", "gadget==2.0"))
    assert {package.name for package in more.audited} == {"evil", "gadget"}
    assert [finding.id for finding in more.findings] == ["PYSEC-1"]
    assert desk.asked == [["evil", "widget"], ["gadget"]]
    # Another version is another package.
    await desk.scanner.scan(make_lock("widget==1.1"))
    desk.index = make_index(make_advisory("PYSEC-2", "other"))
    await desk.scanner.scan(make_lock("widget==1.0"))
    assert desk.asked[2:] == [["widget"], ["widget"]]


async def test_an_error_is_not_kept(desk: Desk, make_lock: MakeLock) -> None:
    await desk.scanner.scan(make_lock("widget==1.0"))
    desk.fail.touch()
    for _ in range(2):
        report = await desk.scanner.scan(make_lock("widget==1.0", "evil==1.0"))
        assert (report.state, report.findings) == (ScanState.ERROR, ())
    desk.fail.unlink()
    report = await desk.scanner.scan(make_lock("widget==1.0", "evil==1.0"))
    assert [finding.id for finding in report.findings] == ["PYSEC-1"]
    assert desk.asked == [["widget"], ["evil"], ["evil"], ["evil"]]


PACKAGES = [PackageId.of(Ecosystem.PYPI, f"p{number}", "1") for number in range(8)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.lists(st.sampled_from(PACKAGES), unique=True),
            st.lists(st.sampled_from(PACKAGES), unique=True),
        )
    ),
    st.integers(1, 8),
)
def test_what_is_recalled_is_what_was_kept_at_this_revision(
    steps: Sequence[tuple[str, list[PackageId], list[PackageId]]], limit: int
) -> None:
    memory = Remembered(limit)
    kept: dict[PackageId, tuple[Finding, ...]] = {}
    newest = ""
    for revision, packages, evil in steps:
        findings = [
            Finding(FindingKind.VULNERABILITY, package, revision) for package in evil if package in packages
        ]
        memory.keep(revision, packages, findings)
        if revision != newest:
            newest, kept = revision, {}
        kept |= {package: tuple(item for item in findings if item.package == package) for package in packages}
        found = memory.recall(revision, PACKAGES)
        assert len(found) <= limit
        assert all(found[package] == kept[package] for package in found)
        assert memory.recall("c", PACKAGES) == {}

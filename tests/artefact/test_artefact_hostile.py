"""Archives made to harm their reader: refused with a reason, and nothing of them gets out of the process."""

from __future__ import annotations

import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from artefact_support import Desk, bomb, npm_of, tar_of, wheel_of, zip_of

from skillwarden.artefact import archive
from skillwarden.artefact.archive import UnreadableArchiveError, ZipReader, read_tarball
from skillwarden.artefact.read import Unreadable, read_artefacts
from skillwarden.domain.package import Ecosystem

METADATA = ("tiny-1.0.dist-info/METADATA", "Name: tiny\n")


def linked() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("tiny/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def twice() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zip_of(METADATA, ("a.pth", ""), ("a.pth", "import os"))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"", "cannot be read"),
        (lambda: b"no zip", "cannot be read"),
        (lambda: wheel_of()[:-30], "cannot be read"),
        (lambda: zip_of(("tiny.py", "")), "0 files"),
        (lambda: zip_of(METADATA, ("other-2.dist-info/METADATA", "")), "2 files"),
        (lambda: zip_of(METADATA, ("../evil.pth", "import os")), "would be written to"),
        (lambda: zip_of(METADATA, ("/evil.pth", "import os")), "would be written to"),
        (lambda: zip_of(METADATA, ("..\\evil.pth", "import os")), "would be written to"),
        (lambda: zip_of(METADATA, (linked(), "target")), "is a link"),
        (twice, "stands in it twice"),
        (lambda: wheel_of({"evil.pth": "x" * (2 << 20)}), "larger than 1 MiB"),
        (lambda: zip_of(METADATA, ("zeros", bytes(200 << 20))), "unpacks to more than"),
        (lambda: wheel_of({"tiny-1.0.dist-info/entry_points.txt": "no section"}), "entry_points.txt"),
    ],
)
async def test_a_wheel_that_is_refused(make: Callable[[], bytes], words: str, desk: Desk) -> None:
    assert words in await desk.refusal(make(), Ecosystem.PYPI)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"no gzip", "cannot be read"),
        (lambda: npm_of({}, {"a": "x" * 9000})[:120], "cannot be read"),
        (lambda: tar_of(("package/index.js", b"")), "no package.json"),
        (lambda: tar_of(("package/package.json", b"{")), "is no JSON"),
        (lambda: tar_of(("package/package.json", b"[]")), "no JSON object"),
        (lambda: tar_of(("package/package.json", b"[" * 500_000)), "is no JSON"),
        (lambda: npm_of({"x": "y" * (2 << 20)}), "larger than 1 MiB"),
        (lambda: npm_of({}, {"../../evil": "x"}), "would be written to"),
        (lambda: tar_of(("/etc/passwd", b"x")), "would be written to"),
        (lambda: bomb(300 << 20), "unpacks to more than"),
    ],
)
async def test_a_tarball_that_is_refused(make: Callable[[], bytes], words: str, desk: Desk) -> None:
    assert words in await desk.refusal(make(), Ecosystem.NPM)


async def test_links_and_devices_of_a_tarball_are_left_out(desk: Desk) -> None:
    info = tarfile.TarInfo("package/package.json")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
    assert "no package.json" in await desk.refusal(tar_of((info, b"")), Ecosystem.NPM)


def test_an_archive_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive._Bounds, "of", classmethod(lambda cls, path: cls(allowed=1 << 30, members=2)))
    (tmp_path / "zip").write_bytes(zip_of(("a", ""), ("b", ""), ("c", "")))
    (tmp_path / "tar").write_bytes(tar_of(("p/a", b""), ("p/b", b""), ("p/c", b"")))
    with pytest.raises(UnreadableArchiveError, match="more than"):
        ZipReader(tmp_path / "zip")
    with pytest.raises(UnreadableArchiveError, match="more than"):
        read_tarball(tmp_path / "tar", wanted=lambda _: False)


async def test_one_bad_artefact_does_not_take_the_others_along(desk: Desk) -> None:
    good, bad = desk.file(wheel_of(), Ecosystem.PYPI), desk.file(b"", Ecosystem.PYPI)
    first, second, third = await read_artefacts([good, bad, good])
    assert isinstance(second, Unreadable)
    assert first == third
    assert not isinstance(first, Unreadable)


#: Answers for the first file, then does what it is told; alone, it only does that.
_CHILD = """
import sys, time, os, json
files = sys.argv[2:]
if len(files) > 3:
    print(json.dumps({"folders": {"": {"hooks": [], "licence": "MIT", "licenceText": ""}}}), flush=True)
exec(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("os.kill(os.getpid(), 9)", "ended with -9"),
        ("sys.exit('out of memory')", "ended with 1: out of memory"),
        ("time.sleep(600)", "longer than"),
        ("print('garbage')", "answered with something else"),
        ("print('x' * (65 << 20))", "wrote more than"),
    ],
)
async def test_what_ends_the_reader_is_found(does: str, words: str, desk: Desk) -> None:
    files = [desk.file(b"", Ecosystem.PYPI) for _ in range(2)]
    command = [sys.executable, "-c", _CHILD, does]
    # Only what hangs is waited for.
    deadline = 5 if "sleep" in does else 120
    answers = await read_artefacts(files, command=command, deadline_seconds=deadline)
    assert len(answers) == 2
    assert isinstance(answers[1], Unreadable)
    assert words in answers[1].reason


async def test_a_command_that_is_not_there_is_no_pass(desk: Desk) -> None:
    [answer] = await read_artefacts([desk.file(wheel_of(), Ecosystem.PYPI)], command=["/nowhere/python"])
    assert isinstance(answer, Unreadable)

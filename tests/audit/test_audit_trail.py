"""The trail: whole lines, a chain that a restart goes on with, and nothing lost in silence."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from skillwarden.audit.sinks import FileSink, StreamSink
from skillwarden.audit.trail import Trail
from skillwarden.audit.verify import Verification, read, verify
from skillwarden.domain.errors import InvalidInputError

NOW = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)


def now() -> datetime:
    return NOW


@contextmanager
def trail(*sinks: Any, **options: Any) -> Iterator[Trail]:
    made = Trail(sinks, now=now, about={"version": "1"}, **options)
    made.start()
    try:
        yield made
    finally:
        made.close()


def lines(*paths: Path) -> list[bytes]:
    return [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]


def checked(*paths: Path) -> Verification:
    result = verify(read("file", lines(*paths)))
    assert result.problems == []
    return result


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(path)]


def test_records_are_chained_and_empty_fields_left_out(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.jsonl"
    with trail(FileSink(path)) as log:
        log.record("Verdict", skill="demo", agent=None, reasons=[], count=0)
    assert checked(path).records == 2
    start, verdict = records(path)
    assert (start["event"], start["version"], start["seq"]) == ("Start", "1", 1)
    assert verdict["previous"] == start["hash"]
    assert (verdict["skill"], verdict["count"], verdict["time"]) == ("demo", 0, "2026-11-27T08:00:00.000Z")
    assert not {"agent", "reasons"} & verdict.keys()
    assert path.stat().st_mode & 0o077 == 0


def test_a_stream_and_a_file_have_chains_of_their_own(tmp_path: Path) -> None:
    stream, path = (tmp_path / "stream").open("wb"), tmp_path / "file"
    with stream, trail(StreamSink(stream.fileno()), FileSink(path)) as log:
        log.record("Verdict", skill="demo")
    assert len(checked(tmp_path / "stream", path).heads) == 2


def test_a_restart_goes_on_with_the_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(3):
        with trail(FileSink(path)) as log:
            log.record("Verdict", number=number)
    result = checked(path)
    assert (result.records, len(result.heads)) == (6, 1)


def test_half_a_line_is_taken_out_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with trail(FileSink(path)) as log:
        log.record("Verdict", number=1)
    with path.open("ab") as file:
        file.write(b'{"apiVersion": "audit.skill')
    with trail(FileSink(path)):
        pass
    assert checked(path).records == 3
    torn = records(path)[-1]["torn"]
    assert torn["bytes"] == 27
    # Set aside, not thrown away: it may be all that is left of a decision.
    assert (tmp_path / torn["file"]).read_bytes() == b'{"apiVersion": "audit.skill'


def test_a_file_whose_last_record_was_changed_gets_a_chain_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with trail(FileSink(path)) as log:
        log.record("Verdict", number=1)
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":2'))
    with trail(FileSink(path)):
        pass
    assert "was changed" in records(path)[-1]["follows"]
    assert len(verify(read("file", lines(path))).heads) == 2


def test_two_processes_do_not_fork_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    second = Trail([FileSink(path)], now=now, about={})
    with trail(FileSink(path)), pytest.raises(InvalidInputError, match="another process"):
        second.start()
    with trail(FileSink(path)):
        pass


def test_a_file_that_is_moved_away_is_followed_by_one_that_goes_on(tmp_path: Path) -> None:
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    written = threading.Semaphore(0)
    with trail(FileSink(path), on_written=lambda _: written.release()) as log:
        log.record("Verdict", number=1)
        for _ in range(2):
            assert written.acquire(timeout=20)
        path.rename(old)
        log.record("Verdict", number=2)
    result = checked(old, path)
    assert (result.records, len(result.heads)) == (3, 1)


class _Shaky:
    """A sink that takes nothing until it is let."""

    name = "file"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = threading.Event()
        self.events: list[tuple[str, Any]] = []

    def open(self, now: datetime, fields: Any) -> None:
        self.events.append(("Start", fields))

    def write(self, event: str, time: datetime, fields: Any) -> None:
        self.asked.set()
        if not self.gate.is_set():
            raise OSError(28, "No space left on device")
        self.events.append((event, dict(fields)))

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_what_does_not_fit_is_counted_and_said_in_the_chain_once_there_is_room() -> None:
    sink, lost = _Shaky(), []
    with trail(sink, limit=3, on_lost=lost.append) as log:
        for number in range(8):
            log.record("Verdict", number=number)
        assert sink.asked.wait(20)
        assert lost == ["file"] * 5
        sink.gate.set()
    kept = [fields["number"] for event, fields in sink.events if event == "Verdict"]
    assert kept == [0, 1, 2]
    assert [fields for event, fields in sink.events if event == "Lost"] == [{"records": 5}]


def test_what_was_lost_is_said_although_nothing_comes_after_it() -> None:
    """The queue empties while more is lost: nothing is left that would carry the number along."""
    sink, lost = _Shaky(), []
    sink.gate.set()
    with trail(sink, limit=0, on_lost=lost.append) as log:
        log.record("Verdict", number=1)
    assert lost == ["file"]
    assert ("Lost", {"records": 1}) in sink.events


def test_what_is_not_written_at_the_end_counts_as_lost() -> None:
    sink, lost = _Shaky(), []
    with trail(sink, on_lost=lost.append) as log:
        log.record("Verdict", number=1)
        assert sink.asked.wait(20)
    assert lost == ["file"]


def test_a_disk_that_is_full_from_the_start_keeps_nobody_from_governing(tmp_path: Path) -> None:
    path, room = tmp_path / "audit.jsonl", threading.Event()
    sink = FileSink(path)
    begun = sink._begin

    def full(now: datetime, fields: Any) -> None:
        if not room.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        begun(now, fields)

    sink._begin = full  # type: ignore[method-assign]
    with trail(sink) as log:
        log.record("Verdict", number=1)
        room.set()
    assert [item["event"] for item in records(path)] == ["Start", "Verdict"]
    assert checked(path).records == 2


def test_every_record_says_which_operator_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with trail(FileSink(path), always={"operator": "pod-1", "version": "2"}) as log:
        log.record("Verdict", skill="demo")
    assert {(item["operator"], item["version"]) for item in records(path)} == {("pod-1", "2")}


def test_a_rotation_whose_new_file_cannot_be_opened_is_got_over(tmp_path: Path) -> None:
    path, written = tmp_path / "logs" / "audit.jsonl", threading.Semaphore(0)
    failed = threading.Event()
    sink = FileSink(path)
    opened = sink._open

    def watched() -> None:
        try:
            opened()
        except OSError:
            failed.set()
            raise

    sink._open = watched  # type: ignore[method-assign]
    with trail(sink, on_written=lambda _: written.release()) as log:
        assert written.acquire(timeout=20)
        path.rename(tmp_path / "old")
        path.mkdir()
        log.record("Verdict", number=1)
        assert failed.wait(20)
        path.rmdir()
        assert written.acquire(timeout=20)
    result = checked(tmp_path / "old", path)
    assert (result.records, len(result.heads)) == (2, 1)


def test_recording_does_not_wait_for_a_reader_of_standard_output() -> None:
    reading, writing = os.pipe()
    log = Trail([StreamSink(writing)], now=now, about={})
    log.start()
    # More than a pipe holds: the writer waits for its reader, and whoever records does not.
    for _ in range(2000):
        log.record("Verdict", text="x" * 500)
    with os.fdopen(reading, "rb") as file:
        found = [file.readline() for _ in range(2001)]
        log.close()
        os.close(writing)
    assert verify(read("pipe", found)).problems == []


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """A limit on the file's size stands in for the disk: the write is cut in the middle."""
    path = tmp_path / "audit.jsonl"
    code = f"""
        import resource, signal, sys
        from datetime import datetime, UTC
        from pathlib import Path
        from skillwarden.audit.sinks import FileSink
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sink = FileSink(Path({str(path)!r}))
        now = datetime.now(UTC)
        sink.open(now, {{}})
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        failed = 0
        for number in range(20):
            try:
                sink.write("Verdict", now, {{"number": number, "text": "x" * 100}})
            except OSError:
                failed += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        sink.write("Lost", now, {{"records": failed}})
        print(failed)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(ended.stdout) > 0
    result = checked(path)
    assert result.lost == int(ended.stdout)
    assert result.records == 22 - result.lost


def test_a_kill_in_the_middle_leaves_a_chain_that_a_restart_goes_on_with(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    code = f"""
        from datetime import datetime, UTC
        from pathlib import Path
        from skillwarden.audit.sinks import FileSink
        sink = FileSink(Path({str(path)!r}))
        now = datetime.now(UTC)
        sink.open(now, {{}})
        print("open", flush=True)
        while True:
            sink.write("Verdict", now, {{"text": "x" * 5000}})
    """
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        size = path.stat().st_size
        while path.stat().st_size < size + 50_000:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        process.stdout.close()
    with trail(FileSink(path)):
        pass
    result = checked(path)
    assert len(result.heads) == 1
    assert [record["event"] for record in records(path)].count("Start") == 4


def test_a_record_that_would_be_too_long_says_what_it_leaves_out(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with trail(FileSink(path)) as log:
        log.record("Verdict", skill="demo", reasons=["x" * 1000] * 200)
    last = records(path)[-1]
    assert last["skill"] == "demo"
    # The first reasons stay.
    assert len(last["reasons"]) + last["leftOut"]["reasons"] == 200
    assert len(last["reasons"]) > 20
    assert len(lines(path)[-1]) < 64 * 1024
    assert checked(path).records == 2

"""pip-audit as a scanner: the real one against our endpoint, and fakes for all that can go wrong.

The named regressions are those of the reference system, whose scanner read each of them as safe.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scan_support import until_ended

from skillwarden.advisories.index import AdvisoryIndex
from skillwarden.bounded import Finished
from skillwarden.domain.finding import FindingKind, ScannerName, ScannerReport, ScanState, Severity
from skillwarden.domain.grounds import one_line
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.domain.scan_view import MAX_ERROR
from skillwarden.scan.ending import ended
from skillwarden.scan.osv import OsvScanner
from skillwarden.scan.pip_audit import PipAuditScanner, UnreadableAnswerError, read_answer
from skillwarden.scan.runner import ScanRunner

MakeLock = Callable[..., Lock]
MakeIndex = Callable[..., AdvisoryIndex]
MakeAdvisory = Callable[..., dict[str, Any]]
Fake = Callable[[str], tuple[str, ...]]


async def scan_with(
    command: tuple[str, ...], index: AdvisoryIndex, lock: Lock, **options: Any
) -> ScannerReport:
    return await PipAuditScanner(lambda: index, command=command, **options).scan(lock)


def test_what_would_mend_it_is_not_cut_off_by_what_a_tool_says() -> None:
    reason = "it did not write JSON (" + "x" * 80 + ")"
    for status in (0, -11):
        finished = Finished(status=status, stdout=b"", stderr="")
        text = ended("pip-audit", finished, reason, said="noise " * 200)
        assert one_line(text, MAX_ERROR) == text


async def test_the_real_pip_audit_finds_what_our_own_evaluation_finds(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    index = make_index(
        make_advisory("PYSEC-1", "widget", aliases=["CVE-1", "GHSA-1"]),
        make_advisory("GHSA-1", "widget", aliases=["CVE-1"], database_specific={"severity": "HIGH"}),
        make_advisory("GHSA-2", "widget", aliases=["CVE-2"], fixed="1.5"),
        make_advisory("GHSA-3", "widget", aliases=["CVE-3"], database_specific={"severity": "CRITICAL"}),
        make_advisory("PYSEC-4", "widget", withdrawn="2024-01-01T00:00:00Z"),
        make_advisory("MAL-5", "evil", fixed=None),
        make_advisory("PYSEC-6", "gadget", versions=["1.0"]),
        make_advisory("PYSEC-7", "gadget", fixed="garbage", published="not a time", aliases=[7, "CVE-7"]),
    )
    lock = make_lock("widget==1.6", "evil==0.1", "gadget==1!1.0+local.1", "clean==3.0.0.post1")
    theirs = await PipAuditScanner(lambda: index).scan(lock)
    ours = await OsvScanner(lambda: index).scan(lock)
    assert (theirs.state, theirs.error) == (ScanState.FINDINGS, "")
    assert theirs.audited == ours.audited == {package.id for package in lock.packages}

    def told(report: ScannerReport) -> list[Any]:
        return [
            (f.kind, f.package.name, f.id, f.severity, f.aliases, f.fixed_versions) for f in report.findings
        ]

    assert told(theirs) == told(ours)
    assert {(f.id, f.kind, f.severity) for f in theirs.findings} == {
        ("PYSEC-1", FindingKind.VULNERABILITY, Severity.HIGH),
        ("GHSA-3", FindingKind.VULNERABILITY, Severity.CRITICAL),
        ("MAL-5", FindingKind.MALICIOUS, Severity.UNKNOWN),
        ("PYSEC-7", FindingKind.VULNERABILITY, Severity.UNKNOWN),
    }
    assert all(finding.scanners == (ScannerName.PIP_AUDIT,) for finding in theirs.findings)


async def test_the_real_pip_audit_passes_a_clean_lock(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    lock = make_lock("widget==2.0", "zope-interface==6.0")
    report = await PipAuditScanner(lambda: make_index(make_advisory("PYSEC-1", "widget"))).scan(lock)
    assert (report.state, report.error, report.findings) == (ScanState.PASS, "", ())


async def test_the_operators_environment_does_not_reach_pip_audit(
    make_lock: MakeLock,
    make_index: MakeIndex,
    make_advisory: MakeAdvisory,
    fake_pip_audit: Fake,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    seen = tmp_path / "seen.json"
    command = fake_pip_audit(
        f"json.dump([dict(os.environ), os.getcwd(), os.listdir('.'), sys.argv], open({str(seen)!r}, 'w'))\n"
        "print(json.dumps({'dependencies': clean}))"
    )
    report = await scan_with(command, make_index(make_advisory("A", "a")), make_lock("widget==1.0"))
    assert report.state is ScanState.PASS
    environment, cwd, files, arguments = json.loads(seen.read_text())
    assert not {"SECRET_TOKEN", "HTTP_PROXY", "PYTHONPATH"} & set(environment)
    assert environment["HOME"] == cwd != str(Path.home())
    assert files == []
    assert {"--no-deps", "--disable-pip"} <= set(arguments)
    assert not Path(cwd).exists()


#: What the fake does; what the error then says.
FAILURES: dict[str, tuple[str, str]] = {
    "it writes garbage": ("print('Found 1 known vulnerability'); sys.exit(1)", "did not write JSON"),
    "it writes nothing and is content": ("pass", "did not write JSON"),
    "it writes half an answer": ("print(json.dumps({'dependencies': clean})[:-5])", "did not write JSON"),
    "it writes JSON of another shape": ("print('{}')", "no list of dependencies"),
    "it writes JSON null": ("print('null')", "no list of dependencies"),
    "it lists something that is no dependency": ("print('[1]')", "a dependency without a name"),
    "it crashes": ("raise RuntimeError('boom')", "RuntimeError: boom"),
    "it is killed": ("os.kill(os.getpid(), 9)", "exit code -9"),
    "it answers and then crashes": (
        "print(json.dumps({'dependencies': clean}), flush=True); os.abort()",
        "exit code -6",
    ),
    "it answers and ends with an unknown code": (
        "print(json.dumps({'dependencies': clean})); sys.exit(7)",
        "exit code 7",
    ),
    "it says that something is wrong, and not what": (
        "print(json.dumps({'dependencies': clean})); sys.exit(1)",
        "reports no vulnerability",
    ),
    "vulnerabilities are null": (
        "print(json.dumps({'dependencies': [{**d, 'vulns': None} for d in clean]}))",
        "no list of vulnerabilities",
    ),
    "a vulnerability has no id": (
        "print(json.dumps({'dependencies': [{**d, 'vulns': [{}]} for d in clean]})); sys.exit(1)",
        "a vulnerability without an id",
    ),
    "a package is missing": ("print(json.dumps({'dependencies': clean[1:]}))", "1 not audited (gadget 1.0)"),
    "a package has another version": (
        "clean[0]['version'] = '9'; print(json.dumps({'dependencies': clean}))",
        "1 not audited (gadget 1.0), 1 not asked about (gadget 9)",
    ),
    "nobody asked about a package": (
        "clean.append({'name': 'extra', 'version': '1', 'vulns': []})\n"
        "print(json.dumps({'dependencies': clean}))",
        "1 not asked about (extra 1)",
    ),
    "it writes without end": ("[print('x' * 65536) for _ in range(10000)]", "wrote more than"),
}


@pytest.mark.parametrize("sentence", FAILURES)
async def test_an_answer_that_is_not_whole_is_an_error(
    sentence: str,
    make_lock: MakeLock,
    make_index: MakeIndex,
    make_advisory: MakeAdvisory,
    fake_pip_audit: Fake,
) -> None:
    body, message = FAILURES[sentence]
    index = make_index(make_advisory("PYSEC-1", "other"))
    lock = make_lock("gadget==1.0", "widget==1.0")
    report = await scan_with(fake_pip_audit(body), index, lock, max_output=1_000_000)
    assert (report.state, report.findings, report.retryable) == (ScanState.ERROR, (), True)
    assert message in report.error
    assert "\n" not in report.error


async def test_regression_the_modern_json_shape_is_read_and_a_vulnerable_package_is_not_clean(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, fake_pip_audit: Fake
) -> None:
    index = make_index(make_advisory("PYSEC-1", "widget", database_specific={"severity": "HIGH"}))
    body = "clean[0]['vulns'] = [{'id': 'PYSEC-1', 'fix_versions': ['2.0'], 'aliases': []}]\n"
    for shape in ("{'dependencies': clean, 'fixes': []}", "clean"):
        for status in (0, 1):
            command = fake_pip_audit(f"{body}print(json.dumps({shape})); sys.exit({status})")
            report = await scan_with(command, index, make_lock("widget==1.0"))
            assert report.state is ScanState.FINDINGS
            assert [(f.id, f.severity, f.fixed_versions) for f in report.findings] == [
                ("PYSEC-1", Severity.HIGH, ("2.0",))
            ]


async def test_regression_everything_skipped_with_exit_code_zero_is_not_a_pass(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, fake_pip_audit: Fake
) -> None:
    body = """\
        skipped = [{"name": name, "skip_reason": "not found on the index"} for name, _ in pins]
        print(json.dumps({"dependencies": skipped, "fixes": []}))
        """
    index = make_index(make_advisory("PYSEC-1", "other"))
    report = await scan_with(fake_pip_audit(body), index, make_lock("widget==1.0"))
    assert report.state is ScanState.ERROR
    assert "widget: not found on the index" in report.error


async def test_regression_a_refused_connection_is_an_error_and_not_a_finding(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, tmp_path: Path
) -> None:
    """The real pip-audit, sent to a port where nobody listens: it ends with 1, as for a finding."""
    script = tmp_path / "elsewhere.py"
    script.write_text(
        "import sys, runpy\n"
        "sys.argv[sys.argv.index('--osv-url') + 1] = 'http://127.0.0.1:9/v1/query'\n"
        "runpy.run_module('pip_audit', run_name='__main__', alter_sys=True)\n"
    )
    index = make_index(make_advisory("PYSEC-1", "widget"))
    report = await scan_with((os.sys.executable, "-I", str(script)), index, make_lock("widget==1.0"))
    assert (report.state, report.findings) == (ScanState.ERROR, ())
    assert "exit code 1" in report.error


async def test_regression_a_timeout_is_an_error_and_leaves_no_process(
    make_lock: MakeLock,
    make_index: MakeIndex,
    make_advisory: MakeAdvisory,
    fake_pip_audit: Fake,
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    body = f"""\
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
        time.sleep(600)
        """
    index = make_index(make_advisory("PYSEC-1", "widget"))
    scanner = PipAuditScanner(lambda: index, command=fake_pip_audit(body))
    runner = ScanRunner([scanner], deadline_seconds=3, max_concurrency=1)
    result = await runner.scan(make_lock("widget==1.0"), advisory_revision=index.revision)
    [report] = result.reports
    assert (report.state, report.retryable) == (ScanState.ERROR, True)
    assert "Timeout" in report.error
    await until_ended([int(pid) for pid in pids.read_text().split()])


async def test_a_child_that_keeps_the_pipe_open_does_not_outlive_the_answer(
    make_lock: MakeLock,
    make_index: MakeIndex,
    make_advisory: MakeAdvisory,
    fake_pip_audit: Fake,
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    body = f"""\
        quiet = subprocess.DEVNULL
        child = subprocess.Popen(["sleep", "600"], stdout=quiet, stderr=sys.stderr)
        open({str(pids)!r}, "w").write(str(child.pid))
        print(json.dumps({{"dependencies": clean}}))
        """
    index = make_index(make_advisory("PYSEC-1", "other"))
    report = await scan_with(fake_pip_audit(body), index, make_lock("widget==1.0"))
    assert report.state is ScanState.PASS
    await until_ended([int(pids.read_text())])


async def test_a_child_that_left_the_group_with_the_pipe_does_not_hold_the_answer_back(
    make_lock: MakeLock,
    make_index: MakeIndex,
    make_advisory: MakeAdvisory,
    fake_pip_audit: Fake,
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    body = f"""\
        quiet = subprocess.DEVNULL
        child = subprocess.Popen(["sleep", "600"], stdout=quiet, stderr=sys.stderr, start_new_session=True)
        open({str(pids)!r}, "w").write(str(child.pid))
        print(json.dumps({{"dependencies": clean}}))
        """
    index = make_index(make_advisory("PYSEC-1", "other"))
    try:
        report = await scan_with(fake_pip_audit(body), index, make_lock("widget==1.0"))
    finally:
        os.kill(int(pids.read_text()), 9)
    assert report.state is ScanState.PASS


async def test_a_finding_that_only_pip_audit_makes_counts(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory, fake_pip_audit: Fake
) -> None:
    index = make_index(
        make_advisory("GHSA-9", "other", aliases=["CVE-9"], database_specific={"severity": "LOW"})
    )
    body = """\
        clean[0]["vulns"] = [
            {"id": "CVE-9", "aliases": ["PYSEC-9"], "fix_versions": ["3"]},
            {"id": "CVE-8", "aliases": None, "fix_versions": ["1.10", "0.5", "1.9", 7]},
            {"id": "MAL-1"},
        ]
        print(json.dumps({"dependencies": clean})); sys.exit(1)
        """
    report = await scan_with(fake_pip_audit(body), index, make_lock("widget==1.0"))
    assert [(f.kind, f.id, f.severity, f.fixed_versions) for f in report.findings] == [
        (FindingKind.MALICIOUS, "MAL-1", Severity.UNKNOWN, ()),
        (FindingKind.VULNERABILITY, "CVE-8", Severity.UNKNOWN, ("1.9", "1.10")),
        (FindingKind.VULNERABILITY, "GHSA-9", Severity.LOW, ()),
    ]
    assert {finding.package.name for finding in report.findings} == {"widget"}


async def test_a_pip_audit_that_cannot_be_started_is_an_error(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    index = make_index(make_advisory("PYSEC-1", "other"))
    report = await scan_with(("/nonexistent/pip-audit",), index, make_lock("widget==1.0"))
    assert report.state is ScanState.ERROR
    assert "cannot be started" in report.error


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("widget", "1.0\n--index-url=x"),
        ("widget", "not a version"),
        ("widget", "1.0 ; python_version<'3'"),
        ("-r", "1.0"),
        ("a b", "1"),
    ],
)
async def test_a_package_that_is_no_bare_pin_never_reaches_the_file(
    name: str,
    version: str,
    make_lock: MakeLock,
    make_index: MakeIndex,
    make_advisory: MakeAdvisory,
    fake_pip_audit: Fake,
) -> None:
    lock = make_lock("widget==1.0")
    strange = type(lock.packages[0])(PackageId(Ecosystem.PYPI, name, version), lock.packages[0].artefact)
    command = fake_pip_audit("print(json.dumps({'dependencies': clean}))")
    index = make_index(make_advisory("PYSEC-1", "other"))
    report = await scan_with(command, index, Lock(lock.platform, (strange,)))
    assert (report.state, report.retryable) == (ScanState.ERROR, False)
    assert "cannot be written as a pin" in report.error


async def test_an_empty_lock_passes_and_no_advisories_never_do(
    make_lock: MakeLock, make_index: MakeIndex, make_advisory: MakeAdvisory
) -> None:
    index = make_index(make_advisory("PYSEC-1", "other"))
    assert (await PipAuditScanner(lambda: index).scan(make_lock())).state is ScanState.PASS
    report = await PipAuditScanner(lambda: None).scan(make_lock())
    assert (report.state, report.retryable) == (ScanState.ERROR, True)
    assert "skillwarden advisories sync" in report.error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["dependencies", "name", "version", "vulns", "id", "skip_reason", "aliases"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(document=JSON)
def test_no_json_makes_the_reader_crash(document: Any) -> None:
    with contextlib.suppress(UnreadableAnswerError):
        read_answer(json.dumps(document).encode())

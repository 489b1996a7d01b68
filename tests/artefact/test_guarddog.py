"""GuardDog over artefacts: harm is found wherever it hides, and whatever goes wrong is never a pass."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

import pytest
from artefact_support import Desk, bomb, npm_of, tar_of, wheel_of, zip_of
from guarddog_support import DROPPER, HIDDEN, Kennel, fake_guarddog

from skillwarden.artefact import malware, unpack
from skillwarden.artefact.archive import UnreadableArchiveError
from skillwarden.artefact.malware import DEFAULT_PYTHON, GuardDog, NoGuardDogError, Unreadable
from skillwarden.domain.package import Ecosystem

BASE64_EXEC = "threat-runtime-obfuscation-base64exec"
DOWNLOAD_EXEC = "threat-process-download-exec"


@pytest.fixture
def kennel(desk: Desk) -> Kennel:
    assert DEFAULT_PYTHON.exists(), "GuardDog's environment is missing; `make setup` makes it"
    return Kennel(desk, GuardDog())


# -- the real one --------------------------------------------------------------------------------------


async def test_it_says_its_release(kennel: Kennel) -> None:
    assert (await kennel.guarddog.version()).startswith("3.")


async def test_an_ordinary_package_passes(kennel: Kennel) -> None:
    code = (
        "import sys\n\nPY3 = sys.version_info[0] == 3\n\n\ndef same(value: str) -> str:\n    return value\n"
    )
    assert await kennel.rules(wheel_of({"tiny.py": code, "tiny/__init__.py": ""})) == {}
    manifest = {"main": "index.js", "scripts": {"test": "node test.js"}}
    assert await kennel.rules(npm_of(manifest, {"index.js": "module.exports = 1\n"}), Ecosystem.NPM) == {}


@pytest.mark.index
async def test_a_package_of_the_index_passes(kennel: Kennel, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "-d", str(tmp_path / "w"), "six==1.17.0"], check=True, timeout=120)
    [wheel] = (tmp_path / "w").iterdir()
    assert await kennel.rules(wheel.read_bytes()) == {}


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("tiny/__init__.py", HIDDEN, BASE64_EXEC),
        ("tiny/tests/test_it.py", HIDDEN, BASE64_EXEC),
        ("build/lib/it.py", HIDDEN, BASE64_EXEC),
        ("tiny.pth", "import base64; exec(base64.b64decode('cHJpbnQoMSk='))\n", BASE64_EXEC),
        ("tiny-1.0.data/scripts/run", f"#!python\n{HIDDEN}", BASE64_EXEC),
        ("tiny/IT.PY", HIDDEN, BASE64_EXEC),
    ],
)
async def test_hidden_code_in_a_wheel_is_found_and_its_place_named(
    name: str, text: str, rule: str, kennel: Kennel
) -> None:
    found = await kennel.rules(wheel_of({name: text}))
    assert found[rule].startswith(f"{name}:")
    assert "base64" in found[rule]


@pytest.mark.parametrize("name", ["setup.js", "tests/setup.js", "dist/setup.js", "bin/setup"])
async def test_a_download_that_is_run_by_an_install_script_is_found(name: str, kennel: Kennel) -> None:
    text = DROPPER if name.endswith(".js") else f"#!/usr/bin/env node\n{DROPPER}"
    data = npm_of({"scripts": {"preinstall": f"node {name}"}}, {name: text})
    found = await kennel.rules(data, Ecosystem.NPM)
    assert found[DOWNLOAD_EXEC].startswith(f"{name}:")
    assert found["threat-npm-preinstall-script"].startswith("package.json:")


async def test_harm_is_not_diluted_by_many_lesser_signs(kennel: Kennel) -> None:
    sends = "HOOK = 'https://webhook.site/abc'\n"
    asks = "import platform\nw{n} = platform.system(), platform.machine(), platform.node()\n"
    lesser = {f"tiny/x{n}.py": asks.format(n=n) for n in range(3)}
    assert await kennel.rules(wheel_of(lesser)) == {}
    found = await kennel.rules(wheel_of({"tiny/evil.py": sends, **lesser}))
    assert "threat-network-outbound-shady-links" in found
    assert "threat-runtime-system-info" not in found


async def test_one_bad_artefact_does_not_speak_for_the_others(kennel: Kennel) -> None:
    artefacts = (wheel_of({"a.py": ""}), b"no zip", wheel_of({"b.py": HIDDEN}))
    good, broken, bad = await kennel.answers(*artefacts, ecosystem=Ecosystem.PYPI)
    assert good == ()
    assert isinstance(broken, Unreadable)
    assert [item.rule for item in bad] == [BASE64_EXEC]


async def test_nothing_is_left_behind(
    kennel: Kennel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "work"))
    (tmp_path / "work").mkdir()
    await kennel.rules(wheel_of({"a.py": HIDDEN}))
    assert list((tmp_path / "work").iterdir()) == []


async def test_the_kernel_lets_it_read_only_what_it_is_given(tmp_path: Path) -> None:
    """Where it can: the runner's own confinement, before anything hostile is read."""
    secret, folder, cache = tmp_path / "key", tmp_path / "folder", tmp_path / "cache"
    secret.write_text("secret")
    folder.mkdir()
    cache.mkdir()
    (folder / "a.py").write_text("given")
    lines = [
        "import os, socket, sys",
        "from pathlib import Path",
        f"sys.path.append({str(Path(malware.__file__).parent)!r})",
        "import guarddog_runner as runner",
        f"cache = Path({str(cache)!r})",
        "os.environ['GUARDDOG_TOP_PACKAGES_CACHE_LOCATION'] = str(cache)",
        "runner._fill(cache)",
        f"print(runner._confine(cache, [{str(folder)!r}]))",
        f"print(Path({str(folder / 'a.py')!r}).read_text())",
        f"for place in (Path({str(secret)!r}), Path('/etc/passwd')):",
        "    try: print(place.read_text())",
        "    except PermissionError: print('refused')",
        "try: socket.create_connection(('127.0.0.1', 9))",
        "except PermissionError: print('refused')",
    ]
    command = [str(DEFAULT_PYTHON), "-I", "-B", "-c", "\n".join(lines)]
    env = {"PATH": os.defpath, "TMPDIR": str(cache)}
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    if ran.stdout.startswith("False"):
        pytest.skip(f"this kernel cannot confine it: {ran.stderr}")
    assert ran.stdout.split() == ["True", "given", "refused", "refused", "refused"], ran.stderr


# -- what is unpacked ----------------------------------------------------------------------------------


def unpacked(data: bytes, ecosystem: str, tmp_path: Path) -> set[str]:
    """Unpack in this process; return what was written."""
    (tmp_path / "artefact").write_bytes(data)
    (tmp_path / "into").mkdir()
    unpack.unpack(tmp_path / "artefact", ecosystem, tmp_path / "into")
    return {
        str(path.relative_to(tmp_path / "into")) for path in (tmp_path / "into").rglob("*") if path.is_file()
    }


def test_only_code_is_written(tmp_path: Path) -> None:
    files = {"a.py": "", "b.so": "ELF", "c.txt": "words", "d/run": "#!/bin/sh\n", "README.md": "#!"}
    wanted = {"package/a.py", "renamed/d/run.sh"}
    assert unpacked(wheel_of(files), "pypi", tmp_path) == wanted


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "package/../../evil.py"])
async def test_no_path_leads_out(name: str, kennel: Kennel, tmp_path: Path) -> None:
    assert "would be written to" in await kennel.refusal(zip_of((name, HIDDEN)))
    assert "would be written to" in await kennel.refusal(tar_of((name, HIDDEN.encode())), Ecosystem.NPM)
    assert not list(tmp_path.rglob("evil.py"))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    link = tarfile.TarInfo("package/index.js")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    assert unpacked(tar_of((link, b""), ("package/a.js", b"1")), "npm", tmp_path) == {"package/a.js"}


async def test_a_bomb_is_not_unpacked(kennel: Kennel) -> None:
    assert "unpacks to more than" in await kennel.refusal(bomb(128 << 20), Ecosystem.NPM)


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("MAX_FILE_BYTES", 1 << 20, "is larger than"),
        ("MAX_BYTES", 1 << 20, "more code than"),
        ("MAX_FILES", 1, "more code than"),
    ],
)
def test_more_than_is_looked_at_is_refused(
    limit: str, value: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, limit, value)
    data = wheel_of({"a.py": "#" * ((1 << 20) + 1), "b.py": ""})
    with pytest.raises(UnreadableArchiveError, match=words):
        unpacked(data, "pypi", tmp_path)


# -- what can go wrong ---------------------------------------------------------------------------------


async def problem(python: Path) -> str:
    with pytest.raises(NoGuardDogError) as caught:
        await GuardDog(python).version()
    return str(caught.value)


async def test_an_interpreter_that_is_not_there_is_no_guarddog(tmp_path: Path) -> None:
    said = await problem(tmp_path / "nowhere")
    assert "not installed" in said
    assert "docs/operations/malware.md" in said
    assert "findings.malware to Allow" in said


async def test_an_environment_without_it_is_no_guarddog(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    assert "no package guarddog" in await problem(tmp_path / "env" / "bin" / "python")


@pytest.mark.parametrize("version", ["2.9.0", "4.0.0", "whatever"])
async def test_a_release_that_is_not_known_is_not_asked(version: str, tmp_path: Path) -> None:
    assert f"GuardDog {version} is not of the 3 line" in await problem(
        fake_guarddog(tmp_path / "env", version=version)
    )


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"imported": "raise ImportError('no yara')"}, "ended with 1: ImportError: no yara"),
        ({"reads": "*.exe"}, "its rule some-rule reads files that are not unpacked"),
        ({"reads": ""}, "it has no rules"),
        ({"looks": "raise OSError('broken')"}, "it broke: OSError: broken"),
        ({"errors": {"some-rule": "failed to run"}}, "its rule some-rule ended with: failed to run"),
        ({"looks": "import os; os.kill(os.getpid(), 9)"}, "ended with -9"),
        ({"looks": "import os; os._exit(0)"}, "ended with 0"),
        ({"looks": "x = bytearray(1 << 30)"}, "it broke: MemoryError"),
        ({"label": "certainly fine"}, "calls it certainly fine"),
        ({"label": "high_risk"}, "calls it high_risk and names no rule"),
        ({"looks": "import time; time.sleep(600)"}, "takes longer than 2 s"),
        (
            {"imported": "import socket; socket.create_connection(('127.0.0.1', 9))"},
            "socket.getaddrinfo is not for a scanner",
        ),
        ({"looks": "import os; os.system('true')"}, "os.system is not for a scanner"),
        ({"looks": "import subprocess; subprocess.run(['true'])"}, "subprocess.Popen is not for a scanner"),
    ],
)
async def test_a_fault_of_its_is_never_a_pass(
    fault: dict[str, str], words: str, desk: Desk, tmp_path: Path
) -> None:
    python = fake_guarddog(tmp_path / "env", **fault)  # type: ignore[arg-type]
    patience = 2 if "sleep" in fault.get("looks", "") else 60
    said = await Kennel(desk, GuardDog(python, deadline_seconds=patience)).refusal(wheel_of({"a.py": ""}))
    assert words in said


async def test_what_it_prints_is_no_answer(desk: Desk, tmp_path: Path) -> None:
    python = fake_guarddog(tmp_path / "env", looks='print(\'{"label": "low"}\')')
    assert await Kennel(desk, GuardDog(python)).rules(wheel_of({"a.py": ""})) == {}


async def test_an_answer_about_another_artefact_is_none(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "liar.py"
    answer = {"folder": "/somewhere", "confined": True, "score": 0, "label": "low", "risks": []}
    script.write_text(f"print({json.dumps(answer)!r})\n")
    monkeypatch.setattr("skillwarden.artefact.malware._RUNNER", str(script))
    python = fake_guarddog(tmp_path / "env")
    assert "for another artefact" in await Kennel(desk, GuardDog(python)).refusal(wheel_of({"a.py": ""}))


@pytest.mark.parametrize("said", ["", "garbage", "{}", "[]", '{"version": 3'])
async def test_garbage_is_no_answer(
    said: str, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "garbage.py"
    script.write_text(f"print({said!r})\n")
    monkeypatch.setattr("skillwarden.artefact.malware._RUNNER", str(script))
    python = fake_guarddog(tmp_path / "env")
    assert await Kennel(desk, GuardDog(python)).refusal(wheel_of({"a.py": ""}))
    assert "not installed" in await problem(python)


async def test_one_that_ends_the_process_is_found_and_the_others_answered(desk: Desk, tmp_path: Path) -> None:
    looks = "import os; os.path.exists(os.path.join(folder, 'package', 'evil.py')) and os._exit(3)"
    python = fake_guarddog(tmp_path / "env", looks=looks)
    artefacts = (wheel_of({"a.py": ""}), wheel_of({"evil.py": ""}), wheel_of({"b.py": ""}))
    good, evil, other = await Kennel(desk, GuardDog(python)).answers(*artefacts, ecosystem=Ecosystem.PYPI)
    assert (good, other) == ((), ())
    assert isinstance(evil, Unreadable)


async def test_it_gets_nothing_of_ours(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLWARDEN_DEPOT_KEY", "secret")
    looks = "import os; raise OSError(' '.join(sorted(os.environ)))"
    python = fake_guarddog(tmp_path / "env", looks=looks)
    said = await Kennel(desk, GuardDog(python)).refusal(wheel_of({"a.py": ""}))
    assert "HOME" not in said
    assert "SKILLWARDEN" not in said


async def test_a_cancelled_look_leaves_no_process(desk: Desk, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    looks = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    python = fake_guarddog(tmp_path / "env", looks=looks)
    task = asyncio.create_task(
        Kennel(desk, GuardDog(python)).answers(wheel_of({"a.py": ""}), ecosystem=Ecosystem.PYPI)
    )
    async with asyncio.timeout(60):
        while not (pid.exists() and pid.read_text()):
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    status = Path(f"/proc/{pid.read_text()}/stat")
    async with asyncio.timeout(10):
        while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
            await asyncio.sleep(0.02)

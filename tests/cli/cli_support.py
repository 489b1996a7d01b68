"""What the tests of the command line share: running it, and files to run it on."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from operator_world import API, PackageIndex, make_advisory

from skillwarden.cli.main import main

#: Long enough for two busy cores; no test asserts how long anything takes.
DEADLINE = 90.0


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """Both outputs on one line: where a line is folded is not what a test is about."""
        return " ".join(f"{self.out} {self.err}".split())


def cli(*arguments: object) -> Ran:
    """Run a command in this process, by the very entry point that the script calls."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["skillwarden", *map(str, arguments)]
    code: object = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as done:
        code = done.code
    finally:
        sys.argv = before
    assert isinstance(code, int)
    return Ran(code, out.getvalue(), err.getvalue())


def start(*arguments: object, **env: str) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "skillwarden", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
        preexec_fn=_hear_ctrl_c,  # noqa: PLW1509 -- it only sets a signal's disposition
    )


def _hear_ctrl_c() -> None:
    """A suite that runs in the background ignores Ctrl-C, and what it starts inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def spawn(*arguments: object, given: str | None = None, **env: str) -> Ran:
    """Run a command as a process of its own, to its end."""
    process = start(*arguments, **env)
    out, err = process.communicate(given, timeout=DEADLINE)
    return Ran(process.returncode, out, err)


def until(look: Callable[[], Any], what: str) -> Any:
    """Wait until something is so; return it."""
    deadline = time.monotonic() + DEADLINE
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"it did not come true: {what}"
        time.sleep(0.05)


class ServedIndex:
    """The package index, served by a thread of its own."""

    def __init__(self) -> None:
        self.index = PackageIndex()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="index", daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> ServedIndex:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(DEADLINE)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.index.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.index.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/simple"

    def reset(self) -> None:
        """Alpha needs beta, which needs gamma; nobody was asked anything yet."""
        index = self.index
        index.down = False
        index.asked.clear()
        index.files.clear()
        index.wheel("alpha", requires=["beta"])
        index.wheel("beta", requires=["gamma"])
        index.wheel("gamma")


class Desk:
    """A folder of files to judge, and the command that judges them."""

    def __init__(self, root: Path, served: ServedIndex) -> None:
        self.root = root
        self.index = served.index

    def write(self, name: str, *bodies: dict[str, Any]) -> Path:
        path = self.root / name
        path.write_text(yaml.safe_dump_all(bodies, sort_keys=False))
        return path

    def text(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def osv(self, *records: dict[str, Any]) -> Path:
        """Return a folder of OSV records: these, and one about a package that nobody uses."""
        folder = self.root / "osv"
        (folder / "PyPI").mkdir(parents=True, exist_ok=True)
        for record in (make_advisory("nobody-uses-this", id_="PYSEC-2000-1"), *records):
            (folder / "PyPI" / f"{record['id']}.json").write_text(json.dumps(record))
        return folder

    def check(
        self,
        *options: object,
        packages: Iterable[str] = ("alpha",),
        maturity: str | None = "Supervised",
        policy: dict[str, Any] | None = None,
        records: Iterable[dict[str, Any]] | None = (),
    ) -> Ran:
        """Judge a Skill that declares these packages; ``records=None``: there are no advisories."""
        path = self.write("skill.yaml", make_skill(packages=packages))
        arguments: list[object] = ["check", path, *options]
        arguments += ["--maturity", maturity] if maturity else []
        arguments += ["--policy", self.write("policy.yaml", policy or make_policy())] if policy != {} else []
        arguments += ["--advisories", self.osv(*records)] if records is not None else []
        return cli(*arguments)


def make_skill(name: str = "demo", *, packages: Iterable[str] = (), **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Skill",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "source": {"files": [{"path": "main.py", "content": "print('hello')"}]},
            "packages": {"python": list(packages)},
            "entrypoint": {"command": ["python", "main.py"]},
            **spec,
        },
    }


def make_policy(name: str = "rules", *, names: Iterable[str] = ("*",), **spec: Any) -> dict[str, Any]:
    rule = {
        "name": "listed",
        "match": {"ecosystem": "PyPI", "names": list(names)},
        "action": "Allow",
        "minMaturity": "Intern",
    }
    return {
        "apiVersion": API,
        "kind": "PackagePolicy",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {"maturity": {"Student": "Deny"}, "rules": [rule], **spec},
    }

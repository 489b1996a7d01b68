"""``skillwarden local``: the embedded cluster, with depot and operator, on this machine alone."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from ..domain.errors import SkillwardenError
from ..runtime.settings import default_state_dir
from .terminal import FormatOption, OutputFormat, progress

app = typer.Typer(
    help="The embedded cluster: try Skillwarden on this machine, with no Kubernetes.", no_args_is_help=True
)

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="FOLDER",
        file_okay=False,
        help="Where it keeps its things; one cluster a folder. Without it: `local` in the state folder.",
    ),
]
#: A unix socket's address holds 107 bytes (sun_path of unix(7)), and the depot's socket is in the folder.
MAX_SOCKET_PATH = 107


@dataclass(frozen=True, slots=True)
class Folder:
    """Where an embedded cluster keeps its things."""

    root: Path

    @property
    def kubeconfig(self) -> Path:
        """For kubectl."""
        return self.root / "cluster" / "kubeconfig"

    @property
    def key(self) -> Path:
        """The depot's key."""
        return self.root / "depot.key"

    @property
    def socket(self) -> Path:
        """The depot's socket, in a folder that only its owner can enter."""
        return self.root / "run" / "depot.sock"

    @property
    def pid_file(self) -> Path:
        """The process that `up` started."""
        return self.root / "pid"

    @property
    def ready_file(self) -> Path:
        """Stands once everything runs."""
        return self.root / "ready"

    @property
    def log(self) -> Path:
        """What that process prints."""
        return self.root / "local.log"

    @property
    def advisories(self) -> Path:
        """Its advisories."""
        return self.root / "advisories"

    def pid(self) -> int | None:
        """Return the pid of the process that runs, or ``None``."""
        try:
            pid = int(self.pid_file.read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        command = Path(f"/proc/{pid}/cmdline")
        # A pid may have been given to somebody else since; of one that ended unreaped nothing is left.
        if command.exists() and b"skillwarden" not in command.read_bytes():
            return None
        return pid


def folder(directory: Path | None) -> Folder:
    """Return the folder that was named, or the usual one."""
    place = Folder((directory or default_state_dir() / "local").absolute())
    if len(os.fsencode(place.socket)) > MAX_SOCKET_PATH:
        raise typer.BadParameter(
            f"{place.root} is too long a path: the depot's socket below it may have {MAX_SOCKET_PATH} bytes."
            " Choose a shorter --dir."
        )
    return place


@app.callback()
def group() -> None:
    """The embedded cluster: try Skillwarden on this machine, with no Kubernetes."""


@app.command()
def up(
    directory: DirectoryOption = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for it.")] = 120.0,
) -> None:
    """Start it in the background, and print the environment that kubectl and skillwarden need to use it.

    Such as: eval "$(skillwarden local up)" && kubectl get nodes
    """
    _need_extra()
    place = folder(directory)
    pid = place.pid()
    if pid is None:
        pid = _start(place)
    elif place.ready_file.exists():
        typer.echo("It runs already.", err=True)
    with progress("Starting the embedded cluster …"):
        _wait(place, pid, seconds=timeout)
    _say_how(place)


def _start(place: Folder) -> int:
    place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.ready_file.unlink(missing_ok=True)
    with place.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "skillwarden", "local", "serve", "--dir", str(place.root)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    place.pid_file.write_text(str(process.pid))
    return process.pid


def _wait(place: Folder, pid: int, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not place.ready_file.exists():
        if _ended(pid):
            place.pid_file.unlink(missing_ok=True)
            tail = place.log.read_text(errors="replace")[-2000:]
            raise SkillwardenError(f"the embedded cluster ended at once:\n{tail}", fix=f"See {place.log}.")
        if time.monotonic() > deadline:
            _end(pid)
            place.pid_file.unlink(missing_ok=True)
            raise SkillwardenError(f"it did not start within {seconds:g} s.", fix=f"See {place.log}.")
        time.sleep(0.1)


def _say_how(place: Folder) -> None:
    typer.echo(f"export KUBECONFIG={place.kubeconfig}")
    # For `skillwarden report`, which asks the depot.
    typer.echo(f"export SKILLWARDEN_DEPOT__UNIX_SOCKET={place.socket}")
    typer.echo(f"export SKILLWARDEN_DEPOT__KEY_FILE={place.key}")


@app.command()
def down(directory: DirectoryOption = None) -> None:
    """Stop it. What was applied to it is gone then; its advisories and the depot's artefacts stay."""
    place = folder(directory)
    pid = place.pid()
    if pid is None:
        typer.echo("It does not run.", err=True)
        return
    _end(pid)
    place.pid_file.unlink(missing_ok=True)
    place.ready_file.unlink(missing_ok=True)
    typer.echo("Stopped.", err=True)


def _end(pid: int, *, seconds: float = 30.0) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _ended(pid):
            return
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for a parent that does not collect it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state == "Z"


@app.command()
def status(directory: DirectoryOption = None, fmt: FormatOption = OutputFormat.TEXT) -> None:
    """Say whether it runs, where, and whether its sandboxes really isolate.

    Exit code 0: it runs. 1: it does not.
    """
    place = folder(directory)
    pid = place.pid()
    facts: dict[str, Any] = {
        "running": pid is not None and place.ready_file.exists(),
        "directory": str(place.root),
    }
    if facts["running"]:
        facts |= json.loads(place.ready_file.read_text())
        facts["pid"] = pid
    if fmt is OutputFormat.JSON:
        typer.echo(json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            typer.echo(f"{name}: {value}")
    raise typer.Exit(0 if facts["running"] else 1)


@app.command()
def serve(directory: DirectoryOption = None) -> None:
    """Run it in the foreground until it is told to stop; `up` runs this in the background."""
    _need_extra()
    from .localserve import serve_until_stopped  # noqa: PLC0415 - needs the extra `local`

    place = folder(directory)
    place.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not place.key.exists():
        place.key.touch(mode=0o600)
        place.key.write_text(secrets.token_hex(32))
    serve_until_stopped(place)


def _need_extra() -> None:
    if find_spec("cryptography") is None:
        raise SkillwardenError(
            "the embedded cluster is not installed.", fix="Install it: pip install 'skillwarden[local]'."
        )

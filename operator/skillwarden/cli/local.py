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
from rich.console import Console

from ..domain.errors import SkillwardenError
from ..runtime.settings import default_state_dir

app = typer.Typer(
    help="The embedded cluster: try Skillwarden on this machine, with no Kubernetes.", no_args_is_help=True
)

DirectoryOption = Annotated[
    Path | None, typer.Option("--dir", help="Its folder. Without it: `local` in the state folder.")
]
FormatOption = Annotated[str, typer.Option("--format", help="text or json.")]


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
        # A pid may have been given to somebody else since.
        if command.exists() and b"skillwarden" not in command.read_bytes():
            return None
        return pid


def folder(directory: Path | None) -> Folder:
    """Return the folder that was named, or the usual one."""
    return Folder((directory or default_state_dir() / "local").absolute())


@app.callback()
def group() -> None:
    """The embedded cluster: try Skillwarden on this machine, with no Kubernetes."""


@app.command()
def up(
    directory: DirectoryOption = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for it.")] = 120.0,
) -> None:
    """Start it in the background, and say how to use it."""
    _need_extra()
    place = folder(directory)
    console = Console(stderr=True)
    if place.pid() is not None:
        console.print("It runs already.")
        _say_how(place)
        return
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
    deadline = time.monotonic() + timeout
    with console.status("Starting the embedded cluster …"):
        while not place.ready_file.exists():
            if process.poll() is not None:
                tail = place.log.read_text(errors="replace")[-2000:]
                raise SkillwardenError(
                    f"the embedded cluster ended at once:\n{tail}", fix=f"See {place.log}."
                )
            if time.monotonic() > deadline:
                _end(process.pid)
                raise SkillwardenError(f"it did not start within {timeout:g} s.", fix=f"See {place.log}.")
            time.sleep(0.1)
    _say_how(place)


def _say_how(place: Folder) -> None:
    typer.echo(f"export KUBECONFIG={place.kubeconfig}")
    # For `skillwarden report`, which asks the depot.
    typer.echo(f"export SKILLWARDEN_DEPOT__UNIX_SOCKET={place.socket}")
    typer.echo(f"export SKILLWARDEN_DEPOT__KEY_FILE={place.key}")


@app.command()
def down(directory: DirectoryOption = None) -> None:
    """Stop it; everything that was applied to it is gone then."""
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
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@app.command()
def status(directory: DirectoryOption = None, fmt: FormatOption = "text") -> None:
    """Say whether it runs, where, and whether its sandboxes really isolate. Exit 0 if it runs, else 1."""
    place = folder(directory)
    pid = place.pid()
    facts: dict[str, Any] = {
        "running": pid is not None and place.ready_file.exists(),
        "directory": str(place.root),
    }
    if facts["running"]:
        facts |= json.loads(place.ready_file.read_text())
        facts["pid"] = pid
    if fmt == "json":
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

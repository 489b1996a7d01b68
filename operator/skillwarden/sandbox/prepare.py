"""``skillwarden sandbox prepare``: make the volume that a skill's container mounts read-only.

Nothing the depot says is believed: the Pod's spec names two digests (three with an input), and every byte
is checked against them. Whatever does not fit ends the Pod with its own exit code and one line of reason.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from ..domain import content
from ..domain.errors import IntegrityError, InvalidInputError, SkillwardenError, UnavailableError
from ..domain.lock import Lock
from ..domain.skill import SourceFile
from . import settings as names
from .install import install
from .install_npm import install_npm
from .isolated import Isolating
from .settings import PrepareSettings
from .transfer import DepotReader

EXIT_USAGE = 64
EXIT_INTEGRITY = 65
EXIT_FAILED = 70
EXIT_UNAVAILABLE = 75
EXIT_STOPPED = 143

_MAX_LOCK_BYTES = 8 << 20
_MAX_CONTENT_BYTES = 2 << 20
_MAX_INPUT_BYTES = 1 << 20
#: What the kubelet keeps of a termination message.
_MAX_MESSAGE_BYTES = 4096


def main() -> int:
    """Prepare as the environment says; return the exit code."""
    os.umask(0o022)  # for pip: the skill's container reads what it writes
    # The first process of a container has no default for it: a deleted Pod would wait out its grace period.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_STOPPED))
    try:
        settings = PrepareSettings.from_env(os.environ)
    except InvalidInputError as error:
        return _fail(EXIT_USAGE, str(error), termination_log=Path("/dev/termination-log"))
    return run(settings)


def run(settings: PrepareSettings) -> int:
    """Prepare a volume and return the exit code; a failure leaves nothing that could run.

    Parameters
    ----------
    settings
        What to prepare.
    """
    try:
        prepare(settings)
    except IntegrityError as error:
        code, reason = EXIT_INTEGRITY, str(error)
    except UnavailableError as error:
        code, reason = EXIT_UNAVAILABLE, str(error)
    except SkillwardenError as error:
        code, reason = EXIT_FAILED, str(error)
    except OSError as error:
        code, reason = EXIT_FAILED, f"the sandbox's volume cannot be written: {error.strerror or error}."
    else:
        return 0
    _clear(settings.volume)
    return _fail(code, reason, termination_log=settings.termination_log)


def prepare(settings: PrepareSettings) -> None:
    """Fetch, verify, unpack and install.

    Raises
    ------
    IntegrityError, UnavailableError, InstallError, OSError
        As ``run`` tells them apart.
    """
    started = time.monotonic()
    isolating = Isolating.from_env(os.environ) if settings.isolated else None
    volume = settings.volume
    scratch = volume / names.SCRATCH
    # An init container that is started again finds what the last attempt left.
    _clear(volume)
    scratch.mkdir(mode=0o700)
    try:
        reader = DepotReader(
            settings.depot_url, token=settings.token, patience_seconds=settings.patience_seconds
        )
        lock = fetch_lock(reader, settings.lock_digest)
        _say(f"lock {settings.lock_digest} verified: {len(lock.packages)} packages for {lock.platform}")
        files = fetch_content(reader, settings.content_digest)
        write_files(volume / names.SOURCE, files)
        _say(f"content {settings.content_digest} verified: {len(files)} files written")
        if settings.input_digest is not None:
            data = fetch_input(reader, settings.input_digest)
            write_file(volume / names.INPUT, data)
            _say(f"input {settings.input_digest} verified: {len(data)} bytes written")
        install(lock, settings=settings, target=volume / names.ENVIRONMENT, scratch=scratch)
        install_npm(lock, reader=reader, volume=volume, scratch=scratch)
        _say(f"{len(lock.packages)} packages installed and compared with the lock")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if isolating is not None:
        _say(isolating.wait())
    _say(f"the sandbox is ready after {time.monotonic() - started:.1f} s")


def fetch_lock(reader: DepotReader, digest: str) -> Lock:
    """Return the lock of a digest.

    Raises
    ------
    IntegrityError
        Where the depot's record is no lock, or another one.
    UnavailableError
        Where there is no record to be had.
    """
    body = reader.get(f"/sandbox/locks/{digest}", limit=_MAX_LOCK_BYTES)
    try:
        lock = Lock.from_json(json.loads(body))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"the depot's record of the lock {digest} cannot be read: {error!r}.") from error
    if lock.digest != digest:
        raise IntegrityError(
            f"the depot's record is the lock {lock.digest}, but the Pod was judged for {digest}."
        )
    return lock


def fetch_content(reader: DepotReader, digest: str) -> tuple[SourceFile, ...]:
    """Return the files of a content digest.

    Raises
    ------
    IntegrityError
        Where the bytes have another digest, or name a file that may not be written.
    UnavailableError
        Where there are no bytes to be had.
    """
    body = reader.get(f"/sandbox/contents/{digest}", limit=_MAX_CONTENT_BYTES)
    _check(body, digest, what="content")
    try:
        return content.unpack(body)
    except InvalidInputError as error:
        raise IntegrityError(f"the content {digest} is refused: {error}") from error


def fetch_input(reader: DepotReader, digest: str) -> bytes:
    """Return a run's input; raises as ``fetch_content``."""
    body = reader.get(f"/sandbox/inputs/{digest}", limit=_MAX_INPUT_BYTES)
    _check(body, digest, what="input")
    return body


def write_files(root: Path, files: Iterable[SourceFile]) -> None:
    """Write files below a folder that must not exist yet; every path was checked by ``content.unpack``."""
    make_folder(root)
    for file in files:
        path = root / file.path
        for parent in reversed(path.relative_to(root).parents[:-1]):
            if not (root / parent).is_dir():
                make_folder(root / parent)
        write_file(path, file.content)


def make_folder(path: Path) -> None:
    """Make a new folder that everybody may read, whatever the umask."""
    path.mkdir()
    path.chmod(0o755)


def write_file(path: Path, data: bytes) -> None:
    """Write a new file that everybody may read; what stands there already, or a symlink, is an error."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(data)


def _check(body: bytes, digest: str, *, what: str) -> None:
    found = content.digest_of(body)
    if found != digest:
        raise IntegrityError(
            f"the depot's {what} has the digest {found}, but the Pod was judged for {digest}."
        )


def _clear(volume: Path) -> None:
    for name in (names.SOURCE, names.ENVIRONMENT, names.MODULES, names.SCRATCH):
        shutil.rmtree(volume / name, ignore_errors=True)
    (volume / names.INPUT).unlink(missing_ok=True)


def _say(line: str) -> None:
    print(f"prepare: {line}", flush=True)  # noqa: T201 - the init container's log


def _fail(code: int, reason: str, *, termination_log: Path) -> int:
    """Say the reason where a person and where the operator looks for it."""
    line = " ".join(reason.split())
    print(f"prepare: failed: {line}", file=sys.stderr, flush=True)  # noqa: T201 - the init container's log
    try:
        termination_log.write_bytes(line.encode()[:_MAX_MESSAGE_BYTES])
    except OSError as error:
        print(f"prepare: no termination message: {error}", file=sys.stderr)  # noqa: T201 - as above
    return code

"""What a canary Pod runs: whether it can reach an address, and how many threads it may start.

``python -I -m skillwarden.sandbox.canary reach|blocked HOST PORT`` writes one JSON object to the termination
message. It says what it saw; the operator draws the conclusions, from two of them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path

MESSAGE = "/dev/termination-log"
ATTEMPT_SECONDS = 2.0
#: Network plugins take moments to apply a policy to a new Pod: only what stays open is open.
SETTLE_SECONDS = 30.0
#: So many refusals in a row, and it is closed.
IN_A_ROW = 4
#: The kubelet's podPidsLimit counts threads; above this, nothing that matters is limited.
MAX_PIDS = 4096
_PAUSE_SECONDS = 0.5


def connects(host: str, port: int, *, seconds: float = ATTEMPT_SECONDS) -> bool:
    """Whether a TCP connection can be opened now, or in some seconds."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except OSError:
        return False


def reached(
    host: str,
    port: int,
    *,
    until_blocked: bool,
    seconds: float = SETTLE_SECONDS,
    attempt_seconds: float = ATTEMPT_SECONDS,
    in_a_row: int = IN_A_ROW,
) -> bool:
    """Return whether an address can be reached.

    Parameters
    ----------
    host, port
        The address.
    until_blocked
        ``False``: try until it is reached. ``True``: try until it is not, several times in a row.
    seconds
        How long to try.
    attempt_seconds
        How long one attempt may take.
    in_a_row
        So many that fail, and it is blocked.
    """
    deadline = time.monotonic() + seconds
    refusals = 0
    while True:
        seen = connects(host, port, seconds=attempt_seconds)
        refusals = 0 if seen else refusals + 1
        if seen and not until_blocked:
            return True
        if until_blocked and refusals >= in_a_row:
            return False
        if time.monotonic() >= deadline:
            return seen
        time.sleep(min(_PAUSE_SECONDS, attempt_seconds / 2))


def pids_limit(limit: int = MAX_PIDS) -> int | None:
    """Return how many threads the kernel lets one start, or ``None`` if more than ``limit``."""
    threading.stack_size(64 * 1024)
    ending = threading.Event()
    started: list[threading.Thread] = []
    try:
        while len(started) < limit:
            thread = threading.Thread(target=ending.wait, daemon=True)
            thread.start()
            started.append(thread)
    except (RuntimeError, MemoryError):
        # This one is a process, too.
        return len(started) + 1
    finally:
        ending.set()
        for thread in started:
            thread.join()
    return None


def main(arguments: list[str], *, message: Path | None = None) -> int:
    """Look, and write what was seen."""
    expected, host, port = arguments
    record: dict[str, int | None] = {"reached": reached(host, int(port), until_blocked=expected == "blocked")}
    if expected == "blocked":
        record |= {"pids": pids_limit()}
    (message or Path(os.environ.get("SKILLWARDEN_CANARY_MESSAGE", MESSAGE))).write_text(json.dumps(record))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

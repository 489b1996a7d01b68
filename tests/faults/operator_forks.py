"""Starts operators as forks of one process that has imported everything: most of a start is that.

Reads a line of JSON for each: ``{"environment": {...}, "log": PATH, "ended": PATH}``, and answers with its
pid. How it ended stands in the file ``ended``, as ``subprocess`` counts it. When there is nothing more to
read, all are ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import skillwarden.cli.operator  # noqa: F401 - what it is for
from skillwarden.cli.main import main

ENDED: dict[int, str] = {}


def reap(*_: object) -> None:
    """Write down how each ended."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = found
            place = ENDED.pop(pid)
            Path(f"{place}.new").write_text(str(os.waitstatus_to_exitcode(status)))
            Path(f"{place}.new").rename(place)


def run(job: dict[str, Any]) -> None:
    """Become ``skillwarden operator run``."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    log = os.open(job["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for old, new in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    os.environ.clear()
    os.environ.update(job["environment"])
    random.seed()
    sys.argv = ["skillwarden", "operator", "run"]
    code = 1
    try:
        main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Fork for each line, until there is none."""
    signal.signal(signal.SIGCHLD, reap)
    for line in sys.stdin:
        job = json.loads(line)
        # Not reaped before it is known where to say so.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            run(job)
        ENDED[pid] = job["ended"]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()
    for pid in list(ENDED):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()

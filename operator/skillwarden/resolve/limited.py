"""Start a command under resource limits: ``python -I -S limited.py BYTES -- COMMAND ...``.

``preexec_fn`` runs Python between fork and exec of a process with threads, where it can deadlock; a tiny
interpreter that sets its own limits and then becomes the command cannot. It imports nothing of ours, so
that it starts in about 15 ms.

RLIMIT_AS bounds one process's address space. That is enough here: the resolver is one process whose one
child is an interpreter that prints its version. The container's cgroup stays the bound of the whole.
"""

from __future__ import annotations

import os
import resource
import sys

#: As shells have it.
CANNOT_START = 127


def main(arguments: list[str]) -> None:
    """Set the limits and become the command."""
    limit, separator, *command = arguments
    if separator != "--" or not command:
        raise SystemExit("usage: limited.py BYTES -- COMMAND ...")
    memory = int(limit)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        os.execv(command[0], command)  # noqa: S606 - an argument list, and no shell is wanted
    except OSError as error:
        sys.stderr.write(f"error: {error.strerror}\n")
        raise SystemExit(CANNOT_START) from None


if __name__ == "__main__":
    main(sys.argv[1:])

"""Start a command under resource limits: ``python -I -S limited.py BYTES -- COMMAND ...``.

``preexec_fn`` runs Python between fork and exec of a process with threads, where it can deadlock; a tiny
interpreter that sets its own limits and then becomes the command cannot. It imports nothing of ours, so
that it starts in about 15 ms.

RLIMIT_DATA bounds what one process may have for itself. That is enough here: each tool is one process, or one
whose only child is an interpreter that prints its version. It must be less than the container may use: when
that runs out, the kernel may end the operator as well. Of addresses (RLIMIT_AS) much is reserved and never
touched, by V8 and by thread stacks, so they have a wide bound, against what is mapped and shared.
"""

from __future__ import annotations

import os
import resource
import sys

#: As shells have it.
CANNOT_START = 127
#: Bytes of addresses.
ADDRESSES = 8 * 1024**3


def main(arguments: list[str]) -> None:
    """Set the limits and become the command."""
    limit, separator, *command = arguments
    if separator != "--" or not command:
        raise SystemExit("usage: limited.py BYTES -- COMMAND ...")
    memory = int(limit)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        os.execv(command[0], command)  # noqa: S606 - an argument list, and no shell is wanted
    except OSError as error:
        sys.stderr.write(f"error: {error.strerror}\n")
        raise SystemExit(CANNOT_START) from None


if __name__ == "__main__":
    main(sys.argv[1:])

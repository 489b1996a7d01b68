"""Runs inside of a sandbox: listens on its loopback, forwards to the depot's unix socket, starts the command.

The standard library only, and nothing of this package: the sandbox has the script alone. It listens before it
becomes the command, so that the command's first connection finds it; the forwarding child lives until the
sandbox's process namespace ends.

Usage: relay.py PORT SOCKET -- COMMAND [ARGUMENT...]
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading

_CHUNK = 65536


def main(arguments: list[str]) -> None:
    """Listen, split off the relay, become the command."""
    port, path, command = int(arguments[0]), arguments[1], arguments[3:]
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    if os.fork() == 0:
        serve(listener, path)
    listener.close()
    try:
        os.execvp(command[0], command)  # noqa: S606 (no shell is the point)
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]}: {error.strerror}\n")
        sys.exit(127)


def serve(listener: socket.socket, path: str) -> None:
    """Forward each connection, for good."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=forward, args=(client, path), daemon=True).start()


def forward(client: socket.socket, path: str) -> None:
    """Copy both ways until both sides are done."""
    depot = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with client, depot:
        try:
            depot.connect(path)
        except OSError:
            return
        back = threading.Thread(target=copy, args=(depot, client), daemon=True)
        back.start()
        copy(client, depot)
        back.join()


def copy(source: socket.socket, target: socket.socket) -> None:
    """Copy one way, then say that no more comes."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(sys.argv[1:])

# ruff: noqa: PTH110, PTH115, PTH123, PTH208, PLW1510, SIM115
"""A hostile skill: tries to get out, and leaves what it got as its termination message.

Each attempt returns what it achieved, or raises; the report says for each the result or the error. Run inside
of a sandbox with the standard library alone.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    "x86_64": {
        "ptrace": 101,
        "keyctl": 250,
        "bpf": 321,
        "unshare": 272,
        "clone": 56,
        "mount": 165,
        "io_uring_setup": 425,
        "perf_event_open": 298,
        "process_vm_readv": 310,
        "setns": 308,
        "userfaultfd": 323,
        "open_by_handle_at": 304,
        "personality": 135,
        "add_key": 248,
        "clone3": 435,
        "chroot": 161,
    },
    "aarch64": {
        "ptrace": 117,
        "keyctl": 219,
        "bpf": 280,
        "unshare": 97,
        "clone": 220,
        "mount": 40,
        "io_uring_setup": 425,
        "perf_event_open": 241,
        "process_vm_readv": 270,
        "setns": 268,
        "userfaultfd": 282,
        "open_by_handle_at": 265,
        "personality": 92,
        "add_key": 217,
        "clone3": 435,
        "chroot": 51,
    },
}[os.uname().machine]
CLONE_NEWUSER = 0x10000000


def call(name, *arguments):
    LIBC.syscall.restype = ctypes.c_long
    result = LIBC.syscall(NUMBERS[name], *[ctypes.c_long(each) for each in arguments])
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def read(path):
    with open(path) as file:
        return file.read(64) or "empty"


def environment(pid):
    content = read(f"/proc/{pid}/environ")
    if content == "empty":
        raise FileNotFoundError(2, "nothing is in it")
    return content


def write(path):
    with open(path, "w") as file:
        return file.write("x")


def connect(address, port):
    with socket.create_connection((address, port), timeout=2):
        return "connected"


def mount():
    result = LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None)
    if result:
        raise OSError(ctypes.get_errno(), "mount")
    return "mounted"


def clone_user_namespace():
    pid = call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a user namespace"


def host_processes():
    seen = [int(each) for each in os.listdir("/proc") if each.isdigit()]
    if len(seen) > 8:
        return f"{len(seen)} processes"
    raise PermissionError(1, f"{len(seen)} of this sandbox's own")


def kill_everything():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.kill(-1, signal.SIGTERM)
    return "signalled"


def become_root():
    os.setuid(0)
    return "root"


def kill_init():
    os.kill(1, signal.SIGKILL)
    raise PermissionError(1, "still here")


def setuid_program():
    found = [path for path in ("/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd") if os.path.exists(path)]
    mine = [
        line
        for path in found
        for line in subprocess.run([path, "--version"], capture_output=True, text=True).stdout.splitlines()
    ]
    uid = os.geteuid()
    raise PermissionError(1, f"still {uid} after {len(found)} programs and {len(mine)} lines")


def fork_many(count):
    children = []
    try:
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
        return f"{count} processes"
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)


def allocate(size):
    """In a child: what ends it must not end the report. Touches every page."""
    pid = os.fork()
    if pid == 0:
        try:
            block = bytearray(size)
            for index in range(0, size, 4096):
                block[index] = 1
        except MemoryError:
            os._exit(9)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) == 0:
        return f"{size} bytes"
    raise MemoryError(f"ended with {os.waitstatus_to_exitcode(status)}")


def fill(path, size):
    with open(path, "wb") as file:
        for _ in range(size // 65536):
            file.write(b"x" * 65536)
    return f"{size} bytes"


def descriptors():
    extra = [fd for fd in os.listdir("/proc/self/fd") if int(fd) > 2]
    if len(extra) > 1:  # listdir's own
        return str([os.readlink(f"/proc/self/fd/{fd}") for fd in extra])
    raise FileNotFoundError(2, "only 0, 1 and 2")


def limits(pid):
    """The rlimits that matter, as the kernel tells them; process 1 must be held to the same."""
    lines = open(f"/proc/{pid}/limits").read().splitlines()
    names = ("Max processes", "Max address space", "Max file size", "Max open files", "Max core file size")
    return {
        name: line.split(name)[1].split()[:2] for line in lines for name in names if line.startswith(name)
    }


def privileges(pid):
    wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    lines = dict(
        line.split(":\t") for line in open(f"/proc/{pid}/status").read().splitlines() if ":\t" in line
    )
    return {name: lines[name] for name in wanted}


def alien_family(family):
    socket.socket(family, socket.SOCK_STREAM).close()
    return "a socket"


def main(attempts):
    report = {}
    for name, expression in attempts.items():
        try:
            report[name] = {"got": eval(expression)}
        except BaseException as error:
            report[name] = {"error": type(error).__name__, "errno": getattr(error, "errno", None)}
    with open("/dev/termination-log", "w") as file:
        json.dump(report, file, separators=(",", ":"))


main(json.loads(sys.argv[1]))

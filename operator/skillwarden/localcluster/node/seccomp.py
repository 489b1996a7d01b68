"""The seccomp filter of every sandbox, compiled here because bwrap brings none of its own.

A sandbox has no capability and, run by root, no user namespace of its own; the filter closes what those
two leave: kernel surface that an unprivileged process reaches anyway (a new user namespace, keyrings, bpf,
io_uring, ptrace of a sibling) and address families that a network namespace does not contain (AF_VSOCK
reaches the hypervisor of a virtual machine from any network namespace).

The program is a list of ``struct sock_filter`` as in linux/filter.h, returned as bytes for ``bwrap
--seccomp``.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

# linux/bpf_common.h and linux/seccomp.h
_LOAD_WORD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_RETURN = 0x06
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000

# struct seccomp_data: nr, arch, instruction pointer, then six 64-bit arguments (low half first: little
# endian)
_OFFSET_NR = 0
_OFFSET_ARCH = 4
_OFFSET_ARG0 = 16

_X32_BIT = 0x40000000
# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (sched.h). CLONE_NEWTIME shares its bit with
# the exit signal and cannot be asked of clone(2).
_CLONE_NAMESPACES = 0x7E020000

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
ALLOWED_FAMILIES = (_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One machine's audit number and the numbers of the calls that the filter names."""

    audit: int
    clone: int
    clone3: int
    socket: int
    socketpair: int
    denied: dict[str, int]
    has_x32: bool = False


# Calls with one number on every architecture since 2019 (Linux 5.1).
_COMMON = {
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "mount_setattr": 442,
    "quotactl_fd": 443,
    "open_tree_attr": 467,
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
}

X86_64 = Architecture(
    audit=0xC000003E,
    clone=56,
    clone3=435,
    socket=41,
    socketpair=53,
    has_x32=True,
    denied={
        "ptrace": 101,
        "syslog": 103,
        "uselib": 134,
        "personality": 135,
        "ustat": 136,
        "sysfs": 139,
        "vhangup": 153,
        "modify_ldt": 154,
        "pivot_root": 155,
        "_sysctl": 156,
        "adjtimex": 159,
        "chroot": 161,
        "acct": 163,
        "settimeofday": 164,
        "mount": 165,
        "umount2": 166,
        "swapon": 167,
        "swapoff": 168,
        "reboot": 169,
        "sethostname": 170,
        "setdomainname": 171,
        "iopl": 172,
        "ioperm": 173,
        "create_module": 174,
        "init_module": 175,
        "delete_module": 176,
        "get_kernel_syms": 177,
        "query_module": 178,
        "quotactl": 179,
        "nfsservctl": 180,
        "lookup_dcookie": 212,
        "clock_settime": 227,
        "kexec_load": 246,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "migrate_pages": 256,
        "unshare": 272,
        "move_pages": 279,
        "perf_event_open": 298,
        "fanotify_init": 300,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "clock_adjtime": 305,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "kcmp": 312,
        "finit_module": 313,
        "kexec_file_load": 320,
        "bpf": 321,
        "userfaultfd": 323,
        **_COMMON,
    },
)

AARCH64 = Architecture(
    audit=0xC00000B7,
    clone=220,
    clone3=435,
    socket=198,
    socketpair=199,
    denied={
        "lookup_dcookie": 18,
        "umount2": 39,
        "mount": 40,
        "pivot_root": 41,
        "nfsservctl": 42,
        "chroot": 51,
        "vhangup": 58,
        "quotactl": 60,
        "acct": 89,
        "personality": 92,
        "unshare": 97,
        "kexec_load": 104,
        "init_module": 105,
        "delete_module": 106,
        "clock_settime": 112,
        "syslog": 116,
        "ptrace": 117,
        "reboot": 142,
        "sethostname": 161,
        "setdomainname": 162,
        "settimeofday": 170,
        "adjtimex": 171,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "swapon": 224,
        "swapoff": 225,
        "migrate_pages": 238,
        "move_pages": 239,
        "perf_event_open": 241,
        "fanotify_init": 262,
        "name_to_handle_at": 264,
        "open_by_handle_at": 265,
        "clock_adjtime": 266,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "kcmp": 272,
        "finit_module": 273,
        "bpf": 280,
        "userfaultfd": 282,
        "kexec_file_load": 294,
        **_COMMON,
    },
)

ARCHITECTURES = {"x86_64": X86_64, "aarch64": AARCH64, "arm64": AARCH64}


def compile_filter(machine: str) -> bytes:
    """The filter for this machine.

    Parameters
    ----------
    machine
        As ``platform.machine()`` says it.

    Returns
    -------
    bytes
        ``struct sock_filter[]``: a denied call fails with EPERM, clone3 with ENOSYS (the C library then uses
        clone, whose flags a filter can read), an address family outside of `ALLOWED_FAMILIES` with
        EAFNOSUPPORT; a call by another architecture's ABI (x32 too) kills the process.

    Raises
    ------
    LookupError
        No filter is known for this architecture: the node must not run anything then.
    """
    architecture = ARCHITECTURES.get(machine)
    if architecture is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise LookupError(f"no seccomp filter is known for the architecture {machine!r} (known: {known})")
    return b"".join(_program(architecture))


def _program(architecture: Architecture) -> list[bytes]:
    program = [
        _statement(_LOAD_WORD, _OFFSET_ARCH),
        _jump(_JUMP_EQUAL, architecture.audit, if_true=1, if_false=0),
        _statement(_RETURN, _KILL_PROCESS),
        _statement(_LOAD_WORD, _OFFSET_NR),
    ]
    if architecture.has_x32:
        program += [
            _jump(_JUMP_GREATER_EQUAL, _X32_BIT, if_true=0, if_false=1),
            _statement(_RETURN, _KILL_PROCESS),
        ]
    program += _refuse(architecture.clone3, errno.ENOSYS)
    for number in sorted(architecture.denied.values()):
        program += _refuse(number, errno.EPERM)
    program += _clone(architecture.clone)
    program += _families(architecture.socket)
    program += _families(architecture.socketpair)
    program.append(_statement(_RETURN, _ALLOW))
    return program


def _refuse(number: int, error: int) -> list[bytes]:
    return [
        _jump(_JUMP_EQUAL, number, if_true=0, if_false=1),
        _statement(_RETURN, _ERRNO | error),
    ]


def _clone(number: int) -> list[bytes]:
    return [
        _jump(_JUMP_EQUAL, number, if_true=0, if_false=4),
        _statement(_LOAD_WORD, _OFFSET_ARG0),
        _jump(_JUMP_ANY_BIT, _CLONE_NAMESPACES, if_true=0, if_false=1),
        _statement(_RETURN, _ERRNO | errno.EPERM),
        _statement(_RETURN, _ALLOW),
    ]


def _families(number: int) -> list[bytes]:
    count = len(ALLOWED_FAMILIES)
    return [
        _jump(_JUMP_EQUAL, number, if_true=0, if_false=count + 3),
        _statement(_LOAD_WORD, _OFFSET_ARG0),
        *(
            _jump(_JUMP_EQUAL, family, if_true=count - index, if_false=0)
            for index, family in enumerate(ALLOWED_FAMILIES)
        ),
        _statement(_RETURN, _ERRNO | errno.EAFNOSUPPORT),
        _statement(_RETURN, _ALLOW),
    ]


def _statement(code: int, operand: int) -> bytes:
    return struct.pack("<HBBI", code, 0, 0, operand)


def _jump(code: int, operand: int, *, if_true: int, if_false: int) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, operand)

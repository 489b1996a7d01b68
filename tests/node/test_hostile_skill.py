"""A skill that wants out: each attempt fails, on a node run by root and on one run by an ordinary user."""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from node_processes import Runner
from node_support import make_container, make_pod, state_of

HOSTILE = Path(__file__).with_name("hostile.py").read_text()

BY_ROOT = pytest.param(("root", {}), id="by root, with cgroups")
BY_ROOT_RLIMITS = pytest.param(("root", {"cgroup_parent": None}), id="by root, without cgroups")
BY_USER = pytest.param(("user", {}), id="by a user")
everywhere = pytest.mark.parametrize("runner", [BY_ROOT, BY_ROOT_RLIMITS, BY_USER], indirect=True)

# Each attempt's name, and what `hostile.py` evaluates for it.
READING = {
    "read the host's passwords": "read('/etc/shadow')",
    "list root's home": "os.listdir('/root/.ssh')",
    "list homes": "os.listdir('/home')",
    "list the host's /var": "os.listdir('/var')",
    "list /sys": "os.listdir('/sys')",
    "reach the container engine": "os.stat('/var/run/docker.sock')",
    "read the kernel's memory": "read('/proc/kcore')",
    "read the environment of process 1": "environment(1)",
    "find open descriptors": "descriptors()",
    "see the host's processes": "host_processes()",
}
WRITING = {
    "write to the root": "write('/x')",
    "write to /usr": "write('/usr/x')",
    "write to /etc": "write('/etc/passwd')",
    "write to /dev": "write('/dev/x')",
    "write to /run": "write('/run/x')",
    "write the core pattern": "write('/proc/sys/kernel/core_pattern')",
    "write a network setting": "write('/proc/sys/net/ipv4/ip_forward')",
    "press a magic key": "write('/proc/sysrq-trigger')",
}
NETWORK = {
    "connect to the host's loopback": "connect('127.0.0.1', {port})",
    "connect to the outside": "connect('192.0.2.1', 80)",
    "connect to an abstract socket": "socket.socket(socket.AF_UNIX).connect(chr(0) + '{abstract}')",
    "reach the hypervisor": "alien_family(40)",
    "open a crypto socket": "alien_family(38)",
    "open a packet socket": "alien_family(17)",
}
KERNEL = {
    "mount": "mount()",
    "unshare a user namespace": "call('unshare', CLONE_NEWUSER)",
    "clone a user namespace": "clone_user_namespace()",
    "clone3": "call('clone3', 0, 0)",
    "ptrace": "call('ptrace', 0, 0, 0, 0)",
    "read another process's memory": "call('process_vm_readv', os.getpid(), 0, 0, 0, 0, 0)",
    "join a namespace": "call('setns', 0, 0)",
    "load a bpf program": "call('bpf', 0, 0, 0)",
    "use a keyring": "call('keyctl', 0, -3, 0)",
    "add a key": "call('add_key', 0, 0, 0, 0, 0)",
    "set up io_uring": "call('io_uring_setup', 1, 0)",
    "open a performance counter": "call('perf_event_open', 0, 0, 0, 0, 0)",
    "handle page faults": "call('userfaultfd', 0)",
    "open by handle": "call('open_by_handle_at', 0, 0, 0)",
    "change personality": "call('personality', 0x0040000)",
    "change root": "call('chroot', 0)",
}
PRIVILEGE = {
    "become root": "become_root()",
    "kill process 1": "kill_init()",
    "gain by a setuid program": "setuid_program()",
}

SETTINGS = {"write the core pattern", "write a network setting"}
READ_ONLY = {"write to the root", "write to /usr", "write to /etc", "write to /dev", *SETTINGS}

REFUSED = {"PermissionError", "FileNotFoundError", "OSError", "ConnectionRefusedError", "NotADirectoryError"}


async def attack(runner: Runner, attempts: dict[str, str], **container: Any) -> dict[str, Any]:
    """Run the attempts in a sandbox; give its report."""
    command = ["python", "-c", HOSTILE, json.dumps(attempts)]
    limits = {"resources": {"limits": {"memory": "256Mi", "cpu": "2", "ephemeral-storage": "64Mi"}}}
    pod = make_pod(
        make_container(
            command=command, volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}], **{**limits, **container}
        ),
        volumes=[{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
    )
    ran = await runner.cluster.run(pod)
    terminated = state_of(ran)["terminated"]
    assert terminated["exitCode"] == 0, ran["status"]
    return json.loads(terminated["message"])


@everywhere
@pytest.mark.parametrize("attempts", [READING, WRITING, PRIVILEGE], ids=["reading", "writing", "privilege"])
async def test_files_and_privileges_are_out_of_reach(runner: Runner, attempts: dict[str, str]) -> None:
    report = await attack(runner, attempts)

    assert {name: result for name, result in report.items() if result.get("error") not in REFUSED} == {}
    assert set(report) == set(attempts)
    # Not merely owned by somebody else, but mounted read-only: a second lock that must hold by itself.
    read_only = {name for name, result in report.items() if result["errno"] == errno.EROFS}
    assert read_only == (READ_ONLY if runner.as_root else READ_ONLY - SETTINGS) & set(attempts)
    assert "skillwarden" not in Path("/proc/sys/kernel/core_pattern").read_text()


@everywhere
async def test_there_is_no_network(runner: Runner) -> None:
    abstract = f"skillwarden-test-{id(runner)}"
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind("\0" + abstract)
        hidden.listen()
        port = listener.getsockname()[1]
        attempts = {
            name: text.replace("{port}", str(port)).replace("{abstract}", abstract)
            for name, text in NETWORK.items()
        }
        report = await attack(runner, attempts)

    assert {name: result for name, result in report.items() if result.get("error") not in REFUSED} == {}
    assert report["reach the hypervisor"]["errno"] == 97  # EAFNOSUPPORT, by the filter


@everywhere
async def test_the_kernel_refuses_what_a_container_has_no_business_with(runner: Runner) -> None:
    report = await attack(runner, KERNEL)

    wrong = {
        name: result
        for name, result in report.items()
        if result.get("errno") != (38 if name == "clone3" else 1)  # ENOSYS and EPERM, by the filter
    }
    assert wrong == {}


@everywhere
async def test_no_capability_is_left_and_a_filter_holds(runner: Runner) -> None:
    attempts = {
        "mine": "privileges('self')",
        "process 1's": "privileges(1)",
        "memory": "open('/proc/1/mem', 'rb').name",
    }
    report = await attack(runner, attempts)

    none = "0000000000000000"
    sets = dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), none)
    assert report["mine"]["got"] == {**sets, "NoNewPrivs": "1", "Seccomp": "2"}
    if runner.as_root:
        # It is root without a capability, and out of reach.
        assert {**report["process 1's"]["got"], "CapBnd": none} == report["mine"]["got"]
        assert report["memory"]["error"] == "PermissionError"
    else:
        # It has the workload's own user, who may make it do anything: it must be held to the same.
        assert report["process 1's"] == report["mine"]


@everywhere
async def test_process_1_is_held_to_the_same_limits(runner: Runner) -> None:
    report = await attack(runner, {"mine": "limits('self')", "process 1's": "limits(1)"})

    assert report["mine"] == report["process 1's"]
    assert report["mine"]["got"]["Max core file size"] == ["0", "0"]
    if not runner.as_root:
        assert report["mine"]["got"]["Max processes"] == ["64", "64"]
        assert report["mine"]["got"]["Max address space"] == [str((256 + 512) << 20)] * 2


@everywhere
async def test_a_fork_bomb_is_contained(runner: Runner) -> None:
    report = await attack(runner, {"fork": "fork_many(500)"})

    assert report["fork"]["error"] == "BlockingIOError"


@everywhere
async def test_sandboxes_full_of_processes_do_not_keep_another_from_starting(runner: Runner) -> None:
    for name in ("full", "full-too"):
        await runner.cluster.create(make_fork_bomb(name))
        await runner.cluster.wait(lambda pod: "terminated" in state_of(pod, "watch"), name)

    ran = await runner.cluster.run(make_pod())

    assert state_of(ran)["terminated"]["exitCode"] == 0, ran["status"]


def make_fork_bomb(name: str) -> dict[str, Any]:
    """A Pod that keeps as many processes as it gets; its container `watch` ends once there are no more."""
    until = (
        "import os, signal, time\ndef until(name):\n    while not os.path.exists(name): time.sleep(0.05)\n"
    )
    fill = (
        "until('/shared/watched')\n"
        "while True:\n"
        "    try:\n"
        "        if not os.fork(): signal.pause()\n"
        "    except BlockingIOError:\n"
        "        os.makedirs('/shared/full', exist_ok=True)\n"
        "        time.sleep(0.05)"
    )
    watch = "os.mkdir('/shared/watched')\nuntil('/shared/full')"
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    return make_pod(
        make_container(until + fill, volumeMounts=mounts),
        make_container(until + watch, name="watch", volumeMounts=mounts),
        name=name,
        volumes=[{"name": "shared", "emptyDir": {}}],
    )


@everywhere
async def test_two_gibibytes_are_not_to_be_had(runner: Runner) -> None:
    report = await attack(runner, {"allocate": "allocate(2 << 30)"})

    assert report["allocate"]["error"] == "MemoryError"


@everywhere
async def test_many_processes_together_are_held_to_the_memory_limit(runner: Runner) -> None:
    code = (
        "import os, time\n"
        "for _ in range(8):\n"
        "    if os.fork() == 0:\n"
        "        block = bytearray(100 << 20)\n"
        "        for index in range(0, len(block), 4096): block[index] = 1\n"
        "        while True: time.sleep(60)\n"
        "for _ in range(8): os._exit(1) if os.wait()[1] else None\n"
    )
    pod = make_pod(make_container(code, resources={"limits": {"memory": "256Mi"}}), activeDeadlineSeconds=60)

    ran = await runner.cluster.run(pod)

    assert state_of(ran)["terminated"]["reason"] == "OOMKilled"
    assert state_of(ran)["terminated"]["exitCode"] == 137


@everywhere
async def test_other_pods_volumes_cannot_be_seen(runner: Runner) -> None:
    volumes = [{"name": "secret", "emptyDir": {}}]
    mount = [{"name": "secret", "mountPath": "/secret"}]
    code = "open('/secret/treasure', 'w').write('x'); import time; time.sleep(600)"
    await runner.cluster.create(
        make_pod(make_container(code, volumeMounts=mount), name="victim", volumes=volumes)
    )
    await runner.cluster.wait(lambda pod: pod["status"].get("phase") == "Running", "victim")

    search = (
        "[path for path, _, files in os.walk('/')"
        " if not path.startswith(('/proc', '/usr')) and 'treasure' in files]"
    )
    report = await attack(
        runner,
        {
            "search": search,
            "mounts": "[line for line in open('/proc/self/mountinfo') if '/secret' in line]",
            "work": f"os.listdir({str(runner.work_dir)!r})",
        },
    )

    assert report["search"] == {"got": []}
    assert report["mounts"] == {"got": []}
    assert report["work"]["error"] == "FileNotFoundError"


@everywhere
async def test_a_volume_cannot_be_overfilled(runner: Runner) -> None:
    code = (
        "import time\nfile = open('/tmp/big', 'wb', buffering=0)\n"
        "for _ in range(64): file.write(b'x' * (1 << 20))\n"
        "time.sleep(30)"
    )
    pod = make_pod(
        make_container(code, volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}]),
        volumes=[{"name": "tmp", "emptyDir": {"sizeLimit": "4Mi"}}],
    )

    ran = await runner.cluster.run(pod)

    if runner.as_root:
        assert state_of(ran)["terminated"]["exitCode"] == 1  # the write fails at once: no space left
    else:
        assert ran["status"]["reason"] == "Evicted"
        assert 'EmptyDir volume "tmp" exceeds' in ran["status"]["message"]

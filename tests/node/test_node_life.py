"""The node itself: registered, simulated, killed, restarted; and the API server going away under it."""

from __future__ import annotations

import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from node_processes import node_process, world_readable_folder
from node_support import PYTHON, TOKEN, Cluster, StartNode, make_container, make_pod, state_of, until

from skillwarden.localcluster.apiserver import ApiServer
from skillwarden.localcluster.node import OPERATOR_IMAGE, LocalImage, Node, NodeBusyError, NodeConfig
from skillwarden.localcluster.node.network import selects
from skillwarden.localcluster.node.runtimes import PythonRuntime, python_image

FOREVER = "import time\nprint('up', flush=True)\nwhile True: time.sleep(60)"


def conditions(found: dict) -> dict[str, str]:
    return {each["type"]: each["status"] for each in found["status"]["conditions"]}


async def test_the_node_registers_what_it_is(node: Node, cluster: Cluster) -> None:
    registered = await cluster.call("GET", "/api/v1/nodes/test-node")

    assert conditions(registered)["Ready"] == "True"
    assert conditions(registered)["skillwarden.io/Simulated"] == "False"
    assert registered["metadata"]["labels"]["kubernetes.io/os"] == "linux"


async def test_where_nothing_can_be_run_the_phases_are_walked_and_it_is_said(
    cluster: Cluster, start_node: StartNode, node_config: NodeConfig
) -> None:
    node = await start_node(replace(node_config, force_simulated=True))
    witness = node_config.work_dir / "witness"
    await cluster.create(make_pod(make_container(FOREVER), name="service", restartPolicy="Always"))
    run = await cluster.run(make_pod(make_container(f"open({str(witness)!r}, 'w')"), name="run"))
    service = await cluster.wait(lambda pod: pod["status"].get("phase") == "Running", "service")

    assert node.simulated
    assert (
        conditions(await cluster.call("GET", "/api/v1/nodes/test-node"))["skillwarden.io/Simulated"] == "True"
    )
    for pod in (run, service):
        assert conditions(pod)["skillwarden.io/Simulated"] == "True"
    assert state_of(run)["terminated"]["reason"] == "Simulated"
    assert not witness.exists()
    await cluster.delete_pod("service")
    await cluster.wait(lambda pod: pod is None, "service")


async def test_two_nodes_do_not_share_a_work_folder(
    node: Node, start_node: StartNode, node_config: NodeConfig
) -> None:
    with pytest.raises(NodeBusyError, match="another node runs"):
        await start_node(node_config)


def sandboxes(marker: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker in (entry / "cmdline").read_text(errors="replace"):
                    found.append(entry.name)
            except OSError:
                continue
    return found


@pytest.mark.parametrize("who", ["root", "user"])
async def test_a_killed_node_takes_its_sandboxes_along_and_the_next_one_clears_up(
    cluster: Cluster, who: str
) -> None:
    marker = f"sandbox-of-a-killed-node-{os.getpid()}"
    with world_readable_folder() as folder:
        (folder / "ca.pem").write_bytes(cluster.ca_file.read_bytes())
        (folder / "ca.pem").chmod(0o644)
        config = {
            "name": "killed",
            "work_dir": str(folder / "work"),
            "image": PYTHON,
            "pids": 64,
            "cgroup_parent": folder.name,
            "timings": {"reconnect_initial": 0.05, "backoff_initial": 0.05},
            "url": cluster.url,
            "token": TOKEN,
            "ca_file": str(folder / "ca.pem"),
        }
        volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
        for name, policy in (("service", "Always"), ("run", "Never")):
            container = make_container(
                command=["python", "-c", FOREVER, marker], volumeMounts=[{"name": "v", "mountPath": "/v"}]
            )
            await cluster.create(make_pod(container, name=name, restartPolicy=policy, volumes=volumes))
        async with node_process(who, config, folder) as process:
            for name in ("service", "run"):
                await cluster.wait(lambda pod: pod["status"].get("phase") == "Running", name)
            left_behind: list[Path] = []

            async def both_have_logs() -> bool:
                left_behind[:] = (folder / "work" / "pods").glob("*/logs/main/0.log")
                return len(left_behind) == 2

            await until(both_have_logs, lambda: f"logs: {left_behind}")
            assert sandboxes(marker)
            process.send_signal(signal.SIGKILL)
            await process.wait()

            async def gone() -> bool:
                return not sandboxes(marker)

            await until(gone, lambda: f"still there: {sandboxes(marker)}")

        async with node_process(who, config, folder, again=True) as process:
            run = await cluster.wait(lambda pod: pod["status"]["phase"] == "Failed", "run")
            service = await cluster.wait(
                lambda pod: (
                    pod["status"]["containerStatuses"][0]["restartCount"] == 1 and "running" in state_of(pod)
                ),
                "service",
            )
            assert not any(each.exists() for each in left_behind)
            assert sandboxes(marker)
        assert not sandboxes(marker)
        assert not (folder / "work" / "pods").exists()
        assert not [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line
        ]
        assert not list(Path("/sys/fs/cgroup").glob(f"*/{folder.name}"))

    assert state_of(run)["terminated"]["reason"] == "ContainerStatusUnknown"
    assert service["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137


async def test_an_api_server_that_fails_for_a_while_loses_no_status(
    node: Node, cluster: Cluster, server: ApiServer
) -> None:
    failed = []

    async def fail(request: web.Request) -> web.Response | None:
        if request.path.endswith("/status") and len(failed) < 5:
            failed.append(request.path)
            return web.json_response(
                {"kind": "Status", "reason": "InternalError", "message": "no"}, status=500
            )
        return None

    server.interceptor = fail
    pod = await cluster.run(make_pod())

    assert len(failed) == 5
    assert state_of(pod)["terminated"]["exitCode"] == 0


async def test_a_watch_that_ends_is_taken_up_again(node: Node, cluster: Cluster, server: ApiServer) -> None:
    ended = []

    async def expire(request: web.Request) -> web.Response | None:
        if request.query.get("watch") and request.path == "/api/v1/pods" and len(ended) < 3:
            ended.append(request.path)
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
            return web.json_response({"type": "ERROR", "object": gone})
        return None

    server.interceptor = expire
    await cluster.run(make_pod(name="first"))
    server.compact()
    await cluster.run(make_pod(name="second"))


async def test_an_unchanged_pod_is_written_once(node: Node, cluster: Cluster, server: ApiServer) -> None:
    await cluster.create(make_pod(make_container(FOREVER), restartPolicy="Always"))
    await cluster.wait(lambda pod: pod["status"].get("phase") == "Running")
    before = [each for each in server.requests if each.method == "PATCH" and "/pods/pod/" in each.path]

    await cluster.call(
        "PATCH", "/api/v1/namespaces/default/pods/pod", {"metadata": {"annotations": {"touched": "yes"}}}
    )
    await cluster.run(make_pod(name="other"))

    after = [each for each in server.requests if each.method == "PATCH" and "/pods/pod/status" in each.path]
    assert len(after) == len(before) <= 4


def test_the_machines_pythons_are_images_by_minor_version(images: dict[str, LocalImage]) -> None:
    image = images[PYTHON]

    assert {"python", "python3", f"python3.{sys.version_info.minor}"} == set(image.links)
    assert all(
        re.fullmatch(r"local/(skillwarden|python:3\.\d+|node:\d+|python-node:3\.\d+-\d+)", name)
        for name in images
    )
    assert not any(Path(bind) in {Path("/"), Path.home()} for each in images.values() for bind in each.binds)


def test_a_python_under_usr_needs_no_folder_of_its_own_and_a_home_is_never_shown() -> None:
    for prefix in (Path("/usr"), Path("/usr/local"), Path.home(), Path("/")):
        runtime = PythonRuntime(version="3.11", prefix=prefix, executable=prefix / "bin/python3.11")
        assert python_image(runtime).binds == ()


async def test_the_operators_image_has_this_package_and_its_environment(
    node: Node, cluster: Cluster, images: dict[str, LocalImage]
) -> None:
    code = (
        "import skillwarden, aiohttp, sys; print(skillwarden.__file__.startswith('/'), sys.version_info[:2])"
    )

    await cluster.run(make_pod(make_container(code, image=OPERATOR_IMAGE)))

    assert await cluster.log() == f"True {sys.version_info[:2]}\n"


@pytest.mark.parametrize(
    ("operator", "values", "matches"),
    [
        ("In", ["a", "b"], True),
        ("In", ["c"], False),
        ("NotIn", ["c"], True),
        ("NotIn", ["a"], False),
        ("Exists", None, True),
        ("DoesNotExist", None, False),
    ],
)
def test_label_expressions(operator: str, values: list[str] | None, matches: bool) -> None:
    selector = {"matchExpressions": [{"key": "k", "operator": operator, "values": values}]}

    assert selects(selector, {"k": "a"}) is matches

"""Pods really run: phases, exit codes, init containers, restarts, deadlines, messages, deletion."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from node_support import Cluster, StartNode, make_container, make_pod, state_of, until

from skillwarden.localcluster.node import NodeConfig

pytestmark = pytest.mark.usefixtures("node")

FOREVER = "import time\nwhile True: time.sleep(60)"


def conditions_of(pod: dict) -> dict[str, str]:
    return {each["type"]: each["status"] for each in pod["status"]["conditions"]}


def running(pod: dict) -> bool:
    return pod["status"].get("phase") == "Running"


def processes_with(marker: str) -> list[int]:
    """Host processes whose command line holds a marker; the test's own does not."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if marker in (entry / "cmdline").read_text(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def test_a_run_succeeds_and_says_so_as_a_kubelet_does(cluster: Cluster) -> None:
    pod = await cluster.run(make_pod(make_container("print('hello')")))

    assert pod["status"]["phase"] == "Succeeded"
    assert pod["spec"]["nodeName"] == "test-node"
    terminated = state_of(pod)["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (0, "Completed")
    assert pod["status"]["startTime"] <= terminated["startedAt"] <= terminated["finishedAt"]
    assert conditions_of(pod) == {
        "PodScheduled": "True",
        "Initialized": "True",
        "ContainersReady": "False",
        "Ready": "False",
    }
    assert await cluster.log() == "hello\n"


async def test_a_service_is_ready_while_it_runs(cluster: Cluster) -> None:
    await cluster.create(make_pod(make_container(FOREVER), restartPolicy="Always"))

    pod = await cluster.wait(running)

    assert conditions_of(pod)["Ready"] == "True"
    (status,) = pod["status"]["containerStatuses"]
    assert status["ready"] and status["restartCount"] == 0 and "running" in status["state"]


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", 143), ("1/0", 1)],
    ids=["its own exit code", "a signal is 128 and its number", "an exception is 1"],
)
async def test_a_failed_run_keeps_its_exit_code(cluster: Cluster, code: str, exit_code: int) -> None:
    pod = await cluster.run(make_pod(make_container(code)))

    assert pod["status"]["phase"] == "Failed"
    assert state_of(pod)["terminated"]["exitCode"] == exit_code
    assert state_of(pod)["terminated"]["reason"] == "Error"


async def test_a_command_that_does_not_exist_fails_and_names_it(cluster: Cluster) -> None:
    pod = await cluster.run(make_pod(make_container(command=["no-such-program"])))

    assert pod["status"]["phase"] == "Failed"
    assert state_of(pod)["terminated"]["exitCode"] == 127
    assert "no-such-program" in await cluster.log()


async def test_init_containers_run_in_order_and_share_volumes(cluster: Cluster) -> None:
    mount = [{"name": "shared", "mountPath": "/shared"}]
    first = make_container("open('/shared/a', 'w').write('one')", name="first", volumeMounts=mount)
    second = make_container("open('/shared/a', 'a').write(' two')", name="second", volumeMounts=mount)
    main = make_container("print(open('/shared/a').read())", volumeMounts=mount)
    volumes = [{"name": "shared", "emptyDir": {"sizeLimit": "1Mi"}}]

    pod = await cluster.run(make_pod(main, initContainers=[first, second], volumes=volumes))

    assert pod["status"]["phase"] == "Succeeded"
    assert await cluster.log(container="main") == "one two\n"
    assert [each["ready"] for each in pod["status"]["initContainerStatuses"]] == [True, True]


async def test_a_failed_init_container_stops_the_pod(cluster: Cluster) -> None:
    init = make_container("raise SystemExit(3)", name="prepare")

    pod = await cluster.run(make_pod(make_container("print('never')"), initContainers=[init]))

    assert pod["status"]["phase"] == "Failed"
    assert state_of(pod, "prepare")["terminated"]["exitCode"] == 3
    assert "waiting" in state_of(pod, "main")
    assert conditions_of(pod)["Initialized"] == "False"


async def test_a_crashing_service_is_restarted_with_back_off(cluster: Cluster) -> None:
    await cluster.create(
        make_pod(make_container("print('again'); raise SystemExit(1)"), restartPolicy="Always")
    )

    pod = await cluster.wait(
        lambda pod: (
            pod["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 2
            and state_of(pod).get("waiting", {}).get("reason") == "CrashLoopBackOff"
        )
    )

    (status,) = pod["status"]["containerStatuses"]
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert pod["status"]["phase"] == "Running"
    assert await cluster.log(previous="true") == "again\n"
    assert await cluster.events(reason="BackOff")


async def test_on_failure_restarts_until_success(cluster: Cluster) -> None:
    code = "import os,sys\np='/shared/seen'\nif not os.path.exists(p): open(p,'w'); sys.exit(1)"
    pod = make_pod(
        make_container(code, volumeMounts=[{"name": "shared", "mountPath": "/shared"}]),
        restartPolicy="OnFailure",
        volumes=[{"name": "shared", "emptyDir": {}}],
    )

    ran = await cluster.run(pod)

    assert ran["status"]["phase"] == "Succeeded"
    assert ran["status"]["containerStatuses"][0]["restartCount"] == 1


async def test_a_run_over_its_deadline_is_ended(cluster: Cluster) -> None:
    for seconds in (1, 4, 16):
        pod = await cluster.run(
            make_pod(make_container(FOREVER), name=f"pod-{seconds}", activeDeadlineSeconds=seconds)
        )
        if "terminated" in state_of(pod):
            break  # else it was over before its container had begun

    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert state_of(pod)["terminated"]["exitCode"] == 137


async def test_a_container_leaves_a_termination_message_of_at_most_4096_bytes(cluster: Cluster) -> None:
    container = make_container(
        "open('/skill/output.json', 'w').write('x' * 5000)", terminationMessagePath="/skill/output.json"
    )

    pod = await cluster.run(make_pod(container))

    assert state_of(pod)["terminated"]["message"] == "x" * 4096


async def test_a_failure_without_a_message_falls_back_to_the_log(cluster: Cluster) -> None:
    container = make_container(
        "print('what went wrong'); raise SystemExit(1)", terminationMessagePolicy="FallbackToLogsOnError"
    )

    pod = await cluster.run(make_pod(container))

    assert state_of(pod)["terminated"]["message"] == "what went wrong\n"


async def test_environment_and_command_are_expanded(cluster: Cluster) -> None:
    container = make_container(
        "import os, sys; print(os.environ['GREETING'], sys.argv[1], os.environ['POD'], os.getcwd())",
        args=["$(NAME) $$(NAME) $(UNKNOWN)"],
        workingDir="/somewhere",
        env=[
            {"name": "NAME", "value": "world"},
            {"name": "GREETING", "value": "hello $(NAME)"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    )

    await cluster.run(make_pod(container))

    assert await cluster.log() == "hello world world $(NAME) $(UNKNOWN) pod /somewhere\n"


async def test_the_nodes_own_environment_is_not_the_sandboxes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE_SECRET", "do-not-tell")
    code = (
        "import os\nseen = dict(os.environ)\n"
        "try: seen['1'] = open('/proc/1/environ').read()\nexcept OSError: pass\nprint(seen)"
    )

    await cluster.run(make_pod(make_container(code)))

    assert "do-not-tell" not in await cluster.log()


async def test_deletion_ends_grandchildren_too(cluster: Cluster) -> None:
    marker = "grandchild-of-deletion"
    code = (
        "import os, sys, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    os.execvp('python', ['python', '-c', 'import time; time.sleep(600)', '{marker}'])\n"
        "while True: time.sleep(60)"
    )
    await cluster.create(make_pod(make_container(code)))
    await cluster.wait(running)

    async def grandchild_runs() -> bool:
        return len(processes_with(marker)) >= 2

    await until(grandchild_runs, lambda: "the grandchild did not start")
    await cluster.delete_pod()
    await cluster.wait(lambda pod: pod is None)

    assert processes_with(marker) == []


async def test_deletion_lets_a_container_end_by_itself(cluster: Cluster, tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def end(*_): open('/dev/termination-log', 'w').write('bye'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(60)"
    )
    pod = make_pod(make_container(code), terminationGracePeriodSeconds=30)
    pod["metadata"]["finalizers"] = ["test.example/look"]
    await cluster.create(pod)

    async def ready() -> bool:
        return running(await cluster.pod()) and await cluster.log() == "ready\n"

    await until(ready, lambda: "the container did not get ready")
    await cluster.delete_pod()
    left = await cluster.wait(lambda pod: "terminated" in state_of(pod))

    assert state_of(left)["terminated"]["message"] == "bye"
    assert state_of(left)["terminated"]["exitCode"] == 0
    await cluster.call("PATCH", "/api/v1/namespaces/default/pods/pod", {"metadata": {"finalizers": None}})


async def test_a_pod_of_the_same_name_gets_its_own_life(cluster: Cluster) -> None:
    await cluster.run(make_pod(make_container("print('first')")))
    await cluster.delete_pod()
    await cluster.wait(lambda pod: pod is None)

    await cluster.run(make_pod(make_container("print('second')")))

    assert await cluster.log() == "second\n"


async def test_an_image_that_the_machine_does_not_have_is_not_pulled(cluster: Cluster) -> None:
    await cluster.create(make_pod(make_container(image="registry.example/other:1")))

    pod = await cluster.wait(lambda pod: state_of(pod).get("waiting", {}).get("reason") == "ErrImagePull")

    assert "registry.example/other:1" in state_of(pod)["waiting"]["message"]
    assert pod["status"]["phase"] == "Pending"


async def test_a_pod_for_another_architecture_is_not_scheduled(cluster: Cluster) -> None:
    await cluster.create(make_pod(nodeSelector={"kubernetes.io/arch": "riscv64"}))

    async def said() -> bool:
        return bool(await cluster.events(reason="FailedScheduling"))

    await until(said, lambda: "no Event says that the Pod cannot be scheduled")
    assert "nodeName" not in (await cluster.pod())["spec"]


async def test_a_pod_of_another_scheduler_is_left_alone(cluster: Cluster) -> None:
    await cluster.create(make_pod(name="foreign", schedulerName="other"))
    await cluster.run(make_pod(name="ours"))

    assert "nodeName" not in (await cluster.pod("foreign"))["spec"]


async def test_stopping_the_node_ends_its_processes_and_leaves_nothing(
    cluster: Cluster, start_node: StartNode, node_config: NodeConfig, tmp_path: Path
) -> None:
    marker = "sandbox-of-a-stopped-node"
    config = NodeConfig(
        name="second", work_dir=tmp_path / "second", images=node_config.images, timings=node_config.timings
    )
    node = await start_node(config)
    pod = make_pod(make_container(command=["python", "-c", FOREVER, marker]), nodeName="second")
    pod["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
    await cluster.create(pod)
    await cluster.wait(running)
    assert processes_with(marker)

    await node.stop()

    assert processes_with(marker) == []
    assert not (tmp_path / "second" / "pods").exists()

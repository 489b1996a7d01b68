"""Volumes: read-only mounts, subPaths, sizes, ConfigMaps and Secrets."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from node_support import Cluster, make_container, make_pod, state_of, until

from skillwarden.localcluster.node.volumes import VolumeUnusable, open_beneath

pytestmark = pytest.mark.usefixtures("node")

EMPTY = [{"name": "v", "emptyDir": {"sizeLimit": "4Mi"}}]


def mount(path: str = "/v", **more: Any) -> list[dict[str, Any]]:
    return [{"name": "v", "mountPath": path, **more}]


async def test_what_an_init_container_made_is_read_only_for_the_skill(cluster: Cluster) -> None:
    init = make_container(
        "import os; os.mkdir('/v/src'); open('/v/src/main.py', 'w').write('print(42)')",
        name="init",
        volumeMounts=mount(),
    )
    main = make_container(
        "exec(open('/skill/src/main.py').read())\n"
        "try: open('/skill/src/main.py', 'w')\nexcept OSError as error: print(error.errno)\n"
        "import os; print(sorted(os.listdir('/skill')))",
        volumeMounts=mount("/skill/src", subPath="src", readOnly=True),
        terminationMessagePath="/skill/output.json",
    )

    await cluster.run(make_pod(main, initContainers=[init], volumes=EMPTY))

    assert await cluster.log(container="main") == "42\n30\n['output.json', 'src']\n"


async def test_a_sub_path_can_be_a_file(cluster: Cluster) -> None:
    init = make_container("open('/v/input.json', 'w').write('{}')", name="init", volumeMounts=mount())
    main = make_container(
        "print(open('/i.json').read())", volumeMounts=mount("/i.json", subPath="input.json")
    )

    await cluster.run(make_pod(main, initContainers=[init], volumes=EMPTY))

    assert await cluster.log(container="main") == "{}\n"


async def test_a_sub_path_that_is_missing_is_made_and_can_be_written(cluster: Cluster) -> None:
    main = make_container(
        "open('/d/x', 'w').write('x'); print('ok')", volumeMounts=mount("/d", subPath="a/b")
    )

    await cluster.run(make_pod(main, volumes=EMPTY))

    assert await cluster.log() == "ok\n"


@pytest.mark.parametrize("target", ["/etc", "/", ".."], ids=["absolute", "the root", "upwards"])
async def test_a_link_in_a_sub_path_does_not_lead_to_the_host(cluster: Cluster, target: str) -> None:
    init = make_container(f"import os; os.symlink({target!r}, '/v/src')", name="init", volumeMounts=mount())
    main = make_container("print('ran')", volumeMounts=mount("/src", subPath="src"))
    await cluster.create(make_pod(main, initContainers=[init], volumes=EMPTY))

    pod = await cluster.wait(lambda pod: "CreateContainerError" in str(state_of(pod)))

    assert "symbolic link" in state_of(pod)["waiting"]["message"]


async def test_a_link_where_another_mount_goes_does_not_lead_to_the_host(cluster: Cluster) -> None:
    init = make_container("import os; os.symlink('/usr', '/v/inner')", name="init", volumeMounts=mount())
    main = make_container("print('ran')", volumeMounts=[*mount(), {"name": "w", "mountPath": "/v/inner/x"}])
    volumes = [*EMPTY, {"name": "w", "emptyDir": {}}]
    await cluster.create(make_pod(main, initContainers=[init], volumes=volumes))

    pod = await cluster.wait(lambda pod: "CreateContainerError" in str(state_of(pod)))

    assert "symbolic link" in state_of(pod)["waiting"]["message"]


def test_a_pipe_is_no_sub_path(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(VolumeUnusable, match="neither a folder nor a file"):
        open_beneath(tmp_path, "pipe")


async def test_config_maps_and_secrets_are_files_that_nobody_can_change(cluster: Cluster) -> None:
    await cluster.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "conf", "namespace": "default"},
            "data": {"a": "1", "b": "2"},
        }
    )
    secret = base64.b64encode(b"s3cret").decode()
    await cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "sec", "namespace": "default"},
            "data": {"token": secret},
        }
    )
    code = (
        "import os\nprint(os.listdir('/conf'), open('/conf/sub/one').read(), open('/sec/token').read())\n"
        "try: open('/sec/token', 'w')\nexcept OSError as error: print(error.errno)"
    )
    main = make_container(
        code, volumeMounts=[{"name": "conf", "mountPath": "/conf"}, {"name": "sec", "mountPath": "/sec"}]
    )
    volumes = [
        {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "a", "path": "sub/one"}]}},
        {"name": "sec", "secret": {"secretName": "sec"}},
    ]

    await cluster.run(make_pod(main, volumes=volumes))

    assert await cluster.log() == "['sub'] 1 s3cret\n30\n"


async def test_a_pod_waits_for_its_config_map(cluster: Cluster) -> None:
    main = make_container("print(open('/c/k').read())", volumeMounts=[{"name": "c", "mountPath": "/c"}])
    await cluster.create(make_pod(main, volumes=[{"name": "c", "configMap": {"name": "late"}}]))

    async def said() -> bool:
        return bool(await cluster.events(reason="FailedMount"))

    await until(said, lambda: "no Event names the missing ConfigMap")
    await cluster.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "late", "namespace": "default"},
            "data": {"k": "there"},
        }
    )
    await cluster.wait(lambda pod: pod["status"].get("phase") == "Succeeded")

    assert await cluster.log() == "there\n"


async def test_volumes_together_are_held_to_the_pods_storage_limit(cluster: Cluster) -> None:
    code = "for name in 'ab': open(f'/{name}/x', 'wb').write(b'x' * (3 << 20))\nimport time; time.sleep(600)"
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in "ab"]
    volumes = [{"name": name, "emptyDir": {"sizeLimit": "4Mi"}} for name in "ab"]
    limits = {"limits": {"ephemeral-storage": "4Mi"}}

    pod = await cluster.run(
        make_pod(make_container(code, volumeMounts=mounts, resources=limits), volumes=volumes)
    )

    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "Evicted")
    assert "exceeds the total limit" in pod["status"]["message"]


async def test_a_file_on_a_disk_volume_is_no_memory_of_the_skill(cluster: Cluster) -> None:
    code = (
        "with open('/v/x', 'wb') as file:\n"
        "    for _ in range(120): file.write(bytes(1 << 20))\n"
        "block = bytearray(b'x' * (32 << 20)); print('ok')"
    )
    main = make_container(code, volumeMounts=mount(), resources={"limits": {"memory": "128Mi"}})

    pod = await cluster.run(make_pod(main, volumes=[{"name": "v", "emptyDir": {"sizeLimit": "128Mi"}}]))

    assert pod["status"]["phase"] == "Succeeded", pod["status"]

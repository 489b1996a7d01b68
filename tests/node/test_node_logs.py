"""Container logs: followed, cut, bounded."""

from __future__ import annotations

import asyncio
import json

import pytest
from node_support import Cluster, StartNode, make_container, make_pod

from skillwarden.localcluster.node import LogsUnavailable, NodeConfig, NodeLogs
from skillwarden.localcluster.node.logs import ContainerLog, LogOptions


async def read(log: ContainerLog, **options: object) -> bytes:
    return b"".join([chunk async for chunk in log.read(LogOptions(**options))])


async def write(log: ContainerLog, data: bytes) -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    await log.pump(stream, name="stdout")


@pytest.fixture
def log(tmp_path) -> ContainerLog:
    return ContainerLog(tmp_path / "0.log", limit=4096)


async def test_tail_gives_whole_lines_from_the_end(log: ContainerLog) -> None:
    await write(log, b"one\ntwo\n" + b"x" * 40_000 + b"\nlast")

    assert await read(log, tail_lines=1) == b"last\n"
    assert await read(log, tail_lines=0) == b""
    assert len(await read(ContainerLog(log._path, limit=4096), tail_lines=2)) == 40_001 + 5


async def test_a_log_that_floods_is_bounded(log: ContainerLog, tmp_path) -> None:
    for number in range(200):
        await write(log, f"{number} {'x' * 100}\n".encode())

    kept = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert kept < 3 * 4096
    assert (await read(log)).endswith(b"199 " + b"x" * 100 + b"\n")


async def test_following_across_a_rotation_misses_nothing(log: ContainerLog) -> None:
    follower = asyncio.create_task(read(log, follow=True))
    for number in range(100):
        await write(log, f"{number} {'x' * 60}\n".encode())
        await asyncio.sleep(0)
        while log._rotations and follower.done():
            pytest.fail("the follower ended before the container")
    await log.close()

    seen = [int(line.split()[0]) for line in (await follower).splitlines()]
    assert seen[-1] == 99
    assert seen == sorted(set(seen))


async def test_time_stamps_and_limit(log: ContainerLog) -> None:
    await write(log, b"one\ntwo\n")

    stamped = (await read(log, timestamps=True)).splitlines()
    assert [line.split(b"Z ")[1] for line in stamped] == [b"one", b"two"]
    assert await read(log, limit_bytes=5) == b"one\nt"


async def test_a_reader_follows_a_running_container(node, cluster: Cluster) -> None:
    code = "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.2)"
    await cluster.create(make_pod(make_container(code)))
    await cluster.wait(lambda pod: pod["status"].get("phase") == "Running")

    assert await cluster.log(follow="true") == "0\n1\n2\n"


async def test_both_streams_are_in_the_log(node, cluster: Cluster) -> None:
    await cluster.run(make_pod(make_container("import sys; print('out'); print('err', file=sys.stderr)")))

    assert sorted((await cluster.log()).split()) == ["err", "out"]


async def test_logs_that_are_not_there_say_why(node, node_logs: NodeLogs, cluster: Cluster) -> None:
    async def first_byte(*place: str, **options: bool) -> None:
        async for _ in node_logs.open(*place, **options):
            return

    await cluster.run(make_pod())
    with pytest.raises(LogsUnavailable, match="not on node test-node"):
        await first_byte("default", "other", "main")
    with pytest.raises(LogsUnavailable, match="container nope is not valid"):
        await first_byte("default", "pod", "nope")
    with pytest.raises(LogsUnavailable, match="previous terminated container"):
        await first_byte("default", "pod", "main", previous=True)


async def test_a_container_that_waits_has_no_log_yet(
    cluster: Cluster, start_node: StartNode, node_config: NodeConfig, node_logs: NodeLogs
) -> None:
    await start_node(node_config)
    await cluster.create(make_pod(make_container(image="unknown")))
    await cluster.wait(lambda pod: "ErrImagePull" in json.dumps(pod["status"]))

    with pytest.raises(LogsUnavailable, match="waiting to start: ErrImagePull"):
        async for _ in node_logs.open("default", "pod", "main"):
            pass


async def test_a_client_reads_why_there_is_no_log(node, cluster: Cluster) -> None:
    await cluster.create(make_pod(make_container(image="unknown")))
    await cluster.wait(lambda pod: "ErrImagePull" in json.dumps(pod["status"]))

    with pytest.raises(AssertionError, match="is waiting to start: ErrImagePull"):
        await cluster.log()

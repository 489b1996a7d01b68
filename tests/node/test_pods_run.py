"""Pods really run: phases, exit codes, init containers, restarts, deadlines, logs, deletion."""

from __future__ import annotations

import pytest
from node_support import Cluster, make_container, make_pod, state_of

pytestmark = pytest.mark.usefixtures("node")


async def test_a_run_succeeds_with_its_log(cluster: Cluster) -> None:
    pod = await cluster.run(make_pod(make_container("print('hello')")))

    assert pod["status"]["phase"] == "Succeeded"
    assert state_of(pod)["terminated"]["exitCode"] == 0
    assert await cluster.log() == "hello\n"

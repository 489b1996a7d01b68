"""A node in a process of its own: `user_node.py CONFIG`, until its standard input ends.

Run by another Python than the tests', as another user: it needs what the node package imports and nothing
else.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from skillwarden.localcluster.node import (
    ApiConnection,
    DepotEndpoint,
    Node,
    NodeConfig,
    Timings,
    find_pythons,
)
from skillwarden.localcluster.node.runtimes import python_image


async def main(config: dict) -> None:
    pythons = [python_image(each) for each in await find_pythons()]
    mine = next(each for each in pythons if each.name == python_image_of_this_process())
    depot = config.get("depot")
    node = Node(
        NodeConfig(
            name=config["name"],
            work_dir=Path(config["work_dir"]),
            images={config["image"]: mine},
            depot=DepotEndpoint(**{**depot, "socket_path": Path(depot["socket_path"])}) if depot else None,
            pod_pids_limit=config["pids"],
            cgroup_parent=config["cgroup_parent"],
            timings=Timings(**config["timings"]),
        ),
        ApiConnection(url=config["url"], token=config["token"], ca_file=Path(config["ca_file"])),
    )
    await node.start()
    sys.stdout.write(json.dumps({"simulated": node.simulated}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await node.stop()


def python_image_of_this_process() -> str:
    return f"local/python:{sys.version_info.major}.{sys.version_info.minor}"


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))

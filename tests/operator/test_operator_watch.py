"""The watch, where the operator runs as it does in its image."""

from __future__ import annotations

import getpass

import pytest
from operator_world import Client, World, make_skill


@pytest.mark.embedded_only("its log of requests")
async def test_a_uid_that_has_no_name_watches(
    world: World, user: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 65532")

    monkeypatch.setattr(getpass, "getuser", nameless)
    await user.apply(make_skill())
    await user.until_skill("demo", Ready="Ready")
    world.run(world.stop_operator())
    mark = world.mark
    world.run(world.start_operator())
    await user.apply(make_skill("later"))
    await user.until_skill("later", Ready="Ready")
    # A watch that breaks is made up for by lists, which are slower: so look for the watch itself.
    asked = list(world.cluster.server.requests)[mark:]
    assert any(item.path.endswith("/skills") and "watch=true" in str(item.query) for item in asked)

"""One namespace with thousands of new Skills, and another with one: how long that one waits."""

from __future__ import annotations

from typing import Any

from operator_world import make_skill

from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind

from .latency import verdict_after
from .measure import Measurement
from .world import apply_all, new_user, running_operator, running_world

CROWD = 2_000


async def measure() -> list[Measurement]:
    """Measure the one Skill alone, and again while the crowd waits."""
    with running_world() as world:
        for name in ("greeter", "warm", "alone", "beside"):
            world.index.wheel(name)
        async with (
            running_operator(world) as operator,
            await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="user") as gateway,
        ):
            crowded, quiet = [await new_user(gateway, name) for name in ("crowded", "quiet")]
            # Each has a closure that nobody has resolved or scanned before.
            await verdict_after(quiet, make_skill("warm", packages=["warm"]))
            alone = await verdict_after(quiet, make_skill("alone", packages=["alone"]))
            await operator.settle()
            # As fast as the API server takes it; the operator is far from through with it then.
            await apply_all((crowded, _one_of_the_crowd(number)) for number in range(CROWD))
            beside = await verdict_after(quiet, make_skill("beside", packages=["beside"]))
            left = [skill for skill in await crowded.items(Kind.SKILL) if not skill.get("status")]
    note = f"{len(left):,} of {CROWD:,} still unjudged when it had its verdict"
    return [
        Measurement(
            f"delay of one Skill by {CROWD:,} of another namespace",
            (beside - alone) / 1e3,
            "s",
            2,
            peer="its verdict when alone",
            peer_value=alone / 1e3,
            note=note,
        ),
        Measurement("  unjudged Skills of the crowd by then", len(left), "Skills"),
    ]


def _one_of_the_crowd(number: int) -> dict[str, Any]:
    return make_skill(f"skill-{number}", code=f"print({number})", packages=["greeter"])

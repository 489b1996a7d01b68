"""Thousands of Skills: what a start takes, an advisory that touches one, a policy change that alters one."""

from __future__ import annotations

from collections import Counter

from operator_world import Client, World, make_advisory, make_agent, make_policy, make_skill

from skillwarden.kube.gateway import Gateway
from skillwarden.kube.kinds import Kind

from .measure import Measurement
from .world import Writes, apply_all, running_operator, running_world

NAMESPACES = 50


async def measure(skills: int) -> list[Measurement]:
    """Measure a first start, a restart, a new advisory, and a change of policy.

    Parameters
    ----------
    skills
        How many; the targets are for 5,000.
    """
    with running_world() as world, Writes(world) as writes:
        world.index.wheel("greeter")
        await _populate(world, skills)
        async with running_operator(world) as operator:
            first = await operator.settle(reconciled=skills) - operator.started
            first_memory = operator.peak_mebibytes()
        made = writes.take()
        async with running_operator(world) as operator:
            again = await operator.settle(reconciled=skills) - operator.started
            start_cpu = operator.cpu_seconds()
            memory = operator.peak_mebibytes()
            rewritten = writes.take()
            before = operator.cpu_seconds()
            world.advisories(make_advisory("greeter"))
            await operator.settle(reconciled=skills + 1)
            advised = operator.cpu_seconds() - before
            judged = await operator.reconciled() - skills
            told = writes.take()
            world.advisories()
            await operator.settle(reconciled=skills + 2)
            before, done = operator.cpu_seconds(), await operator.reconciled()
            writes.take()
            await _ban(world)
            await operator.settle(reconciled=done + skills)
            cpu = operator.cpu_seconds() - before
            changed = writes.take()
    what = f"{skills:,} Skills"
    return [
        Measurement(f"operator start, {what} known", again, "s", 20, note="from exec to rest"),
        Measurement("  CPU of that start", start_cpu, "s"),
        Measurement("  peak memory (VmHWM) of that start", memory, "MiB", 160),
        Measurement("  API writes of that start", rewritten.total(), "writes", 0),
        Measurement(f"operator start, {what} never seen", first, "s", note=_counts(made)),
        Measurement("  peak memory (VmHWM) of that start", first_memory, "MiB"),
        Measurement(f"new advisory that touches one of {what}", advised, "s CPU", note="with its index"),
        Measurement("  reconciles of Skills", judged, "reconciles", 5, note="it, its scan, its Pods"),
        Measurement("  status writes", told["status"], "writes", 1),
        Measurement(f"policy change over {what}, one outcome", cpu, "s CPU", 6),
        # The policy's own status says that its new generation was accepted; it is not a Skill's.
        Measurement("  status writes, the policy's own left out", changed["status"] - 1, "writes", 1),
        Measurement("  other writes", changed.total() - changed["status"], "writes", note=_counts(changed)),
    ]


def _counts(writes: Counter[str]) -> str:
    pairs = sorted(writes.items())
    return ", ".join(f"{count:,} {name}" for name, count in pairs)


async def _populate(world: World, skills: int) -> None:
    """Create the Skills, one of them with a package, in namespaces with an agent and a policy each."""
    async with await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="installer") as gateway:
        users = [Client(gateway, f"team-{number}") for number in range(NAMESPACES)]

        for user in users:
            await gateway.create(Kind.NAMESPACE, {"metadata": {"name": user.namespace}})
            await user.apply(make_agent("autonomous", "Autonomous"))
        await users[0].apply(_everywhere())
        await apply_all(
            (
                users[number % NAMESPACES],
                make_skill(f"skill-{number}", packages=["greeter"] if number == 0 else []),
            )
            for number in range(skills)
        )


async def _ban(world: World) -> None:
    """Ban the one package that one Skill uses, in the policy that applies to all."""
    async with await Gateway.connect(kubeconfig=world.cluster.kubeconfig, user_agent="installer") as gateway:
        bans = [{"ecosystem": "PyPI", "names": ["greeter"]}]
        await Client(gateway, "team-0").apply(_everywhere(bans=bans))


def _everywhere(**spec: object) -> dict[str, object]:
    return make_policy(**spec) | {"kind": "ClusterPackagePolicy"}

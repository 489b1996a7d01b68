"""A cold verdict with the index that the tools are configured for: real closures, a real distance."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from operator_world import KEY, VERSION, World, make_skill

from skillwarden.depot.client import DepotClient
from skillwarden.depot.reading import artefact_hosts
from skillwarden.depot.tokens import operator_token
from skillwarden.domain.errors import UnavailableError
from skillwarden.domain.lock import Lock, Platform
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.python import PythonResolver
from skillwarden.runtime.configured import resolver_settings
from skillwarden.runtime.settings import Settings

from .latency import benchmark_user, verdict_after
from .measure import Measurement, percentile
from .world import running_operator, running_world

#: Closures of about 6, 20 and 90 artefacts.
CLOSURES = (("pandas>=2.2,<3",), ("scikit-learn", "requests", "jinja2", "rich"), ("jupyterlab",))
WHAT = "apply to verdict, cold, public index"


class PublicWorld(World):
    """The world of the other benchmarks, but for the index."""

    def settings(self) -> Settings:
        """Leave the index to the tools' own configuration."""
        return super().settings().model_copy(update={"index_url": None, "resolve_deadline": 120.0})


async def measure() -> list[Measurement]:
    """Apply Skills with closures that nobody has resolved, whose artefacts are in the depot already."""
    with running_world(PublicWorld) as world:
        own = world.settings()
        settings = replace(resolver_settings(own), cache_dir=world.root / "own-cache")
        resolver = PythonResolver(settings)
        platform = Platform(VERSION, own.libc, own.arch)
        alone, whole, sizes = [], [], []
        async with running_operator(world) as operator, benchmark_user(world) as user:
            for number, packages in enumerate(CLOSURES):
                started = time.perf_counter()
                try:
                    lock = await resolver.resolve(parse_python(packages).declared, platform=platform)
                except UnavailableError as error:
                    return [Measurement(WHAT, float("nan"), "x", note=f"not measured: {error}")]
                alone.append(1e3 * (time.perf_counter() - started))
                sizes.append(len(lock.packages))
                await _bring(lock, world.socket)
                await operator.settle()
                whole.append(await verdict_after(user, make_skill(f"public-{number}", packages=packages)))
    ratios = [total / own_time for total, own_time in zip(whole, alone, strict=True)]
    note = "; ".join(
        f"{size} artefacts {total:.0f} ms, resolver {own_time:.0f} ms"
        for size, total, own_time in zip(sizes, whole, alone, strict=True)
    )
    return [Measurement(f"{WHAT}, times the resolver", percentile(ratios, 0.5), "x", 1.10, note=note)]


async def _bring(lock: Lock, socket: Path) -> None:
    """Have the depot hold the artefacts, and what is in them, as where another closure had them before."""
    async with DepotClient(
        "http://depot", operator_token=operator_token(KEY.encode()), unix_socket=socket
    ) as depot:
        await depot.put_lock(lock)
        facts = await depot.inspect(lock, artefact_hosts(lock))
        if facts.unread:
            raise RuntimeError(f"not read: {facts.unread[0].message}")

"""An Admission over a store that a test fills: what it does not ask is not there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from skillwarden.builders.network_policy import DepotEndpoint
from skillwarden.scan.names import name_findings
from skillwarden.services.admission import Admission
from skillwarden.services.judge import Judge
from skillwarden.services.ports import SandboxSetup
from skillwarden.services.store import Store

Get = Callable[..., Awaitable[Any]]


async def nothing(*_: Any, **__: Any) -> None:
    return None


def make_admission(store: Store, *, get: Get = nothing, guarded: bool | None = True) -> Admission:
    """Judge by a store; ``get`` answers for the API server, ``guarded`` for both guards."""
    unused: Any = None
    cluster: Any = SimpleNamespace(get=get)
    guard: Any = SimpleNamespace(last_answer=lambda _: guarded)
    setup = SandboxSetup(
        runtimes={"3.12": "python:3.12"},
        default_version="3.12",
        operator_image="skillwarden",
        depot=DepotEndpoint(host="10.0.0.1", port=8480, in_cluster=False, cidr="10.0.0.1/32"),
        token=lambda *_: "",
        seal_key=b"",
    )
    judge = Judge(
        store=store,
        cluster=cluster,
        stages=unused,
        feed=unused,
        guard=guard,
        approval_guard=guard,
        sources=unused,
        setup=setup,
        now=lambda: datetime.now(UTC),
    )
    return Admission(judge, name_findings=name_findings)

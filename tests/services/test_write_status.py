"""A status is written at the version that was observed, and its answer is what is known from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from skillwarden.domain.skill import SkillKey
from skillwarden.kube.errors import Conflict, NotFound
from skillwarden.kube.kinds import Kind
from skillwarden.services.records import (
    agent_record,
    approval_record,
    policy_record,
    run_record,
    skill_record,
)
from skillwarden.services.requeue import Key, Requeue, namespace_of
from skillwarden.services.table import Table
from skillwarden.services.workqueue import WorkQueue
from skillwarden.services.write_status import write_status

Body = dict[str, Any]
NAME = ("team", "demo")
KEY = SkillKey("team", "demo", "u-1")
WANTED = {"observedGeneration": 1}
RECORDS: dict[Kind, Callable[[Body], Any]] = {
    Kind.SKILL: lambda body: skill_record(body, name_findings=lambda _: ()),
    Kind.SKILL_RUN: run_record,
    Kind.PACKAGE_POLICY: lambda body: policy_record("PackagePolicy", body),
    Kind.AGENT: agent_record,
    Kind.PACKAGE_APPROVAL: approval_record,
}


def make_body(version: str, **status: Any) -> Body:
    meta = {"name": "demo", "namespace": "team", "uid": "u-1", "resourceVersion": version}
    return {"metadata": meta, "spec": {}, "status": status}


class Server:
    """An API server that takes a status, or says why not; something may happen while it does."""

    def __init__(self, error: Exception | None = None, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.error, self.meanwhile = error, meanwhile
        self.applied: list[Body] = []

    async def apply(self, kind: Kind, body: Body, *, subresource: str) -> Body:
        assert subresource == "status"
        self.applied.append(body)
        self.meanwhile()
        if self.error is not None:
            raise self.error
        return make_body("2", **body["status"])


@pytest.fixture
async def queue() -> WorkQueue[Key]:
    return WorkQueue(lane=namespace_of)


async def write(server: Server, kind: Kind, table: Table[Any], queue: WorkQueue[Key]) -> bool:
    return await write_status(
        server,  # type: ignore[arg-type]
        kind,
        KEY,
        WANTED,
        record=table.get(NAME),
        table=table,
        requeue=Requeue(queue, (kind.kind, *NAME)),
    )


def make_table(kind: Kind) -> Table[Any]:
    table: Table[Any] = Table()
    table.put(NAME, RECORDS[kind](make_body("1", phase="Pending")))
    return table


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.kind)
async def test_the_answer_is_what_is_known_before_its_event_comes(kind: Kind, queue: WorkQueue[Key]) -> None:
    table, server = make_table(kind), Server()
    assert await write(server, kind, table, queue)
    assert server.applied[0]["metadata"]["resourceVersion"] == "1"
    known = table.get(NAME)
    assert (known.resource_version, dict(known.status)) == ("2", WANTED)


async def test_what_was_observed_meanwhile_is_kept(queue: WorkQueue[Key]) -> None:
    table = make_table(Kind.AGENT)
    newer = agent_record(make_body("3"))
    assert await write(Server(meanwhile=lambda: table.put(NAME, newer)), Kind.AGENT, table, queue)
    assert table.get(NAME) is newer


@pytest.mark.parametrize(
    ("error", "failures"),
    [(Conflict(409, "Conflict", "it has changed"), 1), (NotFound(404, "NotFound", "it is gone"), 0)],
    ids=["changed since", "gone"],
)
async def test_what_cannot_be_written_is_tried_again_unless_it_is_gone(
    error: Exception, failures: int, queue: WorkQueue[Key]
) -> None:
    table = make_table(Kind.AGENT)
    before = table.get(NAME)
    assert not await write(Server(error), Kind.AGENT, table, queue)
    assert table.get(NAME) is before
    assert queue.failures(("Agent", *NAME)) == failures
    queue.close()

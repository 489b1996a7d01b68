"""Writing a status: a server-side apply at the version that was observed; the answer counts as observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self, TypeVar

from ..domain.skill import SkillKey
from ..kube.errors import Conflict, NotFound
from ..kube.kinds import Kind
from .ports import Body, Cluster
from .requeue import Requeue
from .status import apply_body
from .table import Table


class Observed(Protocol):
    """A record of an object that has a status."""

    @property
    def resource_version(self) -> str:
        """At which the object was observed."""
        ...

    def with_status(self, body: Body) -> Self:
        """Return the record with the status and the version of an object, and nothing else of it."""
        ...


R = TypeVar("R", bound=Observed)


async def write_status(
    cluster: Cluster,
    kind: Kind,
    key: SkillKey,
    status: Mapping[str, Any],
    *,
    record: R,
    table: Table[R],
    requeue: Requeue,
) -> bool:
    """Write a status; return whether it was written.

    The answer takes the record's place in the table, unless something newer was observed meanwhile: whoever
    looks before its event comes would write once more, in vain.

    Parameters
    ----------
    cluster, kind, key
        The API server, and whose status it is.
    status
        The whole of it.
    record, table
        What was observed of the object, and where it is kept.
    requeue
        Asked for another try where the object has changed since: its event is on the way.
    """
    body = apply_body(kind.kind, key, record.resource_version, status)
    try:
        written = await cluster.apply(kind, body, subresource="status")
    except NotFound:
        return False
    except Conflict:
        requeue.retry()
        return False
    name = (key.namespace, key.name)
    if table.get(name) is record:
        table.put(name, record.with_status(written))
    return True

"""Nothing is written by an operator that may no longer lead: another may be acting by now."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..domain.errors import UnavailableError
from ..kube.kinds import Kind
from .ports import Body, Cluster, Listing

_T = TypeVar("_T")


class NotLeadingError(UnavailableError):
    """A write was refused because the lease is not surely held."""


class Fenced:
    """A cluster that takes writes only while ``held``; reads pass.

    A request that was sent before the lease ended may still arrive after it: names that derive from what a
    Pod is, and preconditions on versions and uids, make it harmless.

    Parameters
    ----------
    cluster
        The API server.
    held
        Whether this operator leads, by its own clock.
    """

    def __init__(self, cluster: Cluster, *, held: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._held = held

    def _check(self, verb: str, kind: Kind) -> None:
        if not self._held():
            raise NotLeadingError(
                f"{verb} {kind.kind} was not sent: this operator does not hold the lease.",
                fix="Nothing: whoever holds it does the work.",
            )

    async def list(
        self, kind: Kind, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> Listing[Body]:
        """Return all objects of a kind."""
        return await self._cluster.list(
            kind, namespace=namespace, label_selector=label_selector, field_selector=field_selector
        )

    async def project(
        self, kind: Kind, project: Callable[[Body], _T], *, label_selector: str = ""
    ) -> Listing[_T]:
        """Return what ``project`` makes of each object of a kind."""
        return await self._cluster.project(kind, project, label_selector=label_selector)

    async def get(self, kind: Kind, *, name: str, namespace: str | None = None) -> Body | None:
        """Return one object, or ``None``."""
        return await self._cluster.get(kind, name=name, namespace=namespace)

    async def create(self, kind: Kind, body: Body, *, dry_run: bool = False) -> Body:
        """Create an object."""
        self._check("create", kind)
        return await self._cluster.create(kind, body, dry_run=dry_run)

    async def apply(
        self, kind: Kind, body: Body, *, subresource: str | None = None, force: bool = True
    ) -> Body:
        """Server-side apply."""
        self._check("apply", kind)
        return await self._cluster.apply(kind, body, subresource=subresource, force=force)

    async def delete(
        self,
        kind: Kind,
        *,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_seconds: int | None = None,
    ) -> bool:
        """Delete an object."""
        self._check("delete", kind)
        return await self._cluster.delete(
            kind,
            name=name,
            namespace=namespace,
            uid=uid,
            resource_version=resource_version,
            grace_seconds=grace_seconds,
        )

    async def pod_log(
        self,
        namespace: str,
        name: str,
        container: str,
        *,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
    ) -> str:
        """Return the end of a container's log."""
        return await self._cluster.pod_log(
            namespace, name, container, tail_lines=tail_lines, limit_bytes=limit_bytes
        )

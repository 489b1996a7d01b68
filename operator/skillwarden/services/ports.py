"""What services need of the world, as protocols; ``runtime`` says who fulfils them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from ..builders.network_policy import DepotEndpoint
from ..builders.pod import Images
from ..domain.finding import Finding, ScannerName, ScanResult
from ..domain.lock import Lock, Platform
from ..domain.package import DeclaredPackage
from ..kube.kinds import Kind

Body = dict[str, Any]


class Listing(Protocol):
    """One consistent list."""

    @property
    def items(self) -> Sequence[Body]:
        """Whole objects."""
        ...


class Cluster(Protocol):
    """The Kubernetes API, as far as services use it; errors are those of ``kube.errors``."""

    async def list(
        self, kind: Kind, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> Listing:
        """Return all objects of a kind."""
        ...

    async def get(self, kind: Kind, *, name: str, namespace: str | None = None) -> Body | None:
        """Return one object, or ``None``."""
        ...

    async def create(self, kind: Kind, body: Body, *, dry_run: bool = False) -> Body:
        """Create an object."""
        ...

    async def apply(
        self, kind: Kind, body: Body, *, subresource: str | None = None, force: bool = True
    ) -> Body:
        """Server-side apply with the field manager ``skillwarden``."""
        ...

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
        """Delete an object; ``False`` if it is already gone."""
        ...

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
        ...


class Resolver(Protocol):
    """Turns declared packages into a lock."""

    @property
    def index_identity(self) -> str:
        """Which index, without credentials."""
        ...

    async def resolve(
        self, declared: Sequence[DeclaredPackage], *, platform: Platform, preference: Lock | None = None
    ) -> Lock:
        """Return the closure, or raise one of ``resolve.errors``."""
        ...


class Scans(Protocol):
    """Runs every scanner over a lock."""

    async def scan(
        self, lock: Lock, *, advisory_revision: str, required: frozenset[ScannerName] | None = None
    ) -> ScanResult:
        """Return one report a scanner; never raises for a scanner's failure."""
        ...


class Feed(Protocol):
    """The advisories at hand."""

    @property
    def revision(self) -> str:
        """Which advisories; ``""`` where there are none."""
        ...

    @property
    def synced_at(self) -> datetime | None:
        """Last successful sync (UTC), or ``None``."""
        ...


NameFindings = Callable[[Sequence[DeclaredPackage]], tuple[Finding, ...]]
Now = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSetup:
    """What the operator's settings say about every sandbox.

    Attributes
    ----------
    runtimes
        Image by minor version of Python.
    default_version
        For a Skill that asks for none.
    operator_image, pull_policy, pull_secrets
        As in ``builders.pod.Images``.
    libc, arch
        Of the runtime images; the Pod is pinned to the architecture.
    depot
        How a sandbox reaches the depot.
    host_users
        ``False`` puts each Pod in a user namespace of its own; ``None`` leaves it to the cluster.
    network_enforced
        Whether the platform attests that NetworkPolicies are enforced; ``None``: nobody said.
    token
        Issues the depot token for one lock, content and input.
    seal_key
        Secret under which a Pod's identity is sealed.
    """

    runtimes: dict[str, str]
    default_version: str
    operator_image: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    libc: str = "glibc-2.28"
    arch: str = "amd64"
    depot: DepotEndpoint
    host_users: bool | None = None
    network_enforced: bool | None = None
    token: Callable[[str, str, str | None], str]
    seal_key: bytes = field(repr=False)

    def images(self, version: str) -> Images:
        """Return the images for a version that ``runtimes`` holds."""
        return Images(
            runtime=self.runtimes[version],
            operator=self.operator_image,
            pull_policy=self.pull_policy,
            pull_secrets=self.pull_secrets,
        )

    def platform(self, version: str) -> Platform:
        """Return what artefacts are chosen for."""
        return Platform(python=version, libc=self.libc, arch=self.arch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How often, and how long.

    Attributes
    ----------
    resync
        Every key is reconciled at least this often.
    retry
        First delay after something did not answer; doubled up to ``retry_limit``.
    progress_delay
        An in-progress status is written only if it stands this long: fewer writes for what is quick.
    guard_ttl, guard_retry
        How long a positive and a negative answer of the guard's probe are believed.
    advisory_poll
        How often the advisories are looked at for a new revision.
    kinds_poll
        How often the API server is asked which of our kinds it serves.
    source_poll
        How often a pinned ConfigMap that cannot be used is looked at again: ConfigMaps are not watched.
    """

    resync: timedelta = timedelta(minutes=10)
    retry: timedelta = timedelta(seconds=2)
    retry_limit: timedelta = timedelta(minutes=5)
    progress_delay: timedelta = timedelta(seconds=3)
    guard_ttl: timedelta = timedelta(minutes=5)
    guard_retry: timedelta = timedelta(seconds=30)
    advisory_poll: timedelta = timedelta(seconds=5)
    kinds_poll: timedelta = timedelta(seconds=10)
    source_poll: timedelta = timedelta(seconds=30)

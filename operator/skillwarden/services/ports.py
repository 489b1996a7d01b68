"""What services need of the world, as protocols; ``runtime`` says who fulfils them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from ..builders.network_policy import DepotEndpoint
from ..builders.pod import Images
from ..domain.finding import Finding, ScannerName, ScanResult
from ..domain.lock import Lock, Platform
from ..domain.package import DeclaredPackage, Ecosystem, PackageId
from ..domain.pins import Pins
from ..domain.skill import Invocation, SourceFile
from ..domain.source_finding import SourceFinding
from ..kube.kinds import Kind

Body = dict[str, Any]
_T = TypeVar("_T")
_Item_co = TypeVar("_Item_co", covariant=True)


class Listing(Protocol[_Item_co]):
    """One consistent list."""

    @property
    def items(self) -> Sequence[_Item_co]:
        """Whole objects, or what was made of each."""
        ...

    @property
    def resource_version(self) -> str:
        """Where a watch would go on."""
        ...


class Cluster(Protocol):
    """The Kubernetes API, as far as services use it; errors are those of ``kube.errors``."""

    async def list(
        self, kind: Kind, *, namespace: str | None = None, label_selector: str = "", field_selector: str = ""
    ) -> Listing[Body]:
        """Return all objects of a kind."""
        ...

    async def project(
        self, kind: Kind, project: Callable[[Body], _T], *, label_selector: str = ""
    ) -> Listing[_T]:
        """Return what ``project`` makes of each object of a kind, without holding all of them."""
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
        self,
        declared: Sequence[DeclaredPackage],
        *,
        platform: Platform,
        preference: Lock | None = None,
        pins: Pins | None = None,
        on_versions: Callable[[frozenset[PackageId]], None] = ...,
    ) -> Lock:
        """Return the closure, or raise one of ``resolve.errors``; tell versions as soon as they are known."""
        ...


class Scans(Protocol):
    """Runs every scanner over a lock."""

    async def scan(
        self, lock: Lock, *, advisory_revision: str, required: frozenset[ScannerName] | None = None
    ) -> ScanResult:
        """Return one report a scanner; never raises for a scanner's failure."""
        ...

    async def prepare(self, ecosystems: AbstractSet[Ecosystem]) -> None:
        """Begin what can begin while a lock with packages of these is being made; never raises."""
        ...

    def look_ahead(self, packages: frozenset[PackageId]) -> None:
        """Begin what needs no more than the versions that a lock under way will hold."""
        ...


class Feed(Protocol):
    """The advisories at hand."""

    @property
    def revision(self) -> str:
        """Which advisories; ``""`` where there are none."""
        ...

    def revision_of(self, names: Iterable[tuple[Ecosystem, str]]) -> str:
        """Return which advisories there are about some packages; ``""`` where there are none at all."""
        ...

    @property
    def synced_at(self) -> datetime | None:
        """Last successful sync (UTC), or ``None``."""
        ...


class Observer(Protocol):
    """Told what the operator does and how long it takes; for metrics."""

    def reconciled(self, kind: str, seconds: float, outcome: str) -> None:
        """Take note of a reconcile that ended: ``ok``, ``retry``, ``timeout`` or ``error``."""
        ...

    def waited(self, seconds: float) -> None:
        """Take note of how long a key waited for a worker."""
        ...


class Audit(Protocol):
    """Keeps a record of what is decided and done."""

    def record(self, event: str, **fields: Any) -> None:
        """Take a record; never waits, never raises. Empty fields are left out."""
        ...


#: Looks at a skill's files, and at what its command runs.
SourceFindings = Callable[[Sequence[SourceFile], Invocation], tuple[SourceFinding, ...]]
NameFindings = Callable[[Sequence[DeclaredPackage]], tuple[Finding, ...]]
Now = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSetup:
    """What the operator's settings say about every sandbox.

    Attributes
    ----------
    runtimes, node_runtimes
        Image by minor version of Python, and by major version of Node.
    mixed_runtimes
        Image with both, by their versions: ``python3.12-node24``.
    default_version, default_node
        For a Skill that asks for none.
    commands
        Commands that the platform says an image has, by version, besides ``commands.OF_EVERY_IMAGE``.
    operator_image, pull_policy, pull_secrets
        As in ``builders.pod.Images``.
    libc, arch
        Of the runtime images; the Pod is pinned to the architecture.
    depot
        How a sandbox reaches the depot.
    host_users
        ``False`` puts each Pod in a user namespace of its own; ``None`` leaves it to the cluster.
    token
        Issues the depot token for one lock, content and input.
    seal_key
        Secret under which a Pod's identity is sealed.
    """

    runtimes: dict[str, str]
    default_version: str
    node_runtimes: Mapping[str, str] = field(default_factory=dict)
    default_node: str = ""
    mixed_runtimes: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, frozenset[str]] = field(default_factory=dict)
    operator_image: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    libc: str = "glibc-2.28"
    arch: str = "amd64"
    depot: DepotEndpoint
    host_users: bool | None = None
    token: Callable[[str, str, str | None], str]
    seal_key: bytes = field(repr=False)

    def images(self, platform: Platform) -> Images:
        """Return the images for a platform that ``runtimes.choose_platform`` chose."""
        if platform.python and platform.node:
            runtime = self.mixed_runtimes[mixed_key(platform.python, platform.node)]
        elif platform.node:
            runtime = self.node_runtimes[platform.node]
        else:
            runtime = self.runtimes[platform.python]
        return Images(
            runtime=runtime,
            operator=self.operator_image,
            pull_policy=self.pull_policy,
            pull_secrets=self.pull_secrets,
        )

    def platform(self, *, python: str = "", node: str = "") -> Platform:
        """Return what artefacts are chosen for."""
        return Platform(python=python, node=node, libc=self.libc, arch=self.arch)


def mixed_key(python: str, node: str) -> str:
    """Return the key under which an image with both interpreters is known."""
    return f"python{python}-node{node}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How often, and how long.

    Attributes
    ----------
    resync
        Every key is reconciled at least this often.
    retry
        First delay after something did not answer; doubled up to ``retry_limit``.
    reconcile_limit
        A reconcile that takes longer is ended and tried again; a worker that is on one key for twice as long
        is stuck.
    progress_delay
        An in-progress status is written only if it stands this long: fewer writes for what is quick.
    guard_ttl, guard_retry
        How long a positive answer of the guard's probe is believed, and once more while none comes; and after
        how long any other is asked for again, for whoever was judged meanwhile.
    advisory_poll
        How often the advisories are looked at for a new revision.
    watch_silence
        A watch that brings nothing for so long, not even a bookmark, is dead and begun anew. A server sends a
        bookmark about once a minute.
    kinds_poll
        How often the API server is asked which of our kinds it serves.
    mark_interval
        How often the depot is told what is in use.
    source_poll
        How often a pinned ConfigMap that cannot be used is looked at again: ConfigMaps are not watched.
    """

    resync: timedelta = timedelta(minutes=10)
    reconcile_limit: timedelta = timedelta(minutes=5)
    retry: timedelta = timedelta(seconds=2)
    retry_limit: timedelta = timedelta(minutes=5)
    progress_delay: timedelta = timedelta(seconds=3)
    guard_ttl: timedelta = timedelta(minutes=5)
    guard_retry: timedelta = timedelta(seconds=30)
    advisory_poll: timedelta = timedelta(seconds=5)
    watch_silence: timedelta = timedelta(seconds=90)
    kinds_poll: timedelta = timedelta(seconds=10)
    source_poll: timedelta = timedelta(seconds=30)
    mark_interval: timedelta = timedelta(minutes=10)

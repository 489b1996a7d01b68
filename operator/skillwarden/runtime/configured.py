"""Parts that need no cluster, as the settings want them: for the operator and for the command line."""

from __future__ import annotations

from datetime import UTC, datetime

from ..builders.network_policy import DepotEndpoint
from ..depot.tokens import issue
from ..resolve.closure import ClosureResolver
from ..resolve.first_seen import ProjectAges
from ..resolve.first_seen_memory import FirstSeenMemory
from ..resolve.npm import NpmResolver
from ..resolve.npm_settings import NpmSettings
from ..resolve.python import PythonResolver
from ..resolve.settings import ResolverSettings
from ..services.ports import SandboxSetup
from .settings import Settings


def utc_now() -> datetime:
    """Return the wall clock, aware, in UTC."""
    return datetime.now(UTC)


def resolver_settings(settings: Settings) -> ResolverSettings:
    """Return what the resolver needs of the settings."""
    return ResolverSettings(
        index_url=settings.index_url,
        index_username=settings.index_username,
        index_password=settings.index_password.get_secret_value(),
        netrc=settings.index_netrc,
        deadline_seconds=settings.resolve_deadline,
        memory_limit_bytes=settings.tool_memory_bytes,
        cache_dir=settings.state_dir / "cache" / "uv",
        allowed_hosts=frozenset(settings.index_hosts),
    )


def npm_settings(settings: Settings) -> NpmSettings:
    """Return what the npm resolver needs of the settings."""
    return NpmSettings(
        registry_url=settings.npm_registry_url,
        username=settings.npm_username,
        password=settings.npm_password.get_secret_value(),
        token=settings.npm_token.get_secret_value(),
        deadline_seconds=settings.resolve_deadline,
        memory_limit_bytes=settings.tool_memory_bytes,
        cache_dir=settings.state_dir / "cache" / "npm",
        allowed_hosts=frozenset(settings.index_hosts),
    )


def closure_resolver(settings: Settings) -> ClosureResolver:
    """Return the resolver of both ecosystems."""
    return ClosureResolver(
        python=PythonResolver(resolver_settings(settings)), npm=NpmResolver(npm_settings(settings))
    )


def project_ages(settings: Settings) -> ProjectAges:
    """Return what asks the resolvers' own indexes since when they have projects."""
    python, npm = resolver_settings(settings), npm_settings(settings)
    return ProjectAges(
        python=python,
        npm=npm,
        index_url=PythonResolver(python).index_url,
        registry_url=NpmResolver(npm).registry_url,
        memory=FirstSeenMemory(settings.state_dir / "cache" / "first-seen.sqlite"),
    )


def sandbox_setup(settings: Settings, *, key: bytes) -> SandboxSetup:
    """Return what the settings say about every sandbox."""
    depot = settings.depot
    endpoint = DepotEndpoint(
        host=depot.sandbox_address(),
        port=depot.sandbox_port,
        target_port=depot.sandbox_target_port,
        in_cluster=depot.cidr is None,
        selector=depot.selector,
        namespace_labels={"kubernetes.io/metadata.name": depot.namespace},
        cidr=depot.cidr,
    )

    def token(lock_digest: str, content_digest: str, input_digest: str | None) -> str:
        return issue(key, lock_digest=lock_digest, content_digest=content_digest, input_digest=input_digest)

    return SandboxSetup(
        runtimes=settings.runtimes,
        default_version=settings.default_python,
        node_runtimes=settings.node_runtimes,
        default_node=settings.default_node,
        mixed_runtimes=settings.mixed_runtimes,
        commands=settings.runtime_commands,
        operator_image=settings.operator_image,
        pull_policy=settings.pull_policy,
        pull_secrets=settings.pull_secrets,
        libc=settings.libc,
        arch=settings.arch,
        depot=endpoint,
        host_users=settings.host_users,
        token=token,
        seal_key=key,
    )

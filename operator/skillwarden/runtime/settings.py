"""Settings of the operator, from the environment (``SKILLWARDEN_*``); each is named in docs/operations."""

from __future__ import annotations

import ipaddress
import json
import platform as machine
import re
import socket
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..bounded import TOOL_MEMORY
from ..domain.naming import COMPONENT_DEPOT, LABEL_COMPONENT
from .address import host_and_port

ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
MIN_KEY_BYTES = 32
#: How long the depot's name may be unknown at the start: a restarted node's DNS comes up beside the operator.
LOOKUP_SECONDS = 60.0
LOOKUP_PAUSE = 1.0
#: Settings that are JSON, and how each is written.
_JSON = {
    "runtimes": '{"3.12": "python:3.12-slim"}',
    "node_runtimes": '{"24": "node:24-slim"}',
    "mixed_runtimes": '{"python3.12-node24": "IMAGE"}',
    "runtime_commands": '{"3.12": ["git", "jq"]}',
    "selector": '{"skillwarden.io/component": "depot"}',
}


def _from_json(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"{value[:60]!r} is not JSON, such as {_JSON[info.field_name or '']}") from error


def default_state_dir() -> Path:
    """Return where state is kept unless told otherwise: XDG's state folder."""
    from os import environ  # noqa: PLC0415 - read when asked, not at import

    base = environ.get("XDG_STATE_HOME", "")
    # A relative one is to be ignored, says the specification.
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "skillwarden"


class DepotSettings(BaseModel):
    """How the operator and the sandboxes reach the depot.

    Attributes
    ----------
    url
        For the operator, e.g. ``http://skillwarden-depot.skillwarden-system:8480``.
    unix_socket
        Instead of a network connection, for the operator.
    sandbox_host
        For sandboxes: an IP address (they have no DNS), such as the depot Service's cluster IP; a name is
        looked up once, when the operator starts.
    sandbox_port, sandbox_target_port
        The Service's port, and the one that the depot's Pods listen on.
    namespace
        Where the depot's Pods are.
    cidr
        For a depot outside of the cluster: its address as a block; then no Pod is selected.
    key_file
        File with the key (at least 32 bytes) that the depot has, too.
    """

    url: str = "http://127.0.0.1:8480"
    unix_socket: Path | None = None
    sandbox_host: str = "127.0.0.1"
    sandbox_port: int = Field(default=8480, ge=1, le=65535)
    sandbox_target_port: int | None = Field(default=None, ge=1, le=65535)
    namespace: str = "skillwarden-system"
    selector: dict[str, str] = {LABEL_COMPONENT: COMPONENT_DEPOT}
    cidr: str | None = None
    key_file: Path | None = None
    key: SecretStr | None = None

    _selector = field_validator("selector", mode="before")(_from_json)

    def sandbox_address(self) -> str:
        """Return the address that sandboxes are given.

        Raises
        ------
        ValueError
            Where the name cannot be looked up, for a while.
        """
        try:
            return str(ipaddress.ip_address(self.sandbox_host))
        except ValueError:
            pass
        deadline = time.monotonic() + LOOKUP_SECONDS
        while True:
            try:
                found = socket.getaddrinfo(self.sandbox_host, self.sandbox_port, proto=socket.IPPROTO_TCP)
                return str(found[0][4][0])
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise ValueError(
                        f"SKILLWARDEN_DEPOT__SANDBOX_HOST is {self.sandbox_host}, which cannot be looked up:"
                        f" {error}. Set it to the IP address at which sandboxes reach the depot."
                    ) from error
            time.sleep(LOOKUP_PAUSE)

    def read_key(self) -> bytes:
        """Return the key.

        Raises
        ------
        ValueError
            Where there is none, or it is too short to be one.
        """
        if self.key is not None:
            key = self.key.get_secret_value().encode()
        elif self.key_file is not None:
            key = self.key_file.read_bytes().strip()
        else:
            raise ValueError(
                "the depot's key is not set. Set SKILLWARDEN_DEPOT__KEY_FILE to the file that the depot has."
            )
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"the depot's key has {len(key)} bytes; at least {MIN_KEY_BYTES} are needed.")
        return key


_LEASE = re.compile(r"[a-z0-9-]+/[a-z0-9.-]+")
_MIXED = re.compile(r"python3\.[0-9]{1,2}-node[1-9][0-9]?")


class Settings(BaseSettings):
    """Everything that can be set.

    Attributes
    ----------
    kubeconfig, context
        Where the API server is; neither: in-cluster, else the usual kubeconfig.
    watch_namespaces
        The only ones whose skills are governed, as a comma-separated list; empty: all.
    runtimes
        Image by minor version of Python, as JSON: ``{"3.12": "python:3.12-slim"}``; by digest in production.
    node_runtimes
        Image by major version of Node, as JSON.
    mixed_runtimes
        Image with both interpreters, by their versions, as JSON: ``{"python3.12-node24": "..."}``.
    default_python, default_node
        For a Skill that asks for no version.
    runtime_commands
        Commands that an image has besides those of our own runtime images, by version of its language, as
        JSON: ``{"3.12": ["git", "jq"]}``. A Skill that asks for others is not accepted.
    operator_image
        Our own image, which prepares sandboxes.
    pull_policy, pull_secrets
        For both.
    libc, arch
        Of the runtime images.
    trust_agent_refs
        Take agent references although the guard is not in force: only where a single user can write.
    trust_approvals
        Take approvals although no admission policy proves who gave them: only where a single user can write.
    network_enforced
        The platform attests that its network plugin enforces NetworkPolicies; unset: nobody knows.
    canary_namespace, canary_interval, canary_pull_secrets, canary_owner
        Where canary Pods show whether NetworkPolicies are enforced (the operator's own namespace), and how
        often in seconds; empty: none are sent. Names of image pull secrets that are there. Name and uid of
        the operator's own Pod (``NAME/UID``), with which what was left of them goes; empty: nobody's.
    host_users
        ``false`` gives each sandbox a user namespace of its own (needs kubelet and runtime support).
    state_dir, advisories_dir
        Where caches are, and the advisories that ``skillwarden advisories sync`` writes.
    advisories_source, advisories_interval
        A folder or URL that the operator itself syncs advisories from, every so many seconds; unset:
        somebody else runs ``skillwarden advisories sync`` into the same folder.
    index_url
        The package index; unset: the tools' default. It carries no credentials.
    index_username, index_password, index_netrc
        Credentials for it, or a netrc file that has them; the depot needs the same (its own ``NETRC``).
    npm_registry_url
        The npm registry; unset: npm's default. It carries no credentials.
    npm_username, npm_password, npm_token
        Credentials for it: basic, or a bearer token; the depot needs the same (its own ``NETRC``).
    index_hosts
        Further hosts that artefacts may come from, of either ecosystem.
    resolve_deadline, scan_deadline
        Seconds.
    guarddog_python
        Interpreter of GuardDog's environment, for ``skillwarden check``; the depot reads the same variable.
        Unset: the one in our own environment's folder ``guarddog``.
    tool_memory
        MiB that a resolver, or a tool that a scanner runs, may have for itself; less than the container may.
    workers, stage_concurrency
        Keys reconciled at a time, and slow stages run at a time.
    lease, lease_seconds
        ``NAMESPACE/NAME`` of the Lease whose holder acts, where several operators run, and how many seconds
        after its last renewal another takes over; empty: this operator is the only one.
    metrics_address
        ``HOST:PORT`` for /metrics, /healthz and /readyz; empty: none.
    webhook_address, webhook_certificates
        ``HOST:PORT`` for the validating webhook, and the folder with its ``tls.crt`` and ``tls.key``; empty:
        none.
    audit_stdout, audit_file
        Where audit records go: to standard output, to a file of this operator's own, or both.
    log_format, log_level
        ``json`` or ``console``.
    """

    model_config = SettingsConfigDict(
        env_prefix="SKILLWARDEN_",
        env_nested_delimiter="__",
        # Decoded before it is validated, what is no JSON would be an error that does not name the variable.
        enable_decoding=False,
        extra="ignore",
        nested_model_default_partial_update=True,
    )

    kubeconfig: Path | None = None
    context: str | None = None
    watch_namespaces: tuple[str, ...] = ()
    runtimes: dict[str, str] = {
        "3.11": "python:3.11-slim",
        "3.12": "python:3.12-slim",
        "3.13": "python:3.13-slim",
    }
    node_runtimes: dict[str, str] = {"24": "node:24-slim"}
    mixed_runtimes: dict[str, str] = {}
    default_python: str = "3.12"
    default_node: str = "24"
    runtime_commands: dict[str, frozenset[str]] = {}
    operator_image: str = "skillwarden:0.1.0"
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    libc: str = "glibc-2.28"
    arch: str = Field(default_factory=lambda: ARCHITECTURES.get(machine.machine(), "amd64"))
    trust_agent_refs: bool = False
    trust_approvals: bool = False
    network_enforced: bool | None = None
    canary_namespace: str = ""
    canary_interval: float = Field(default=1800.0, ge=60)
    canary_pull_secrets: tuple[str, ...] = ()
    canary_owner: str = Field(default="", pattern=r"^([a-z0-9.-]{1,253}/[a-zA-Z0-9-]{1,64})?$")
    host_users: bool | None = None
    depot: DepotSettings = DepotSettings()
    state_dir: Path = Field(default_factory=default_state_dir)
    advisories_dir: Path | None = None
    advisories_source: str | None = None
    advisories_interval: float = Field(default=3600.0, ge=60)
    index_url: str | None = None
    index_username: str = ""
    index_password: SecretStr = SecretStr("")
    index_netrc: Path | None = None
    npm_registry_url: str | None = None
    npm_username: str = ""
    npm_password: SecretStr = SecretStr("")
    npm_token: SecretStr = SecretStr("")
    index_hosts: tuple[str, ...] = ()
    resolve_deadline: float = Field(default=60.0, gt=0)
    scan_deadline: float = Field(default=60.0, gt=0)
    guarddog_python: Path | None = None
    tool_memory: int = Field(default=TOOL_MEMORY >> 20, ge=128, le=65536)
    workers: int = Field(default=8, ge=1, le=64)
    stage_concurrency: int = Field(default=2, ge=1, le=32)
    lease: str = ""
    lease_seconds: float = Field(default=10.0, ge=1, le=300)
    metrics_address: str = ""
    webhook_address: str = ""
    webhook_certificates: Path = Path("/run/skillwarden-webhook")
    audit_stdout: bool = True
    audit_file: Path | None = None
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    _objects = field_validator(
        "runtimes", "node_runtimes", "mixed_runtimes", "runtime_commands", mode="before"
    )(_from_json)

    @field_validator("pull_secrets", "canary_pull_secrets", "index_hosts", "watch_namespaces", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """Take a comma-separated list."""
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("state_dir", "advisories_dir", "index_netrc", "guarddog_python")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Tools are started in folders of their own."""
        return value and value.absolute()

    @field_validator("metrics_address", "webhook_address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if value:
            host_and_port(value)
        return value

    @field_validator("lease")
    @classmethod
    def _names_a_lease(cls, value: str) -> str:
        if value and not _LEASE.fullmatch(value):
            raise ValueError(
                f"{value!r} is not NAMESPACE/NAME, such as skillwarden-system/skillwarden-operator"
            )
        return value

    @model_validator(mode="after")
    def _default_has_image(self) -> Settings:
        for name, default, offered in (
            ("default_python", self.default_python, self.runtimes),
            ("default_node", self.default_node, self.node_runtimes),
        ):
            # No image of a language at all is a choice; a default without one is a mistake.
            if offered and default not in offered:
                raise ValueError(
                    f"{name} is {default}, but the runtimes are only {', '.join(sorted(offered))}"
                )
        wrong = [key for key in self.mixed_runtimes if not _MIXED.fullmatch(key)]
        if wrong:
            raise ValueError(f"mixed_runtimes has {wrong[0]!r}, which is not like python3.12-node24")
        return self

    @property
    def advisories(self) -> Path:
        """Where the advisories are."""
        return self.advisories_dir or self.state_dir / "advisories"

    @property
    def tool_memory_bytes(self) -> int:
        """What ``tool_memory`` says, in bytes."""
        return self.tool_memory << 20

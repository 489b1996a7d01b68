"""Skill: the code of an agent's skill, the packages it needs and the sandbox it runs in."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from skillwarden.domain import skill as domain
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.policy import Resources as DomainResources

from .common import (
    DEFAULT_EMPTY,
    LIST_ATOMIC,
    LIST_SET,
    PRINTABLE,
    ApiModel,
    Line,
    LocalRef,
    ObjectName,
    Resource,
    cel,
    list_map,
)
from .quantity import Quantity, millicores, whole_bytes
from .skill_source import Source

#: An agent's name that manifests/admission/agent-use.yaml refuses to everybody, cluster-admin included:
#: the operator dry-runs a Skill that names it, and takes an acceptance as "no guard is in force here".
GUARD_PROBE_AGENT = "skillwarden-guard-probe"

COMMAND = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$"
NOT_NUL = r"^[^\x00]*$"
_RUNTIME_VERSION = "version is a minor of Python 3, such as 3.12, or a major of Node, such as 24"
_TASK_REPLICAS = "replicas is for mode Service; a Task makes one Pod a run"


class Runtime(ApiModel):
    """Which interpreter the skill runs on."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "!has(self.version) || (self.language == 'Python') == self.version.contains('.')",
                    _RUNTIME_VERSION,
                )
            ]
        }
    )

    language: domain.Language = Field(
        default=domain.Language.PYTHON, description="The language of the skill: Python or Node."
    )
    version: str | None = Field(
        default=None,
        max_length=5,
        pattern=r"^(3\.[0-9]{1,2}|[1-9][0-9]?)$",
        description=(
            "Minor version of Python, such as 3.12, or major version of Node, such as 24. Absent: the"
            " operator's default. The operator must have an image for it, otherwise Accepted is False with"
            " reason UnsupportedRuntime."
        ),
    )

    commands: tuple[Annotated[str, Field(min_length=1, max_length=64, pattern=COMMAND)], ...] = Field(
        default=(),
        max_length=32,
        json_schema_extra=LIST_SET,
        description=(
            "Commands that the skill runs and the image must have, such as git. Where the operator's settings"
            " do not say that it has one, Accepted is False with reason UnsupportedRuntime."
        ),
    )

    @model_validator(mode="after")
    def _version_fits(self) -> Self:
        if self.version and (self.language is domain.Language.PYTHON) != ("." in self.version):
            raise ValueError(_RUNTIME_VERSION)
        return self


class NodePackages(ApiModel):
    """The npm packages that the skill declares."""

    manager: domain.NodeManager = Field(
        default=domain.NodeManager.NPM,
        description=(
            "Whose lockfile counts where the source has one: package-lock.json for npm, yarn.lock for yarn,"
            " pnpm-lock.yaml for pnpm. Its versions are kept; the sandbox installs from the operator's lock."
        ),
    )
    dependencies: tuple[Annotated[str, Field(min_length=1, max_length=512, pattern=PRINTABLE)], ...] = Field(
        min_length=1,
        max_length=500,
        json_schema_extra=LIST_SET,
        description=(
            "npm packages: a name and a range of versions, such as lodash@^4.17.21 or @scope/name@1.2.3. No"
            " tags, aliases, URLs, paths or options. What they depend on is resolved, scanned and judged too."
        ),
    )


class Packages(ApiModel):
    """The packages that the skill declares."""

    python: tuple[Annotated[str, Field(min_length=1, max_length=512, pattern=PRINTABLE)], ...] = Field(
        default=(),
        max_length=500,
        json_schema_extra=LIST_SET,
        description=(
            "Python requirements: a name, extras and a version range, such as pandas>=2.2,<3. No URLs, paths,"
            " options or markers. What they depend on is resolved, scanned and judged with them."
        ),
    )
    node: NodePackages | None = Field(
        default=None, description="npm packages; a Python skill may have some, and a Node skill Python's."
    )


class Entrypoint(ApiModel):
    """What the container runs."""

    command: tuple[Annotated[str, Field(max_length=4096, pattern=NOT_NUL)], ...] = Field(
        min_length=1,
        max_length=32,
        json_schema_extra=LIST_ATOMIC,
        description="Command and arguments, run in /skill/src without a shell, such as [python, main.py].",
    )


class EnvVar(ApiModel):
    """One environment variable."""

    name: str = Field(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Name of the variable: letters, digits and underscores, not starting with a digit.",
    )
    value: str = Field(
        max_length=4096,
        pattern=NOT_NUL,
        description="Its value; nothing is expanded. Not for secrets: anyone who reads the Skill sees it.",
    )


class Resources(ApiModel):
    """Compute that a Pod gets: requests and limits are the same."""

    cpu: Quantity = Field(default="500m", description="CPU cores, such as 500m or 2.")
    memory: Quantity = Field(default="256Mi", description="Memory, such as 256Mi or 1Gi.")
    ephemeral_storage: Quantity = Field(
        default="256Mi",
        description="Disk for installed packages and /tmp, such as 256Mi; numpy and pandas take 105 MB.",
    )

    def to_domain(self) -> DomainResources:
        """Return the amounts in base units."""
        return DomainResources(
            cpu=millicores(self.cpu),
            memory=whole_bytes(self.memory),
            ephemeral_storage=whole_bytes(self.ephemeral_storage),
        )


class EgressPeer(ApiModel):
    """One destination outside of the sandbox."""

    cidr: str = Field(
        min_length=4,
        max_length=49,
        pattern=r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$",
        description="IP network, such as 192.0.2.0/24 or 2001:db8::/64; a single host ends in /32 or /128.",
    )
    port: int = Field(ge=1, le=65535, description="Destination port.")
    protocol: Literal["TCP", "UDP"] = Field(default="TCP", description="TCP or UDP.")

    def to_domain(self) -> domain.EgressPeer:
        """Return the destination with its network in canonical form.

        Raises
        ------
        InvalidInputError
            Where the text is not a network, or has bits set behind its prefix.
        """
        try:
            network = ipaddress.ip_network(self.cidr)
        except ValueError as error:
            raise InvalidInputError(
                f"spec.sandbox.network.egress: cidr {self.cidr!r} is not an IP network: {error}.",
                fix="Write the network's first address and a prefix length, such as 192.0.2.0/24.",
            ) from error
        return domain.EgressPeer(cidr=str(network), port=self.port, protocol=self.protocol)


class Network(ApiModel):
    """What the sandbox may reach."""

    egress: tuple[EgressPeer, ...] = Field(
        default=(),
        max_length=32,
        json_schema_extra=LIST_ATOMIC,
        description=(
            "Destinations that the skill may open connections to; empty is none. A policy must allow egress,"
            " otherwise a skill that declares any is denied."
        ),
    )


class Sandbox(ApiModel):
    """How the Pod is to be."""

    replicas: int = Field(
        default=1,
        ge=0,
        le=50,
        description="Pods of a skill with mode Service; kubectl scale sets it. A Task makes one Pod a run.",
    )
    suspend: bool = Field(
        default=False, description="Remove the Pods, and start none, until it is false again."
    )
    env: tuple[EnvVar, ...] = Field(
        default=(),
        max_length=64,
        json_schema_extra=list_map("name"),
        description="Environment variables of the skill.",
    )
    resources: Resources = Field(
        default_factory=Resources,
        json_schema_extra=DEFAULT_EMPTY,
        description="Compute that each Pod gets; requests and limits are the same.",
    )
    timeout_seconds: int = Field(
        default=300, ge=1, le=86400, description="How long a run may take; then it is stopped and has failed."
    )
    runtime_class_name: ObjectName | None = Field(
        default=None,
        description="RuntimeClass of the Pod, such as gvisor. A policy may require one by maturity.",
    )
    network: Network = Field(
        default_factory=Network,
        json_schema_extra=DEFAULT_EMPTY,
        description="What the sandbox may reach beyond the depot that it installs from; by default nothing.",
    )

    def to_domain(self) -> domain.Sandbox:
        """Return the sandbox in base units."""
        return domain.Sandbox(
            replicas=self.replicas,
            suspend=self.suspend,
            env=tuple((variable.name, variable.value) for variable in self.env),
            resources=self.resources.to_domain(),
            timeout_seconds=self.timeout_seconds,
            runtime_class_name=self.runtime_class_name,
            egress=tuple(peer.to_domain() for peer in self.network.egress),
        )


class SkillSpec(ApiModel):
    """What the author asks for."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("self.mode != 'Task' || self.sandbox.replicas == 1", _TASK_REPLICAS)
            ]
        }
    )

    description: Line = Field(default="", description="What the skill does, for people.")
    agent_ref: LocalRef | None = Field(
        default=None,
        description=(
            "The Agent that the skill works for; its maturity is what policies judge by. Naming it takes the"
            " verb use on it. Absent, not found or unguarded: Student."
        ),
    )
    mode: domain.Mode = Field(
        default=domain.Mode.TASK,
        description="Task: runs on demand, by a SkillRun. Service: its Pods stand, and are restarted.",
    )
    source: Source = Field(description="The skill's files: exactly one of files and configMapRef.")
    runtime: Runtime = Field(
        default_factory=Runtime,
        json_schema_extra=DEFAULT_EMPTY,
        description="Language and version of the interpreter.",
    )
    packages: Packages = Field(
        default_factory=Packages,
        json_schema_extra=DEFAULT_EMPTY,
        description="Packages that the skill needs; the sandbox can install these and their closure only.",
    )
    entrypoint: Entrypoint = Field(description="What the sandbox runs.")
    sandbox: Sandbox = Field(
        default_factory=Sandbox,
        json_schema_extra=DEFAULT_EMPTY,
        description="Size and limits of the Pod. What keeps it isolated cannot be configured away.",
    )

    @model_validator(mode="after")
    def _replicas_fit(self) -> Self:
        if self.mode is domain.Mode.TASK and self.sandbox.replicas != 1:
            raise ValueError(_TASK_REPLICAS)
        return self


class Skill(Resource):
    """A skill of an AI agent: its code, the packages it needs, and the sandbox it runs in."""

    kind: Literal["Skill"] = "Skill"
    spec: SkillSpec

    def to_domain(self) -> domain.SkillSpec:
        """Return what the author asked for.

        Raises
        ------
        InvalidInputError
            For base64 that cannot be decoded and for a CIDR that is no network: the schema cannot tell.
        """
        spec, node = self.spec, self.spec.packages.node
        return domain.SkillSpec(
            source=spec.source.to_domain(),
            command=spec.entrypoint.command,
            description=spec.description,
            agent=spec.agent_ref.name if spec.agent_ref else None,
            mode=spec.mode,
            language=spec.runtime.language,
            version=spec.runtime.version,
            commands=spec.runtime.commands,
            python_requirements=spec.packages.python,
            node_requirements=node.dependencies if node else (),
            node_manager=node.manager if node else domain.NodeManager.NPM,
            sandbox=spec.sandbox.to_domain(),
        )

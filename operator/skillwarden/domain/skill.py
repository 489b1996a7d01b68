"""A Skill and a SkillRun as values: what the author asked for, after the schema let it through."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .policy import Resources


class Mode(StrEnum):
    """How a skill runs."""

    TASK = "Task"
    SERVICE = "Service"


class Language(StrEnum):
    """Languages that the operator can have an image for."""

    PYTHON = "Python"
    NODE = "Node"


class NodeManager(StrEnum):
    """Package managers of Node whose lockfile in a skill's source is honoured."""

    NPM = "npm"
    YARN = "yarn"
    PNPM = "pnpm"


@dataclass(frozen=True, slots=True)
class SkillKey:
    """Namespace and name, and the uid that tells an object from its successor of the same name."""

    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a skill.

    Attributes
    ----------
    path
        Relative POSIX path below ``/skill/src``.
    content
        Its bytes.
    """

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class InlineSource:
    """Files written in the Skill itself; paths unique, sorted by path."""

    files: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True)
class ConfigMapSource:
    """Files kept in a ConfigMap of the same namespace, pinned by digest.

    Attributes
    ----------
    name
        The ConfigMap.
    sha256
        Hexadecimal content digest that its files must have (``content.content_digest`` without prefix).
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class EgressPeer:
    """One destination that a skill declares: CIDR and port only.

    Attributes
    ----------
    cidr
        IPv4 or IPv6 network.
    port
        1 to 65535.
    protocol
        ``TCP`` or ``UDP``.
    """

    cidr: str
    port: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How the Pod is to be.

    Attributes
    ----------
    replicas
        Pods of a Service skill.
    suspend
        Keep everything but the Pods.
    env
        Plain name and value pairs, in the order written.
    resources
        Requests, which are also the limits; every field is set.
    timeout_seconds
        How long a run may take.
    runtime_class_name
        The one asked for; policy may require one.
    egress
        Destinations beyond the depot; empty is deny-all.
    """

    replicas: int = 1
    suspend: bool = False
    env: tuple[tuple[str, str], ...] = ()
    resources: Resources = field(
        default_factory=lambda: Resources(cpu=500, memory=256 * 2**20, ephemeral_storage=256 * 2**20)
    )
    timeout_seconds: int = 300
    runtime_class_name: str | None = None
    egress: tuple[EgressPeer, ...] = ()


@dataclass(frozen=True, slots=True)
class Invocation:
    """What a skill's container is started with.

    Attributes
    ----------
    command
        Word by word.
    env
        The variables that the author sets.
    """

    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SkillSpec:
    """What a Skill asks for.

    Attributes
    ----------
    source
        Where its files are.
    command
        What the container runs; the first word is looked up on the image's PATH.
    description
        For people.
    agent
        Name of the Agent in the same namespace, or ``None``: Student.
    mode
        Task or Service.
    language, version
        Which image; ``version`` ``None`` is the operator's default.
    commands
        What the image must have on its PATH besides the interpreter.
    python_requirements
        As written; ``resolve.intake`` turns them into declared packages or refusals.
    node_requirements
        As written; as ``python_requirements``.
    node_manager
        Whose lockfile among the files counts.
    sandbox
        The Pod.
    """

    source: InlineSource | ConfigMapSource
    command: tuple[str, ...]
    description: str = ""
    agent: str | None = None
    mode: Mode = Mode.TASK
    language: Language = Language.PYTHON
    version: str | None = None
    commands: tuple[str, ...] = ()
    python_requirements: tuple[str, ...] = ()
    node_requirements: tuple[str, ...] = ()
    node_manager: NodeManager = NodeManager.NPM
    sandbox: Sandbox = field(default_factory=Sandbox)

    @property
    def invocation(self) -> Invocation:
        """What its container is started with."""
        return Invocation(self.command, self.sandbox.env)


@dataclass(frozen=True, slots=True)
class SkillRunSpec:
    """What a SkillRun asks for; immutable once created.

    Attributes
    ----------
    skill
        Name of the Task skill in the same namespace.
    agent
        On whose behalf; the lower of its maturity and the skill's counts. ``None``: the skill's.
    input
        Text that the skill finds as ``/skill/input.json``; ``None``: no such file.
    timeout_seconds
        Shorter than the skill's, or ``None``: the skill's.
    ttl_seconds_after_finished
        When the finished run is deleted; ``None``: never.
    """

    skill: str
    agent: str | None = None
    input: str | None = None
    timeout_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None

"""What a PackagePolicy says, as values; ``evaluate`` is what gives them meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, StrEnum

from .finding import FindingKind, Severity
from .package import Ecosystem


class Maturity(Enum):
    """How far an agent is trusted; ordered, least first."""

    STUDENT = "Student"
    INTERN = "Intern"
    SUPERVISED = "Supervised"
    AUTONOMOUS = "Autonomous"

    @property
    def rank(self) -> int:
        """Position in the order, from 0."""
        return _MATURITY_ORDER[self]

    def __lt__(self, other: Maturity) -> bool:
        return self.rank < other.rank

    def __le__(self, other: Maturity) -> bool:
        return self.rank <= other.rank


_MATURITY_ORDER = {maturity: rank for rank, maturity in enumerate(Maturity)}


class Action(Enum):
    """What a rule asks for; ordered by strictness, mildest first."""

    ALLOW = "Allow"
    REQUIRE_APPROVAL = "RequireApproval"
    DENY = "Deny"

    @property
    def strictness(self) -> int:
        """Position in the order, from 0."""
        return _STRICTNESS[self]


_STRICTNESS = {action: rank for rank, action in enumerate(Action)}


def strictest(*actions: Action) -> Action:
    """Return the strictest of some actions; Allow where there is none."""
    return max(actions, key=lambda action: action.strictness, default=Action.ALLOW)


class Enforcement(StrEnum):
    """Whether a policy decides (Enforce) or is only judged and shown (Audit)."""

    ENFORCE = "Enforce"
    AUDIT = "Audit"


class Scope(StrEnum):
    """Which packages of a closure a rule looks at."""

    ANY = "Any"
    DIRECT = "Direct"
    TRANSITIVE = "Transitive"


class OnError(StrEnum):
    """What a scanner error does to a sandbox that already runs; nothing new is ever launched."""

    DENY = "Deny"
    HOLD = "Hold"


class EgressRule(StrEnum):
    """Whether skills may open connections to what they declare."""

    DENY = "Deny"
    ALLOW = "Allow"


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Which policy.

    Attributes
    ----------
    name
        Its name.
    namespace
        Its namespace; ``None`` for a ClusterPackagePolicy.
    """

    name: str
    namespace: str | None = None

    def __str__(self) -> str:
        return (
            f"PackagePolicy {self.namespace}/{self.name}"
            if self.namespace
            else f"ClusterPackagePolicy {self.name}"
        )


@dataclass(frozen=True, slots=True)
class Ban:
    """Packages that nobody may use, whatever anybody approved.

    Attributes
    ----------
    ecosystem
        Where they come from.
    names
        Normalised names; ``*`` stands for any run of characters.
    versions
        Version range in the ecosystem's syntax (PEP 440 specifiers), or ``*``.
    message
        What to use instead, shown to the author.
    """

    ecosystem: Ecosystem
    names: tuple[str, ...]
    versions: str = "*"
    message: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens with packages that match; the first match in a policy counts.

    Attributes
    ----------
    name
        Unique in its policy.
    ecosystem, names, versions, scope
        What matches: as in ``Ban``, and whether declared or pulled in.
    action
        What follows.
    min_maturity
        Agents below it are denied whatever the action.
    include_dependencies
        Whether what only the matched packages pull in takes this action, unless a rule names it.
    """

    name: str
    ecosystem: Ecosystem
    names: tuple[str, ...]
    action: Action
    versions: str = "*"
    scope: Scope = Scope.ANY
    min_maturity: Maturity = Maturity.INTERN
    include_dependencies: bool = False


@dataclass(frozen=True, slots=True)
class FindingRules:
    """What each kind of finding does.

    Attributes
    ----------
    vulnerability
        Action by severity; all five bands are present.
    malicious
        Always ``Deny``: the schema takes nothing that says less.
    typosquat
        For a name that resembles a popular one.
    confusion
        For a name or version by which a public package stands in for an internal one.
    install_script
        For code that a package runs by itself: at install, or when an interpreter starts.
    licence_deny
        SPDX identifiers (``*`` stands for any run of characters) that are denied.
    licence_unknown
        For a package whose licence cannot be read.
    malware
        For code that heuristics take for malware; ``Allow``: it is not looked for.
    min_release_age
        Artefacts younger than this take ``release_age_action``; ``None``: age does not count.
    min_package_age
        Projects younger than this take ``package_age_action``; ``None``: age does not count.
    source
        Action by severity for what is found in a skill's own files; what is absent is allowed.
    """

    vulnerability: Mapping[Severity, Action] = field(
        default_factory=lambda: {
            Severity.CRITICAL: Action.DENY,
            Severity.HIGH: Action.REQUIRE_APPROVAL,
            Severity.MEDIUM: Action.ALLOW,
            Severity.LOW: Action.ALLOW,
            Severity.UNKNOWN: Action.REQUIRE_APPROVAL,
        }
    )
    typosquat: Action = Action.REQUIRE_APPROVAL
    confusion: Action = Action.DENY
    install_script: Action = Action.REQUIRE_APPROVAL
    licence_deny: tuple[str, ...] = ()
    licence_unknown: Action = Action.ALLOW
    malware: Action = Action.ALLOW
    min_release_age: timedelta | None = None
    release_age_action: Action = Action.REQUIRE_APPROVAL
    min_package_age: timedelta | None = None
    package_age_action: Action = Action.REQUIRE_APPROVAL
    source: Mapping[Severity, Action] = field(
        default_factory=lambda: {
            Severity.CRITICAL: Action.DENY,
            Severity.HIGH: Action.REQUIRE_APPROVAL,
            Severity.MEDIUM: Action.ALLOW,
            Severity.LOW: Action.ALLOW,
        }
    )

    @property
    def malicious(self) -> Action:
        """A package known to be malicious is denied, always."""
        return Action.DENY

    def cares_for(self, kind: FindingKind) -> bool:
        """Whether this kind is not simply allowed, so that its scanners are required (DESIGN 1.1)."""
        match kind:
            case FindingKind.VULNERABILITY:
                return any(action is not Action.ALLOW for action in self.vulnerability.values())
            case FindingKind.MALICIOUS:
                return True
            case FindingKind.TYPOSQUAT:
                return self.typosquat is not Action.ALLOW
            case FindingKind.CONFUSION:
                return self.confusion is not Action.ALLOW
            case FindingKind.INSTALL_SCRIPT:
                return self.install_script is not Action.ALLOW
            case FindingKind.LICENCE:
                return bool(self.licence_deny) or self.licence_unknown is not Action.ALLOW
            case FindingKind.MALWARE:
                return self.malware is not Action.ALLOW
            case FindingKind.RELEASE_AGE:
                return self.min_release_age is not None and self.release_age_action is not Action.ALLOW
            case FindingKind.PACKAGE_AGE:
                return self.min_package_age is not None and self.package_age_action is not Action.ALLOW


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts of compute, in base units.

    Attributes
    ----------
    cpu
        Millicores.
    memory, ephemeral_storage
        Bytes.
    """

    cpu: int | None = None
    memory: int | None = None
    ephemeral_storage: int | None = None


@dataclass(frozen=True, slots=True)
class SandboxRules:
    """What a policy asks of the Pod.

    Attributes
    ----------
    require_runtime_class
        RuntimeClass by maturity; a level that is absent asks for none.
    require_isolation
        Whether NetworkIsolated must be True before anything is launched.
    max_resources
        Upper bounds; ``None`` fields bound nothing.
    egress
        Whether declared egress is allowed.
    """

    require_runtime_class: Mapping[Maturity, str] = field(default_factory=dict)
    require_isolation: bool = False
    max_resources: Resources = Resources()
    egress: EgressRule = EgressRule.DENY


@dataclass(frozen=True, eq=False)
class Policy:
    """A PackagePolicy or ClusterPackagePolicy that applies to a Skill's namespace.

    Compared by identity: the evaluator keeps an index per policy object, and the store replaces the
    object whenever its generation changes.

    Attributes
    ----------
    ref
        Which policy.
    generation
        ``metadata.generation``, for the audit trail.
    enforcement
        Decide, or only show.
    bans, rules
        In the order written.
    unlisted
        What a package that no rule names gets; ``None`` is Abstain.
    maturity
        Ceiling by level: the mildest that any package can get there and at every level below.
    findings, sandbox
        As their types say.
    on_error
        What a scanner error does to what already runs.
    max_advisory_age
        Advisories synced longer ago than this hold every launch; ``None``: no bound.
    """

    ref: PolicyRef
    generation: int = 1
    enforcement: Enforcement = Enforcement.ENFORCE
    bans: tuple[Ban, ...] = ()
    rules: tuple[Rule, ...] = ()
    unlisted: Action | None = None
    maturity: Mapping[Maturity, Action] = field(default_factory=dict)
    findings: FindingRules = field(default_factory=FindingRules)
    sandbox: SandboxRules = field(default_factory=SandboxRules)
    on_error: OnError = OnError.DENY
    max_advisory_age: timedelta | None = None

"""PackagePolicy and ClusterPackagePolicy: one schema of rules, for a namespace or for the platform."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import Field, model_validator

from skillwarden.domain import policy as domain
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.finding import Severity
from skillwarden.domain.package import Ecosystem, normalise_name

from .common import (
    DEFAULT_EMPTY,
    LIST_ATOMIC,
    LIST_SET,
    ApiModel,
    ConditionedStatus,
    LabelSelector,
    Line,
    ObjectName,
    Resource,
    list_map,
)
from .quantity import Duration, Quantity, millicores, parse_duration, whole_bytes

NamePattern = Annotated[
    str,
    Field(min_length=1, max_length=214, pattern=r"^[A-Za-z0-9*]([A-Za-z0-9._*-]*[A-Za-z0-9*])?$"),
]
Names = Annotated[tuple[NamePattern, ...], Field(min_length=1, max_length=1000)]
_NAMES = "Names of packages; * stands for any run of characters. Spelling is normalised: Foo_Bar is foo-bar."
_VERSIONS = (
    "Version range in the ecosystem's syntax, such as >=1.26,<3 (PEP 440 for PyPI); * is every version."
)
VersionRange = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9.*+!<>=~, -]+$")]


def _check_range(versions: str, *, where: str) -> str:
    """Return the range in canonical order, or refuse one that no version can meet.

    Raises
    ------
    InvalidInputError
        Where the range cannot be read or is empty: a rule that silently matches nothing protects nobody.
    """
    if versions.strip() == "*":
        return "*"
    try:
        specifiers = SpecifierSet(versions)
    except InvalidSpecifier as error:
        raise InvalidInputError(
            f"{where}: {versions!r} is not a version range.",
            fix="Write PEP 440 specifiers such as >=1.26,<3, or * for every version.",
        ) from error
    if not len(specifiers) or specifiers.is_unsatisfiable():
        raise InvalidInputError(
            f"{where}: no version can be in the range {versions!r}.",
            fix="Correct its bounds, or write * for every version.",
        )
    return ",".join(sorted(str(part) for part in specifiers))


def _normalised(ecosystem: Ecosystem, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(normalise_name(ecosystem, name) for name in names))


class Ban(ApiModel):
    """Packages that nobody may use."""

    ecosystem: Ecosystem = Field(description="Where the packages come from: PyPI.")
    names: Names = Field(json_schema_extra=LIST_SET, description=_NAMES)
    versions: VersionRange = Field(default="*", description=_VERSIONS)
    message: Line = Field(default="", description="Why, and what to use instead; shown to the author.")


class RuleMatch(ApiModel):
    """Which packages of a closure a rule is about."""

    ecosystem: Ecosystem = Field(description="Where the packages come from: PyPI.")
    names: Names = Field(json_schema_extra=LIST_SET, description=_NAMES)
    versions: VersionRange = Field(default="*", description=_VERSIONS)
    scope: domain.Scope = Field(
        default=domain.Scope.ANY,
        description="Direct: packages that the skill declares. Transitive: what these pull in. Any: both.",
    )


class Rule(ApiModel):
    """What happens with packages that match."""

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        description="Name of the rule, unique in its policy; explanations point to it.",
    )
    match: RuleMatch = Field(description="Which packages the rule is about.")
    action: domain.Action = Field(description="What follows: Allow, RequireApproval or Deny.")
    min_maturity: domain.Maturity = Field(
        default=domain.Maturity.INTERN,
        description="Agents below this maturity are denied, whatever the action.",
    )
    include_dependencies: bool = Field(
        default=False,
        description="Whether what only these packages pull in takes the action, unless a rule names it.",
    )


class MaturityActions(ApiModel):
    """The mildest action that any package can get, by maturity."""

    student: domain.Action | None = Field(
        default=None, alias="Student", description="Mildest action for a Student. Absent: no bound."
    )
    intern: domain.Action | None = Field(
        default=None, alias="Intern", description="Mildest action for an Intern. Absent: no bound."
    )
    supervised: domain.Action | None = Field(
        default=None,
        alias="Supervised",
        description="Mildest action for a Supervised agent. Absent: no bound.",
    )
    autonomous: domain.Action | None = Field(
        default=None,
        alias="Autonomous",
        description="Mildest action for an Autonomous agent. Absent: no bound.",
    )

    def to_domain(self) -> dict[domain.Maturity, domain.Action]:
        """Return the levels that are bounded."""
        levels = {level: getattr(self, level.value.lower()) for level in domain.Maturity}
        return {level: action for level, action in levels.items() if action is not None}


class VulnerabilityActions(ApiModel):
    """What a vulnerability does, by severity."""

    critical: domain.Action = Field(
        default=domain.Action.DENY, alias="Critical", description="CVSS 9.0 and above."
    )
    high: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL, alias="High", description="CVSS 7.0 to 8.9."
    )
    medium: domain.Action = Field(default=domain.Action.ALLOW, alias="Medium", description="CVSS 4.0 to 6.9.")
    low: domain.Action = Field(default=domain.Action.ALLOW, alias="Low", description="CVSS below 4.0.")
    unknown: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL,
        alias="Unknown",
        description="The advisory states no severity that can be read.",
    )

    def to_domain(self) -> dict[Severity, domain.Action]:
        """Return all five bands."""
        return {severity: getattr(self, severity.value.lower()) for severity in Severity}


class MinReleaseAge(ApiModel):
    """What happens with artefacts that are very new."""

    duration: Duration = Field(
        description="Artefacts that the index received less long ago than this, such as 72h, take the action."
    )
    action: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL, description="What follows: Allow, RequireApproval or Deny."
    )


class Findings(ApiModel):
    """What each kind of finding does."""

    vulnerability: VulnerabilityActions = Field(
        default_factory=VulnerabilityActions,
        json_schema_extra=DEFAULT_EMPTY,
        description="What a known vulnerability does, by its severity.",
    )
    typosquat: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL,
        description="What a name that resembles a popular package's does, unless a rule names the package.",
    )
    min_release_age: MinReleaseAge | None = Field(
        default=None, description="What happens with artefacts that are very new. Absent: age does not count."
    )

    def to_domain(self) -> domain.FindingRules:
        """Return the rules."""
        age = self.min_release_age
        return domain.FindingRules(
            vulnerability=self.vulnerability.to_domain(),
            typosquat=self.typosquat,
            min_release_age=parse_duration(age.duration) if age else None,
            release_age_action=age.action if age else domain.Action.REQUIRE_APPROVAL,
        )


class Scanning(ApiModel):
    """What is asked of the scanners."""

    on_error: domain.OnError = Field(
        default=domain.OnError.DENY,
        description=(
            "What a scanner's error does to a sandbox that runs. Deny: it is removed. Hold: it goes on."
            " Nothing new is launched in either case."
        ),
    )
    max_advisory_age: Duration | None = Field(
        default=None,
        description=(
            "Advisories synced longer ago than this, such as 48h, hold every launch; what runs goes on."
            " Absent: no bound."
        ),
    )


class RuntimeClasses(ApiModel):
    """RuntimeClass that Pods must have, by maturity."""

    student: ObjectName | None = Field(
        default=None, alias="Student", description="RuntimeClass for Students. Absent: any."
    )
    intern: ObjectName | None = Field(
        default=None, alias="Intern", description="RuntimeClass for Interns. Absent: any."
    )
    supervised: ObjectName | None = Field(
        default=None, alias="Supervised", description="RuntimeClass for Supervised agents. Absent: any."
    )
    autonomous: ObjectName | None = Field(
        default=None, alias="Autonomous", description="RuntimeClass for Autonomous agents. Absent: any."
    )

    def to_domain(self) -> dict[domain.Maturity, str]:
        """Return the levels that are bound to a RuntimeClass."""
        levels = {level: getattr(self, level.value.lower()) for level in domain.Maturity}
        return {level: name for level, name in levels.items() if name is not None}


class MaxResources(ApiModel):
    """Upper bounds of a sandbox's resources."""

    cpu: Quantity | None = Field(default=None, description="Most CPU cores, such as 2. Absent: no bound.")
    memory: Quantity | None = Field(default=None, description="Most memory, such as 1Gi. Absent: no bound.")
    ephemeral_storage: Quantity | None = Field(
        default=None, description="Most disk, such as 2Gi. Absent: no bound."
    )

    def to_domain(self) -> domain.Resources:
        """Return the bounds in base units."""
        storage = self.ephemeral_storage
        return domain.Resources(
            cpu=None if self.cpu is None else millicores(self.cpu),
            memory=None if self.memory is None else whole_bytes(self.memory),
            ephemeral_storage=None if storage is None else whole_bytes(storage),
        )


class SandboxRules(ApiModel):
    """What is asked of the Pod."""

    require_runtime_class: RuntimeClasses = Field(
        default_factory=RuntimeClasses,
        json_schema_extra=DEFAULT_EMPTY,
        description=(
            "RuntimeClass that Pods must have, by maturity; a skill that names none gets it, one that names"
            " another is denied."
        ),
    )
    require_isolation: bool = Field(
        default=False,
        description="Whether NetworkIsolated must be True before anything is launched.",
    )
    max_resources: MaxResources = Field(
        default_factory=MaxResources,
        json_schema_extra=DEFAULT_EMPTY,
        description="Upper bounds of spec.sandbox.resources; a skill that asks for more is denied.",
    )
    egress: domain.EgressRule = Field(
        default=domain.EgressRule.DENY,
        description="Deny: a skill that declares egress is denied. Allow: it may reach what it declares.",
    )

    def to_domain(self) -> domain.SandboxRules:
        """Return the rules in base units."""
        return domain.SandboxRules(
            require_runtime_class=self.require_runtime_class.to_domain(),
            require_isolation=self.require_isolation,
            max_resources=self.max_resources.to_domain(),
            egress=self.egress,
        )


class PackagePolicySpec(ApiModel):
    """The rules about packages, findings and sandboxes."""

    enforcement: domain.Enforcement = Field(
        default=domain.Enforcement.ENFORCE,
        description="Enforce: the policy decides. Audit: it is judged and shown, and decides nothing.",
    )
    bans: tuple[Ban, ...] = Field(
        default=(),
        max_length=1000,
        json_schema_extra=LIST_ATOMIC,
        description="Packages that nobody may use; come before every rule and over every approval.",
    )
    unlisted: Literal["Abstain", "Allow", "RequireApproval", "Deny"] = Field(
        default="Abstain",
        description=(
            "What a package that no rule matches gets: Allow, RequireApproval, Deny, or Abstain, which leaves"
            " it to the other policies. Where all abstain, approval is required."
        ),
    )
    maturity: MaturityActions = Field(
        default_factory=MaturityActions,
        json_schema_extra=DEFAULT_EMPTY,
        description="The mildest action that any package can get, by the agent's maturity.",
    )
    rules: tuple[Rule, ...] = Field(
        default=(),
        max_length=1000,
        json_schema_extra=list_map("name"),
        description="What happens with packages, by name and version; the first rule that matches counts.",
    )
    findings: Findings = Field(
        default_factory=Findings,
        json_schema_extra=DEFAULT_EMPTY,
        description=(
            "What each kind of finding does. A package that an advisory calls malicious is always denied, so"
            " there is no field for it."
        ),
    )
    scanning: Scanning = Field(
        default_factory=Scanning,
        json_schema_extra=DEFAULT_EMPTY,
        description="What is asked of the scanners.",
    )
    sandbox: SandboxRules = Field(
        default_factory=SandboxRules, json_schema_extra=DEFAULT_EMPTY, description="What is asked of the Pod."
    )

    @model_validator(mode="after")
    def _rule_names_unique(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rules: the name {twice[0]!r} stands twice; each rule needs a name of its own")
        return self

    def as_policy(self, ref: domain.PolicyRef, *, generation: int) -> domain.Policy:
        """Return the policy as a value.

        Raises
        ------
        InvalidInputError
            Where a range of versions cannot be read or is empty; names policy, rule and range. The caller
            must not go on as if the policy were not there.
        """
        return domain.Policy(
            ref=ref,
            generation=generation,
            enforcement=self.enforcement,
            bans=tuple(
                domain.Ban(
                    ecosystem=ban.ecosystem,
                    names=_normalised(ban.ecosystem, ban.names),
                    versions=_check_range(ban.versions, where=f"{ref}, bans[{index}].versions"),
                    message=ban.message,
                )
                for index, ban in enumerate(self.bans)
            ),
            rules=tuple(
                domain.Rule(
                    name=rule.name,
                    ecosystem=rule.match.ecosystem,
                    names=_normalised(rule.match.ecosystem, rule.match.names),
                    versions=_check_range(
                        rule.match.versions, where=f"{ref}, rule {rule.name!r}, match.versions"
                    ),
                    scope=rule.match.scope,
                    action=rule.action,
                    min_maturity=rule.min_maturity,
                    include_dependencies=rule.include_dependencies,
                )
                for rule in self.rules
            ),
            unlisted=None if self.unlisted == "Abstain" else domain.Action(self.unlisted),
            maturity=self.maturity.to_domain(),
            findings=self.findings.to_domain(),
            sandbox=self.sandbox.to_domain(),
            on_error=self.scanning.on_error,
            max_advisory_age=(
                parse_duration(self.scanning.max_advisory_age) if self.scanning.max_advisory_age else None
            ),
        )


class ClusterPackagePolicySpec(PackagePolicySpec):
    """The rules about packages, findings and sandboxes, and where they hold."""

    namespace_selector: LabelSelector = Field(
        default_factory=LabelSelector,
        json_schema_extra=DEFAULT_EMPTY,
        description="Labels of the namespaces that the policy holds in; {} is every namespace.",
    )


class PolicyStatus(ConditionedStatus):
    """Whether the policy can be enforced."""


class PackagePolicy(Resource):
    """A namespace's rules about packages; can tighten what the cluster's policies say, never loosen it."""

    kind: Literal["PackagePolicy"] = "PackagePolicy"
    spec: PackagePolicySpec

    def to_domain(self) -> domain.Policy:
        """Return the policy as a value; raises as ``PackagePolicySpec.as_policy``."""
        ref = domain.PolicyRef(self.metadata.name, self.metadata.namespace or "default")
        return self.spec.as_policy(ref, generation=self.metadata.generation)


class ClusterPackagePolicy(Resource):
    """The platform's rules about packages, for the namespaces that it selects."""

    kind: Literal["ClusterPackagePolicy"] = "ClusterPackagePolicy"
    spec: ClusterPackagePolicySpec

    def selects(self, namespace_labels: dict[str, str]) -> bool:
        """Whether the policy holds in a namespace with these labels."""
        return self.spec.namespace_selector.matches(namespace_labels)

    def to_domain(self) -> domain.Policy:
        """Return the policy as a value; raises as ``PackagePolicySpec.as_policy``."""
        return self.spec.as_policy(domain.PolicyRef(self.metadata.name), generation=self.metadata.generation)

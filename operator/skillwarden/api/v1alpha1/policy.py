"""PackagePolicy and ClusterPackagePolicy: one schema of rules, for a namespace or for the platform."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import Field, model_validator

from skillwarden.domain import policy as domain
from skillwarden.domain.errors import InvalidInputError
from skillwarden.domain.package import Ecosystem, normalise_name
from skillwarden.domain.semver import parse_semver_range

from .common import (
    DEFAULT_EMPTY,
    LIST_ATOMIC,
    LIST_SET,
    ApiModel,
    ConditionedStatus,
    LabelSelector,
    Line,
    Resource,
    list_map,
)
from .policy_findings import Findings, Scanning
from .policy_sandbox import SandboxRules
from .quantity import parse_duration

#: With npm's scopes: ``@acme/core``, ``@acme/*``.
_NAME_PATTERN = r"^(@[A-Za-z0-9*~-][A-Za-z0-9._*~-]*/)?[A-Za-z0-9*]([A-Za-z0-9._*~-]*[A-Za-z0-9*])?$"
NamePattern = Annotated[
    str,
    Field(min_length=1, max_length=214, pattern=_NAME_PATTERN),
]
Names = Annotated[tuple[NamePattern, ...], Field(min_length=1, max_length=1000)]
_NAMES = (
    "Names of packages; * stands for any run of characters. PyPI's are normalised: Foo_Bar is foo-bar. npm's"
    " are taken as written, with their scope: @acme/core, @acme/*."
)
_VERSIONS = (
    "Version range in the ecosystem's syntax, such as >=1.26,<3 (PEP 440 for PyPI) or ^4.17 || 5.x (npm);"
    " * is every version."
)
_ECOSYSTEM = "Where the packages come from: PyPI or npm."
VersionRange = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9.*+!<>=~^|, -]+$")]


def _check_range(ecosystem: Ecosystem, versions: str, *, where: str) -> str:
    """Return the range in canonical form, or refuse one that no version can meet.

    Raises
    ------
    InvalidInputError
        Where the range cannot be read or is empty: a rule that silently matches nothing protects nobody.
    """
    if versions.strip() == "*":
        return "*"
    if ecosystem is Ecosystem.NPM:
        return _check_npm_range(versions, where=where)
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


def _check_npm_range(versions: str, *, where: str) -> str:
    parsed = parse_semver_range(versions.strip())
    if parsed is None:
        raise InvalidInputError(
            f"{where}: {versions!r} is not a range of npm.",
            fix="Write a range such as ^4.17.21 or >=1.2.0 <2, or * for every version.",
        )
    if parsed.empty:
        raise InvalidInputError(
            f"{where}: no version can be in the range {versions!r}.",
            fix="Correct its bounds, or write * for every version.",
        )
    return " ".join(versions.split())


def _normalised(ecosystem: Ecosystem, names: tuple[str, ...], *, where: str) -> tuple[str, ...]:
    """Return the names in the ecosystem's spelling.

    Raises
    ------
    InvalidInputError
        Where a name has a form that no package of PyPI can have: the rule would protect nobody.
    """
    for name in names:
        if ecosystem is Ecosystem.PYPI and ("@" in name or "~" in name):
            raise InvalidInputError(
                f"{where}: {name!r} is no name of a package on PyPI.",
                fix="Scopes are npm's: write ecosystem: npm, or the name without its scope.",
            )
    return tuple(dict.fromkeys(normalise_name(ecosystem, name) for name in names))


class Ban(ApiModel):
    """Packages that nobody may use."""

    ecosystem: Ecosystem = Field(description=_ECOSYSTEM)
    names: Names = Field(json_schema_extra=LIST_SET, description=_NAMES)
    versions: VersionRange = Field(default="*", description=_VERSIONS)
    message: Line = Field(default="", description="Why, and what to use instead; shown to the author.")


class RuleMatch(ApiModel):
    """Which packages of a closure a rule is about."""

    ecosystem: Ecosystem = Field(description=_ECOSYSTEM)
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
            "What follows from each kind of finding. A package that an advisory calls malicious is always"
            " denied."
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
                    names=_normalised(ban.ecosystem, ban.names, where=f"{ref}, bans[{index}].names"),
                    versions=_check_range(
                        ban.ecosystem, ban.versions, where=f"{ref}, bans[{index}].versions"
                    ),
                    message=ban.message,
                )
                for index, ban in enumerate(self.bans)
            ),
            rules=tuple(
                domain.Rule(
                    name=rule.name,
                    ecosystem=rule.match.ecosystem,
                    names=_normalised(
                        rule.match.ecosystem,
                        rule.match.names,
                        where=f"{ref}, rule {rule.name!r}, match.names",
                    ),
                    versions=_check_range(
                        rule.match.ecosystem,
                        rule.match.versions,
                        where=f"{ref}, rule {rule.name!r}, match.versions",
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

    def to_domain(self) -> domain.Policy:
        """Return the policy as a value; raises as ``PackagePolicySpec.as_policy``."""
        return self.spec.as_policy(domain.PolicyRef(self.metadata.name), generation=self.metadata.generation)

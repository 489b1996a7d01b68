"""What a policy says about findings and about the scanners that make them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from skillwarden.domain import policy as domain
from skillwarden.domain.finding import Severity

from .common import DEFAULT_EMPTY, ApiModel
from .quantity import Duration, parse_duration

#: An SPDX identifier, or a pattern of some.
LicencePattern = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9.+*-]+$")]


class VulnerabilityActions(ApiModel):
    """What follows from a vulnerability, by severity."""

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


class SourceActions(ApiModel):
    """What follows from a finding in a skill's own files, by how grave it is."""

    critical: domain.Action = Field(
        default=domain.Action.DENY,
        alias="Critical",
        description=(
            "No skill does this: hidden code that is run, a reverse shell, secrets that are sent away."
        ),
    )
    high: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL,
        alias="High",
        description="A person should look: credentials, code made while it runs, instructions to an agent.",
    )
    medium: domain.Action = Field(
        default=domain.Action.ALLOW,
        alias="Medium",
        description="Starting programs, deserialising, and the like.",
    )
    low: domain.Action = Field(
        default=domain.Action.ALLOW,
        alias="Low",
        description="What the sandbox bounds anyway, such as connections.",
    )

    def to_domain(self) -> dict[Severity, domain.Action]:
        """Return the four bands."""
        return {
            severity: getattr(self, severity.value.lower())
            for severity in (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW)
        }


class MinReleaseAge(ApiModel):
    """What happens with artefacts that are very new."""

    duration: Duration = Field(
        description="Artefacts that the index received less long ago than this, such as 72h, take the action."
    )
    action: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL, description="What follows: Allow, RequireApproval or Deny."
    )


class MinPackageAge(ApiModel):
    """What happens with projects that are very new."""

    duration: Duration = Field(
        description=(
            "Projects whose first file the index received less long ago than this, such as 720h, take the"
            " action. So do those of which the index does not tell."
        )
    )
    action: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL, description="What follows: Allow, RequireApproval or Deny."
    )


class LicenceRules(ApiModel):
    """What follows from a package's licence."""

    deny: list[LicencePattern] = Field(
        default_factory=list,
        max_length=100,
        json_schema_extra={"x-kubernetes-list-type": "set"},
        description=(
            "SPDX licence identifiers, such as AGPL-3.0-only; * stands for any run of characters. A package"
            " is denied where its expression leaves no way around one of them. LicenseRef-BSD, -GPL, -LGPL,"
            " -Apache and -Proprietary stand for what says no more than that."
        ),
    )
    unknown: domain.Action = Field(
        default=domain.Action.ALLOW,
        description="What follows where a licence is absent or cannot be read.",
    )


class Findings(ApiModel):
    """What follows from each kind of finding."""

    vulnerability: VulnerabilityActions = Field(
        default_factory=VulnerabilityActions,
        json_schema_extra=DEFAULT_EMPTY,
        description="What follows from a known vulnerability, by its severity.",
    )
    malicious: Literal["Deny"] = Field(
        default="Deny",
        json_schema_extra={"enum": ["Deny"]},
        description=(
            "What follows where a package is known to be malicious (a MAL- advisory). It is always denied:"
            " no other value is taken."
        ),
    )
    typosquat: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL,
        description=(
            "What follows where a name resembles a popular package's, unless a rule names the package."
        ),
    )
    confusion: domain.Action = Field(
        default=domain.Action.DENY,
        description=(
            "What follows where a name looks like a company's internal package, or a version is above 99,"
            " unless a rule names the package. Where your own index serves such packages, set it to Allow."
        ),
    )
    install_script: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL,
        description=(
            "What follows where a package has code that runs without being called: npm's install scripts,"
            " .pth files that import, commands that hide the system's, modules that hide the standard"
            " library's. A sandbox runs none of them but the modules."
        ),
    )
    licence: LicenceRules = Field(
        default_factory=LicenceRules,
        json_schema_extra=DEFAULT_EMPTY,
        description="What follows from a package's licence, as its artefact states it.",
    )
    malware: domain.Action = Field(
        default=domain.Action.ALLOW,
        description=(
            "What follows where heuristics (GuardDog) take a package's code for malware. They err at times:"
            " RequireApproval suits most. Allow: it is not looked for. Anything else needs GuardDog in the"
            " depot's image, and nothing is launched without its answer."
        ),
    )
    min_release_age: MinReleaseAge | None = Field(
        default=None, description="What happens with artefacts that are very new. Absent: age does not count."
    )
    min_package_age: MinPackageAge | None = Field(
        default=None,
        description=(
            "What happens with projects that are very new, whatever the version: names that a language model"
            " made up and somebody then registered are. Absent: the age of the project does not count."
        ),
    )
    source: SourceActions = Field(
        default_factory=SourceActions,
        json_schema_extra=DEFAULT_EMPTY,
        description="What follows from a finding in the skill's own files, by how grave it is.",
    )

    def to_domain(self) -> domain.FindingRules:
        """Return the rules."""
        age, project_age = self.min_release_age, self.min_package_age
        return domain.FindingRules(
            vulnerability=self.vulnerability.to_domain(),
            typosquat=self.typosquat,
            confusion=self.confusion,
            install_script=self.install_script,
            licence_deny=tuple(self.licence.deny),
            licence_unknown=self.licence.unknown,
            malware=self.malware,
            min_release_age=parse_duration(age.duration) if age else None,
            release_age_action=age.action if age else domain.Action.REQUIRE_APPROVAL,
            min_package_age=parse_duration(project_age.duration) if project_age else None,
            package_age_action=project_age.action if project_age else domain.Action.REQUIRE_APPROVAL,
            source=self.source.to_domain(),
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

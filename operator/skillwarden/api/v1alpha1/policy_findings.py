"""What a policy says about findings and about the scanners that make them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from skillwarden.domain import policy as domain
from skillwarden.domain.finding import Severity

from .common import DEFAULT_EMPTY, ApiModel
from .quantity import Duration, parse_duration


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


class SourceActions(ApiModel):
    """What is found in a skill's own files does, by how grave it is."""

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


class Findings(ApiModel):
    """What each kind of finding does."""

    vulnerability: VulnerabilityActions = Field(
        default_factory=VulnerabilityActions,
        json_schema_extra=DEFAULT_EMPTY,
        description="What a known vulnerability does, by its severity.",
    )
    malicious: Literal["Deny"] = Field(
        default="Deny",
        json_schema_extra={"enum": ["Deny"]},
        description=(
            "What a package does that is known to be malicious (a MAL- advisory). It is always denied: no"
            " other value is taken."
        ),
    )
    typosquat: domain.Action = Field(
        default=domain.Action.REQUIRE_APPROVAL,
        description="What a name that resembles a popular package's does, unless a rule names the package.",
    )
    min_release_age: MinReleaseAge | None = Field(
        default=None, description="What happens with artefacts that are very new. Absent: age does not count."
    )
    source: SourceActions = Field(
        default_factory=SourceActions,
        json_schema_extra=DEFAULT_EMPTY,
        description="What is found in the skill's own files does, by how grave it is.",
    )

    def to_domain(self) -> domain.FindingRules:
        """Return the rules."""
        age = self.min_release_age
        return domain.FindingRules(
            vulnerability=self.vulnerability.to_domain(),
            typosquat=self.typosquat,
            min_release_age=parse_duration(age.duration) if age else None,
            release_age_action=age.action if age else domain.Action.REQUIRE_APPROVAL,
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

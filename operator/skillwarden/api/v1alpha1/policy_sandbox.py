"""What a policy asks of the sandbox Pod."""

from __future__ import annotations

from pydantic import Field

from skillwarden.domain import policy as domain

from .common import DEFAULT_EMPTY, ApiModel, ObjectName
from .quantity import Quantity, millicores, whole_bytes


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

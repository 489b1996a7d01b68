"""Agent: who a skill works for, and how far it is trusted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from skillwarden.domain.policy import Maturity

from .common import ApiModel, ConditionedStatus, Line, Resource


class AgentSpec(ApiModel):
    """What is known of an agent."""

    maturity: Maturity = Field(
        description=(
            "How far the agent is trusted, least first: Student, Intern, Supervised, Autonomous. Policies set"
            " what packages each level may use; a Student gets none under the baseline."
        )
    )
    description: Line = Field(default="", description="What the agent does, for people.")


class AgentStatus(ConditionedStatus):
    """Whether the agent counts."""


class Agent(Resource):
    """An agent and its maturity; an author of skills needs the verb ``use`` on it to name it."""

    kind: Literal["Agent"] = "Agent"
    spec: AgentSpec

    def to_domain(self) -> Maturity:
        """Return what policies judge by."""
        return self.spec.maturity

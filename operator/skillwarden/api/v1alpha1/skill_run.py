"""SkillRun: one execution of a Task skill, and what came of it."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from skillwarden.domain import skill as domain

from .common import (
    ApiModel,
    Condition,
    Digest,
    LocalRef,
    Resource,
    cel,
    conditions_field,
    observed_generation_field,
)

#: Most characters of a run's output (a termination message has 4 KiB) and of the log kept with it.
MAX_OUTPUT = 4096
MAX_LOG_TAIL = 32768


class SkillRunSpec(ApiModel):
    """What is to run; fixed once created."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("self == oldSelf", "a run cannot be changed; create another SkillRun instead")
            ]
        }
    )

    skill_ref: LocalRef = Field(description="The Skill to run, of mode Task.")
    agent_ref: LocalRef | None = Field(
        default=None,
        description=(
            "The Agent on whose behalf it runs; the lower of its maturity and the skill's counts. Naming it"
            " takes the verb use on it. Absent: the skill's agent."
        ),
    )
    input: str | None = Field(
        default=None,
        max_length=131072,
        description="Text that the skill finds as /skill/input.json. Absent: there is no such file.",
    )
    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=86400,
        description="How long the run may take, where shorter than the skill's own.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=31536000,
        description="When the finished run is deleted, in seconds after its end. Absent: it is kept.",
    )


class SkillRunStatus(ApiModel):
    """What came of the run."""

    observed_generation: int | None = observed_generation_field()
    phase: Literal["Pending", "Running", "Succeeded", "Failed"] | None = Field(
        default=None, description="Pending, Running, Succeeded or Failed."
    )
    pod_name: str | None = Field(default=None, max_length=253, description="The Pod of the run.")
    start_time: str | None = Field(
        default=None,
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="When the Pod was created.",
    )
    completion_time: str | None = Field(
        default=None,
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="When the run ended.",
    )
    exit_code: int | None = Field(default=None, description="Exit code of the skill's command.")
    output: str | None = Field(
        default=None, max_length=MAX_OUTPUT, description="What the skill wrote to /skill/output.json."
    )
    log_tail: str | None = Field(
        default=None, max_length=MAX_LOG_TAIL, description="The last lines of the skill's log."
    )
    lock_digest: Digest | None = Field(default=None, description="Digest of the lock that ran.")
    content_digest: Digest | None = Field(default=None, description="Digest of the files that ran.")
    conditions: tuple[Condition, ...] = conditions_field(
        "Accepted: whether the run may start. Complete: whether it has ended, and how."
    )


class SkillRun(Resource):
    """One execution of a Task skill: one Pod."""

    kind: Literal["SkillRun"] = "SkillRun"
    spec: SkillRunSpec

    def to_domain(self) -> domain.SkillRunSpec:
        """Return what is to run."""
        spec = self.spec
        return domain.SkillRunSpec(
            skill=spec.skill_ref.name,
            agent=spec.agent_ref.name if spec.agent_ref else None,
            input=spec.input,
            timeout_seconds=spec.timeout_seconds,
            ttl_seconds_after_finished=spec.ttl_seconds_after_finished,
        )

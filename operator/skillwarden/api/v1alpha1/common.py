"""What the kinds share: the base model, references, selectors, conditions and object metadata."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic.alias_generators import to_camel

GROUP = "skillwarden.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

#: No control characters, hence no newlines: what is printed on one line stays on one line.
PRINTABLE = r"^[^\x00-\x1f\x7f]*$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SHA256_DIGEST = r"^sha256:[a-f0-9]{64}$"

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
Line = Annotated[str, Field(max_length=1024, pattern=PRINTABLE)]
Digest = Annotated[str, Field(max_length=71, pattern=SHA256_DIGEST)]


def list_map(*keys: str) -> dict[str, JsonValue]:
    """Return the schema extension of a list whose items are known by some keys."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def cel(rule: str, message: str) -> JsonValue:
    """Return one validation rule in CEL, as a schema holds it."""
    return {"rule": rule, "message": message}


#: A list of scalars without repetition.
LIST_SET: dict[str, JsonValue] = {"x-kubernetes-list-type": "set"}
#: A list that is replaced as a whole: its order means something, or its items have no key.
LIST_ATOMIC: dict[str, JsonValue] = {"x-kubernetes-list-type": "atomic"}
#: A parent whose children have defaults. Without it the API server would not write these defaults
#: where the parent is absent, and ``/scale`` would read no replicas.
DEFAULT_EMPTY: dict[str, JsonValue] = {"default": {}}


class ApiModel(BaseModel):
    """Base of everything that stands in a manifest: camelCase outside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        # The API server validates types; a string is no number here either.
        strict=True,
    )


class ObjectMeta(ApiModel):
    """The part of ``metadata`` that is read here; the API server owns the rest."""

    model_config = ConfigDict(extra="ignore")

    # The API server sees to it; a manifest given to the CLI has met none.
    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)
    namespace: str | None = Field(default=None, max_length=63, pattern=DNS_LABEL)
    uid: str = ""
    generation: int = 1


class Resource(ApiModel):
    """Base of the kinds. The status is the operator's output and is not read back through these models."""

    api_version: Literal["skillwarden.io/v1alpha1"] = API_VERSION  # type: ignore[assignment]
    metadata: ObjectMeta


class LocalRef(ApiModel):
    """Reference to an object of the same namespace."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    name: ObjectName = Field(description="Name of an object in the same namespace.")


class Condition(ApiModel):
    """One condition, as metav1.Condition."""

    type: str = Field(
        min_length=1,
        max_length=316,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$",
        description="Which aspect this is about, such as Ready.",
    )
    status: Literal["True", "False", "Unknown"] = Field(
        description="Whether the condition holds: True, False or Unknown."
    )
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="Why, as one word for programs.",
    )
    message: str = Field(
        max_length=32768, description="Why, in a sentence for people; says what would change it."
    )
    observed_generation: int | None = Field(
        default=None, ge=0, description="The metadata.generation that the condition was computed for."
    )
    last_transition_time: str = Field(
        max_length=64,
        json_schema_extra={"format": "date-time"},
        description="When the status last changed from one of True, False, Unknown to another.",
    )


def conditions_field(description: str) -> Any:
    """Return the ``conditions`` field of a status."""
    return Field(default=(), max_length=16, description=description, json_schema_extra=list_map("type"))


def observed_generation_field() -> Any:
    """Return the ``observedGeneration`` field of a status."""
    return Field(default=None, ge=0, description="The metadata.generation that this status was computed for.")


class ConditionedStatus(ApiModel):
    """A status that says nothing but whether the object was accepted."""

    observed_generation: int | None = observed_generation_field()
    conditions: tuple[Condition, ...] = conditions_field(
        "Accepted: whether the operator can read the object and works with it."
    )


LabelKey = Annotated[
    str, Field(min_length=1, max_length=316, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class LabelSelectorRequirement(ApiModel):
    """One requirement on one label."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "self.operator in ['In', 'NotIn'] == (has(self.values) && size(self.values) > 0)",
                    "In and NotIn take one value or more, Exists and DoesNotExist take none",
                )
            ]
        }
    )

    key: LabelKey = Field(description="The label's key.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(
        description="How the label's value relates to values: In, NotIn, Exists or DoesNotExist."
    )
    values: tuple[LabelValue, ...] = Field(
        default=(),
        max_length=64,
        json_schema_extra=LIST_ATOMIC,
        description="The values for In and NotIn; absent for Exists and DoesNotExist.",
    )

    @model_validator(mode="after")
    def _values_fit(self) -> Self:
        if (self.operator in {"In", "NotIn"}) != bool(self.values):
            raise ValueError("In and NotIn take one value or more, Exists and DoesNotExist take none")
        return self


class LabelSelector(ApiModel):
    """A label selector, as metav1.LabelSelector: everything in it must hold; empty selects all."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})

    match_labels: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=64,
        description="Labels that must be there with exactly these values.",
    )
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(
        default=(),
        max_length=64,
        json_schema_extra=LIST_ATOMIC,
        description="Requirements that must all hold.",
    )

"""From a manifest or an object of the cluster to a model, with messages that name the field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, overload

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from skillwarden.domain.errors import InvalidInputError

from .agent import Agent
from .package_approval import PackageApproval
from .policy import ClusterPackagePolicy, PackagePolicy
from .skill import Skill
from .skill_run import SkillRun

AnyResource = Skill | SkillRun | PackagePolicy | ClusterPackagePolicy | Agent | PackageApproval
MODELS: Mapping[str, type[AnyResource]] = {
    "Skill": Skill,
    "SkillRun": SkillRun,
    "PackagePolicy": PackagePolicy,
    "ClusterPackagePolicy": ClusterPackagePolicy,
    "Agent": Agent,
    "PackageApproval": PackageApproval,
}
#: More than these are not listed: the first few are what a person mends first.
_MAX_MESSAGES = 5


@overload
def parse(kind: Literal["Skill"], body: Mapping[str, Any]) -> Skill: ...
@overload
def parse(kind: Literal["SkillRun"], body: Mapping[str, Any]) -> SkillRun: ...
@overload
def parse(kind: Literal["PackagePolicy"], body: Mapping[str, Any]) -> PackagePolicy: ...
@overload
def parse(kind: Literal["ClusterPackagePolicy"], body: Mapping[str, Any]) -> ClusterPackagePolicy: ...
@overload
def parse(kind: Literal["Agent"], body: Mapping[str, Any]) -> Agent: ...
@overload
def parse(kind: Literal["PackageApproval"], body: Mapping[str, Any]) -> PackageApproval: ...
@overload
def parse(kind: str, body: Mapping[str, Any]) -> AnyResource: ...
def parse(kind: str, body: Mapping[str, Any]) -> AnyResource:
    """Read an object of one of our kinds.

    The schema that let an object into the cluster may be older than this code, and a manifest given to
    the CLI has met no schema at all: everything is checked again. ``status`` is not read.

    Parameters
    ----------
    kind
        One of ``MODELS``.
    body
        The object, as JSON or YAML gave it; ``apiVersion`` and ``kind`` may be absent, as in a list.

    Raises
    ------
    InvalidInputError
        Where the object does not satisfy the model; names the object and each field.
    """
    model = MODELS.get(kind)
    if model is None:
        raise InvalidInputError(
            f"{str(kind)[:80]!r} is not a kind of skillwarden.io/v1alpha1.",
            fix=f"The kinds are {', '.join(MODELS)}.",
        )
    if not isinstance(body, Mapping):
        raise InvalidInputError(f"a {kind} is an object with metadata and spec, not {_type_name(body)}.")
    known = {name: value for name, value in body.items() if name != "status"}
    try:
        nulls = list(_nulls(known.get("spec"), "spec"))
        text = json.dumps(known)
    except RecursionError as error:
        raise InvalidInputError(f"{_title(kind, body)} cannot be accepted: it is nested too deep.") from error
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{_title(kind, body)} cannot be written as JSON: {error}.") from error
    if nulls:
        raise InvalidInputError(
            f"{_title(kind, body)} cannot be accepted: {', '.join(nulls[:_MAX_MESSAGES])} is null.",
            fix="Leave the field out, or give it a value.",
        )
    try:
        # Through JSON: strict validation takes enum values and lists as JSON has them, nothing looser.
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InvalidInputError(_explain(kind, body, error), fix=_fix(kind, error)) from error


def _nulls(value: Any, path: str) -> Iterator[str]:
    """Find each null: the API server refuses it, or takes it as absent, field by field; we only refuse."""
    match value:
        case None if path != "spec":
            yield path
        case Mapping():
            for name, item in value.items():
                yield from _nulls(item, f"{path}.{name}")
        case list():
            for index, item in enumerate(value):
                yield from _nulls(item, f"{path}[{index}]")


def _title(kind: str, body: Mapping[str, Any]) -> str:
    metadata = body.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    # Escaped: this is read in logs and on terminals, and may be what is wrong with the object.
    names = [ascii(str(metadata[key])[:253])[1:-1] for key in ("namespace", "name") if metadata.get(key)]
    return f"{kind} {'/'.join(names)}".strip()


def _explain(kind: str, body: Mapping[str, Any], error: ValidationError) -> str:
    details = error.errors(include_url=False, include_context=True)
    places = [detail["loc"] for detail in details]
    lines = list(
        dict.fromkeys(
            f"{_path(detail['loc'])}: {_words(detail)}"
            for detail in details
            # A list whose only items are bad counts as empty too; the items are what is to be mended.
            if not (detail["type"] == "too_short" and any(_below(place, detail["loc"]) for place in places))
        )
    )
    shown = "; ".join(lines[:_MAX_MESSAGES])
    more = f"; and {len(lines) - _MAX_MESSAGES} more" if len(lines) > _MAX_MESSAGES else ""
    return f"{_title(kind, body)} cannot be accepted: {shown}{more}."


def _below(place: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(place) > len(other) and place[: len(other)] == other


def _fix(kind: str, error: ValidationError) -> str:
    path = next((_path(detail["loc"]) for detail in error.errors() if len(detail["loc"]) > 1), "")
    words = [word for word in path.split(".")[:-1] if word not in {"int", "str"}]
    field = ".".join(word.split("[")[0] for word in words) or "spec"
    return f"`kubectl explain {kind.lower()}.{field}` lists what is allowed."


def _path(location: tuple[int | str, ...]) -> str:
    """Write a location as JSONPath does: ``spec.packages.python[2]``."""
    path = ""
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (last and part in {"int", "str", "[key]"}) and not part.startswith("function-after"):
            path += f".{part}" if path else part
    return path or "the object"


def _words(detail: ErrorDetails) -> str:
    """Say in our words what pydantic found; its own words for what is rare."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "string_type" | "int_type" if detail["loc"][-1] in {"int", "str"}:
            return f"must be an integer or a string, not {_type_name(detail['input'])}"
        case "json_invalid":
            return "holds a character that is not valid Unicode"
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a known field"
        case "enum" | "literal_error":
            return f"must be {context['expected']}, not {_shown(detail['input'])}"
        case "string_pattern_mismatch":
            return f"{_shown(detail['input'])} does not match {context['pattern']}"
        case "string_too_long":
            return f"is longer than {context['max_length']} characters"
        case "too_long":
            return f"has more than {context['max_length']} items"
        case "string_too_short" | "too_short":
            return "must not be empty"
        case "value_error":
            return str(context["error"])
        case "string_type" | "int_type" | "bool_type" | "tuple_type" | "dict_type" | "model_type":
            expected = _EXPECTED[detail["type"]]
            return f"must be {expected}, not {_type_name(detail['input'])}"
        case _:
            return detail["msg"][:1].lower() + detail["msg"][1:]


_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}


def _shown(value: Any) -> str:
    """Return a value for a message: on one line, escaped, and short."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case _:
            return "an object"

"""Kubernetes quantities and Go durations: the two texts with units that our manifests hold."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$"

_SCALE = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGTP", start=1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTP", start=1)},
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)")
_SECONDS = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s)")
_LONGEST = timedelta(days=3650)


def parse_quantity(value: int | str) -> Decimal:
    """Return the amount that a Kubernetes quantity stands for, in its base unit.

    Raises
    ------
    ValueError
        Where it is not a quantity, or not greater than zero; the message says what one looks like.
    """
    found = _QUANTITY.fullmatch(str(value))
    scale = _SCALE.get(found[2]) if found else None
    if found is None or scale is None or len(str(value)) > 24:
        raise ValueError(f"{str(value)[:40]!a:.80} is not a quantity such as 500m, 2, 256Mi or 1Gi")
    amount = Decimal(found[1]) * scale
    if amount <= 0:
        raise ValueError(f"{value!r} is not greater than zero")
    return amount


def millicores(value: int | str) -> int:
    """Return a CPU quantity in thousandths of a core, rounded up as Kubernetes does."""
    return int((parse_quantity(value) * 1000).to_integral_value(ROUND_CEILING))


def whole_bytes(value: int | str) -> int:
    """Return a memory or storage quantity in bytes, rounded up as Kubernetes does."""
    return int(parse_quantity(value).to_integral_value(ROUND_CEILING))


def parse_duration(text: str) -> timedelta:
    """Return the span of time that a Go duration string stands for.

    Raises
    ------
    ValueError
        Where it is not one (Go has no unit for days), or is longer than ten years.
    """
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        hint = "; write days as hours, 3d is 72h" if "d" in text else ""
        raise ValueError(f"{text[:40]!r} is not a Go duration such as 72h or 1h30m{hint}")
    seconds = sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), start=Decimal(0))
    if seconds > Decimal(_LONGEST.total_seconds()):
        raise ValueError(f"{text[:40]!r} is longer than ten years")
    return timedelta(seconds=float(seconds))


def _check_quantity(value: int | str) -> int | str:
    parse_quantity(value)
    return value


def _check_duration(value: str) -> str:
    parse_duration(value)
    return value


Quantity = Annotated[
    int | str,
    AfterValidator(_check_quantity),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": QUANTITY_PATTERN,
            "maxLength": 24,
            "minimum": 1,
        }
    ),
]
Duration = Annotated[
    str,
    Field(min_length=2, max_length=32),
    AfterValidator(_check_duration),
    WithJsonSchema({"type": "string", "minLength": 2, "maxLength": 32, "pattern": DURATION_PATTERN}),
]

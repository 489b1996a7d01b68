"""For scripts: one JSON document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ...domain.explain import Explanation
from .problem import Problem


def render_json(
    explanation: Explanation, *, problems: Sequence[Problem] = (), extra: Mapping[str, Any] | None = None
) -> str:
    """Return the explanation as indented JSON, one object, with a final newline.

    Parameters
    ----------
    explanation
        What to report.
    problems
        What keeps the skill from being judged.
    extra
        Further fields, such as the Pod.
    """
    record = {
        **explanation.to_json(),
        "problems": [problem.to_json() for problem in problems],
        **(extra or {}),
    }
    return json.dumps(record, indent=2, ensure_ascii=False) + "\n"

"""For scripts: one JSON document."""

from __future__ import annotations

import json

from ...domain.explain import Explanation


def render_json(explanation: Explanation) -> str:
    """Return the explanation as indented JSON, one object, with a final newline."""
    return json.dumps(explanation.to_json(), indent=2, ensure_ascii=False) + "\n"

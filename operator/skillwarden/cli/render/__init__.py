"""An explanation as text: for a terminal, for a script, for code scanning."""

from .sarif import render_sarif
from .script import render_json
from .table import render_table

__all__ = ["render_json", "render_sarif", "render_table"]

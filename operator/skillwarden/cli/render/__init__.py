"""An explanation as text: for a terminal, for a script, for code scanning."""

from .problem import Problem
from .sarif import render_sarif
from .script import render_json
from .table import render_table

__all__ = ["Problem", "render_json", "render_sarif", "render_table"]

"""``python -I -m skillwarden.sandbox``: what the init container starts, past the whole of the CLI."""

from __future__ import annotations

import sys

from .prepare import main

if __name__ == "__main__":
    sys.exit(main())

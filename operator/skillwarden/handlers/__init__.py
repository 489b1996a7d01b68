"""Where kopf ends: it watches, and what it brings goes straight to ``services.operator``."""

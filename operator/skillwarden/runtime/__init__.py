"""The composition root: settings, wiring, logging, metrics. Nothing is made at import."""

"""Skillwarden: governs, scans and sandboxes the skills of AI agents on Kubernetes."""

from __future__ import annotations

__version__ = "0.1.0"

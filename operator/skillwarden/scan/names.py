"""What declared names show before any index is asked (DESIGN 1.2)."""

from __future__ import annotations

from collections.abc import Iterable

from skillwarden.domain.finding import Finding
from skillwarden.domain.package import DeclaredPackage

from .confusion import confusion_findings
from .typosquat import typosquat_findings


def name_findings(declared: Iterable[DeclaredPackage]) -> tuple[Finding, ...]:
    """Return one finding for each thing that a declared name shows; its version is ``""``."""
    packages = tuple(declared)
    return (*typosquat_findings(packages), *confusion_findings(packages))

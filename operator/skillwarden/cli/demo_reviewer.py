"""The demo's reviewer: approves what the samples say, with the command that a person has."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Reviewer:
    """Approves the requests of some skills.

    Parameters
    ----------
    kubeconfig
        Of the demo's cluster.
    reasons
        Why, by the namespace/name of each skill whose requests are approved.
    """

    def __init__(self, kubeconfig: Path, reasons: Mapping[str, str]) -> None:
        self._kubeconfig = kubeconfig
        self._reasons = reasons
        self._decided: set[str] = set()

    async def decide(self, skills: Mapping[str, dict[str, Any]]) -> list[str]:
        """Approve what the skills wait for that was not decided yet; return what was said of it."""
        said = []
        for skill, reason in self._reasons.items():
            namespace = skill.partition("/")[0]
            for request in _waiting(skills.get(skill)):
                if f"{namespace}/{request}" not in self._decided:
                    self._decided.add(f"{namespace}/{request}")
                    said.append(await self._approve(namespace, request, reason))
        return said

    async def _approve(self, namespace: str, request: str, reason: str) -> str:
        arguments = ("approve", request, "-n", namespace, "--reason", reason)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "skillwarden", *arguments, "--kubeconfig", str(self._kubeconfig)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        answer, _ = await process.communicate()
        words = f'skillwarden approve {request} -n {namespace} --reason "{reason}"'
        return words if process.returncode == 0 else f"{words}: {answer.decode(errors='replace').strip()}"


def _waiting(skill: dict[str, Any] | None) -> list[str]:
    pending = ((skill or {}).get("status") or {}).get("pendingApprovals") or []
    return [item["name"] for item in pending if item.get("name")]

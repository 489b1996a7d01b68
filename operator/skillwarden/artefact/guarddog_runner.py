"""Runs GuardDog over unpacked artefacts, in GuardDog's own environment; our packages are not to be had there.

    PYTHON -I -B guarddog_runner.py version
    PYTHON -I -B guarddog_runner.py scan CACHE SUFFIX,… [pypi|npm FOLDER]...

Prints one JSON object a line: ``{"version"}``, or for each folder, in the order asked, ``{"folder",
"confined", "score", "label", "risks"}`` or ``{"folder", "confined", "error"}``. Only its rules on source code
are run: those on metadata ask indexes. Nothing here may reach the network or start a program; the interpreter
itself refuses it, and the kernel does where it can (Landlock, through GuardDog's own sandbox).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

#: Lists of popular names that GuardDog reads when it is imported, and downloads where they are old. They are
#: of rules that are not run; it refuses an empty one.
_TOP_LISTS = ("go", "npm", "pypi", "rubygems")
_REFUSED = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "socket.sendmsg",
    "socket.bind",
    "subprocess.Popen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
)


def _refuse(event: str, _: object) -> None:
    """An audit hook, which nothing in this process can take off again."""
    if event in _REFUSED:
        raise PermissionError(f"{event} is not for a scanner")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - asked for alone

    try:
        return version("guarddog")
    except PackageNotFoundError:
        raise SystemExit("it has no package guarddog") from None


def _fill(cache: Path) -> None:
    """Write name lists that are new enough not to be downloaded."""
    record = {"downloaded_timestamp": int(time.time()), "packages": ["-"]}
    for name in _TOP_LISTS:
        (cache / f"top_{name}_packages.json").write_text(json.dumps(record))


def _confine(cache: Path, folders: list[str]) -> bool:
    """Let the kernel refuse what this process has no need of, where it can."""
    from guarddog import sandbox  # type: ignore[import-not-found] # noqa: PLC0415 - its environment alone has it

    try:
        if not sandbox.is_available():
            return False
        sandbox.apply_sandbox(folders, [str(cache)])
    except Exception as error:
        sys.stderr.write(f"not confined by the kernel: {error}\n")
        return False
    return True


class _Scanner:
    """GuardDog's analyser, with what it is asked to do."""

    def __init__(self, suffixes: tuple[str, ...]) -> None:
        from guarddog.analyzer.analyzer import Analyzer  # type: ignore[import-not-found] # noqa: PLC0415 - as above
        from guarddog.analyzer.risk_engine import (  # type: ignore[import-not-found] # noqa: PLC0415
            calculate_risk_score,
        )
        from guarddog.analyzer.sourcecode import (  # type: ignore[import-not-found] # noqa: PLC0415
            get_sourcecode_rules,
        )
        from guarddog.ecosystems import ECOSYSTEM  # type: ignore[import-not-found] # noqa: PLC0415

        self._ecosystem = ECOSYSTEM
        self._analyser = Analyzer
        self._score = calculate_risk_score
        for ecosystem in (ECOSYSTEM.PYPI, ECOSYSTEM.NPM):
            rules = list(get_sourcecode_rules(ecosystem))
            if not rules:
                raise SystemExit("it has no rules")
            for rule in rules:
                patterns = [pattern.strip() for pattern in (rule.path_include or "").split(",")]
                if not any(pattern.endswith(suffixes) for pattern in patterns):
                    raise SystemExit(f"its rule {rule.id} reads files that are not unpacked for it")

    def scan(self, ecosystem: str, folder: str) -> dict[str, Any]:
        """Return what it says of one package."""
        analyser = self._analyser(self._ecosystem(ecosystem))
        found = analyser.analyze_sourcecode(folder)
        if found["errors"]:
            rule, problem = min(found["errors"].items())
            return {"error": f"its rule {rule} ended with: {problem}"}
        risks = analyser.calculate_package_risk_score(found).get("_risks", [])
        # Also each alone: many harmless risks besides would lower what one grave risk weighs.
        worst = max(
            (self._score(some) for some in (risks, *([risk] for risk in risks))), key=lambda item: item.score
        )
        # Those that are grave by themselves; else it is the sum that is.
        grave = [risk for risk in risks if self._score([risk]).label.value in {"suspicious", "high_risk"}]
        rows = [
            {
                "rule": risk.threat_finding.rule_name,
                "location": risk.threat_finding.location or "",
                "message": risk.threat_finding.message or "",
            }
            for risk in grave or risks
        ]
        return {"score": worst.score, "label": worst.label.value, "risks": rows}


def main(arguments: list[str]) -> int:
    """Do what is asked, or exit with a line on standard error that says why not."""
    sys.addaudithook(_refuse)
    # What a library prints is no answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(record: dict[str, Any]) -> None:
        answers.write(json.dumps(record) + "\n")
        answers.flush()

    match arguments:
        case ["version"]:
            say({"version": _version()})
        case ["scan", cache, suffixes, *asked]:
            os.environ["GUARDDOG_TOP_PACKAGES_CACHE_LOCATION"] = cache
            _fill(Path(cache))
            scanner = _Scanner(tuple(suffixes.split(",")))
            confined = _confine(Path(cache), asked[1::2])
            for ecosystem, folder in zip(asked[::2], asked[1::2], strict=True):
                try:
                    record = scanner.scan(ecosystem, folder)
                except Exception as error:
                    record = {"error": f"it broke: {type(error).__name__}: {error}"}
                say({"folder": folder, "confined": confined, **record})
        case _:
            raise SystemExit("usage: guarddog_runner.py version | scan CACHE SUFFIXES [ECOSYSTEM FOLDER]...")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

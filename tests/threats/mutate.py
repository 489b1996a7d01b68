"""``make threats-mutate``: takes each defence out of a copy, and runs the tests that should notice.

The copy has an environment of its own: what runs isolated from environment variables, as the reading of
artefacts does, would otherwise still be the code with its defence.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from defences import DEFENCES, Defence

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = Path("operator") / "skillwarden"


def copy_tree(target: Path) -> None:
    """Copy what git has, or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def failed_tests(defence: Defence, copy: Path) -> int | None:
    """Take a defence out, run its tests, and put it back; return how many failed, ``None``: none ran."""
    path = copy / CODE / defence.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(defence.old, defence.new), encoding="utf-8")
    tests = [str(Path("tests") / item) for item in defence.tests.split()]
    python = str(copy / ".venv" / "bin" / "python")
    try:
        ended = subprocess.run(
            [python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", *tests],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    finally:
        path.write_text(whole, encoding="utf-8")
    if ended.returncode == 1:
        return sum(line.startswith(("FAILED", "ERROR")) for line in ended.stdout.splitlines())
    return 0 if ended.returncode == 0 else None


def main() -> int:
    """Take out each, say what became of it; 1 where the loss of one was not noticed."""
    unnoticed = []
    with tempfile.TemporaryDirectory(prefix="skillwarden-mutate-") as folder:
        copy = Path(folder)
        copy_tree(copy)
        subprocess.run(["make", "setup"], cwd=copy, check=True, stdout=subprocess.DEVNULL)
        for defence in DEFENCES:
            failed = failed_tests(defence, copy)
            word = {None: "BROKE", 0: "UNNOTICED"}.get(failed, f"{failed} failed")
            sys.stdout.write(f"{word:>12}  {defence.threat} ({defence.file})\n")
            sys.stdout.flush()
            if not failed:
                unnoticed.append(defence)
    sys.stdout.write(f"{len(DEFENCES) - len(unnoticed)} of {len(DEFENCES)} defences are held by a test\n")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())

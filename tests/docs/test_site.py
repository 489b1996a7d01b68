"""The site of the documentation is built without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_the_site_builds_without_a_warning_and_has_every_page(repo_root: Path, tmp_path: Path) -> None:
    folders = ["-d", str(tmp_path / "doctrees"), str(repo_root / "docs"), str(tmp_path / "site")]
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-W", "--keep-going", *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = _names(repo_root / "docs", "*.md")
    built = _names(tmp_path / "site", "*.html")
    # GitHub's table of contents is no page of the site.
    assert pages - built == {Path("README")}


def test_the_table_that_github_shows_has_every_page(repo_root: Path) -> None:
    """Decisions and kinds stand in tables of their own."""
    docs = repo_root / "docs"
    tables = [docs / "README.md", docs / "dev" / "adr" / "README.md", docs / "reference" / "api.md"]
    linked = {
        (table.parent / target).resolve()
        for table in tables
        for target in re.findall(r"\]\(([^)#:]+\.md)\)", table.read_text())
    }
    assert set(docs.rglob("*.md")) - linked == {docs / "README.md", docs / "index.md"}


def _names(folder: Path, pattern: str) -> set[Path]:
    return {path.relative_to(folder).with_suffix("") for path in folder.rglob(pattern)}

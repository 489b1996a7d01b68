"""The files of a skill's folder: bounded, no links, each kind of text read once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ..domain.content import MAX_SOURCE_BYTES, MAX_SOURCE_FILES, check_path
from ..domain.errors import InvalidInputError
from ..domain.skill import SourceFile
from .problems import Remarks

#: Left behind by tools, and made anew by them.
_LEFT_OUT = frozenset({".git", ".hg", ".svn", ".DS_Store", ".idea", ".vscode", "node_modules"})
_LEFT_OUT |= {".venv", "venv", ".tox", ".nox", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
#: Names of files that hold secrets by custom; examples of them are there to be read.
_SECRET = re.compile(
    r"\.env(?:\.(?!(?:example|sample|template)$).+)?|.+\.(?:pem|key)|id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?",
    re.IGNORECASE,
)
_SHOWN = 5
#: A folder with more entries than this is no skill's; it is not walked to its end.
_MAX_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Folder:
    """What was read of a skill's folder.

    Attributes
    ----------
    root
        Where it is.
    files
        By path below it, sorted.
    """

    root: Path
    files: dict[str, bytes]

    def text(self, path: str) -> str | None:
        """Return a file's text without a byte order mark, or ``None`` where it is absent or not UTF-8."""
        data = self.files.get(path)
        try:
            return None if data is None else data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return None

    def named(self, *endings: str) -> Iterator[str]:
        """Yield the paths that end so."""
        return (path for path in self.files if path.endswith(endings))

    @property
    def source(self) -> tuple[SourceFile, ...]:
        """The files as a skill's source."""
        return tuple(SourceFile(path, data) for path, data in self.files.items())


def read_folder(root: Path, remarks: Remarks, *, exclude: Sequence[str] = ()) -> Folder:
    """Read a folder; what cannot be part of a skill is remarked.

    Parameters
    ----------
    root
        The folder.
    exclude
        Patterns of paths (``*`` matches slashes, too) that the user leaves out.
    """
    found: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    left_out: set[str] = set()
    for entry in _walk(root, remarks):
        path = entry.relative_to(root).as_posix()
        if skipped := _LEFT_OUT & set(path.split("/")):
            left_out |= skipped
        elif any(fnmatch(path, pattern) for pattern in exclude):
            continue
        elif entry.is_symlink() or not entry.is_file():
            remarks.error(path, None, "it is not a regular file.", "Replace links by what they point to.")
        elif _SECRET.fullmatch(entry.name):
            text = "by its name it holds a secret, which whoever reads the Skill would see."
            remarks.error(path, None, text, f"Remove it, or give --exclude {path}")
        else:
            sizes[path] = entry.stat().st_size
    _check_size(sizes, remarks)
    if not remarks.errors:
        for path in sorted(sizes):
            _read(root, path, found, remarks)
    for name in sorted(left_out):
        remarks.note(name, None, "it is left out: tools make it anew.")
    return Folder(root, found)


def _walk(root: Path, remarks: Remarks) -> Iterator[Path]:
    count = 0
    for folder, names, files in os.walk(root):
        base = Path(folder)
        # A link to a folder is a folder, too: it must not be passed over as one.
        links = [name for name in names if (base / name).is_symlink()]
        left_out = [name for name in names if name in _LEFT_OUT and name not in links]
        names[:] = sorted(name for name in names if name not in links and name not in left_out)
        for name in sorted([*files, *links, *left_out]):
            count += 1
            if count > _MAX_ENTRIES:
                remarks.error(".", None, f"the folder holds more than {_MAX_ENTRIES} files.")
                return
            yield base / name


def _check_size(sizes: dict[str, int], remarks: Remarks) -> None:
    total = sum(sizes.values())
    if total <= MAX_SOURCE_BYTES and len(sizes) <= MAX_SOURCE_FILES:
        return
    largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:_SHOWN]
    shown = ", ".join(f"{path} ({sizes[path]:,} bytes)" for path in largest)
    remarks.error(
        ".",
        None,
        f"the folder has {len(sizes)} files of {total:,} bytes in all; a skill's source has at most"
        f" {MAX_SOURCE_FILES} files of {MAX_SOURCE_BYTES:,} bytes. The largest: {shown}.",
        "Leave out what the skill does not need to run with --exclude PATTERN.",
    )


def _read(root: Path, path: str, found: dict[str, bytes], remarks: Remarks) -> None:
    try:
        check_path(path)
        found[path] = (root / path).read_bytes()
    except InvalidInputError as error:
        remarks.error(path, None, error.message, error.fix)
    except OSError as error:
        remarks.error(path, None, f"it cannot be read: {error.strerror}.")

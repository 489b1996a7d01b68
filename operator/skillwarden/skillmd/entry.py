"""One declared package as written, and which files of a folder declare what the skill itself needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .files import Folder
from .problems import Remarks

#: Folders whose files are read, copied or tried out by somebody: a template's packages are not the skill's.
_NOT_THE_SKILLS = frozenset(
    {"assets", "docs", "evals", "examples", "reference", "references", "templates", "test", "tests"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One declared package, as written."""

    text: str
    file: str
    line: int


def declaring(folder: Folder, pattern: re.Pattern[str], remarks: Remarks) -> Iterator[tuple[str, str]]:
    """Yield path and text of the files that declare a skill's packages; others of the name are remarked.

    They lie at the top, or in a folder there, such as ``scripts/``.

    Parameters
    ----------
    pattern
        Of their paths.
    """
    for path in folder.files:
        if not pattern.fullmatch(path):
            continue
        folders = path.split("/")[:-1]
        text = folder.text(path)
        if len(folders) > 1 or _NOT_THE_SKILLS & set(folders):
            remarks.note(
                path,
                1,
                "it is not read: what a skill needs is declared at its top or in a folder of its scripts.",
                "If the skill itself needs what it declares, write it into packages or node_packages.",
            )
        elif text is None:
            remarks.error(path, None, "it is not UTF-8 text.")
        else:
            yield path, text

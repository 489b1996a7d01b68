"""What an index says of a project, read for one thing: when it received the first file that is still there.

What is deleted does not count, so a project whose name somebody took over is as young as its new owner's
first file. An answer that is no project's is an error; one that only lacks the times says that nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from packaging.utils import canonicalize_name

from .probe import body_trouble


class UnreadableAnswerError(ValueError):
    """What came is not what an index says of this project."""


def first_file(content_type: str, body: bytes, name: str) -> datetime | None:
    """Return when PyPI, or an index like it, received a project's first file.

    Parameters
    ----------
    content_type
        Of the answer. A page in HTML (PEP 503) has no times.
    body
        A page of the simple API: JSON (PEP 691) with the upload times of PEP 700.
    name
        Normalised name of the project that was asked for.

    Returns
    -------
    datetime or None
        UTC; ``None``: the index does not tell.

    Raises
    ------
    UnreadableAnswerError
        Where it is no page of this project.
    """
    if not content_type.endswith("json"):
        if trouble := body_trouble(content_type, body):
            raise UnreadableAnswerError(trouble)
        return None
    record = _object(body)
    files = record.get("files")
    if not isinstance(files, list) or not all(isinstance(file, dict) for file in files):
        raise UnreadableAnswerError("answers with JSON that is no project page (PEP 691)")
    said = record.get("name", name)
    if not isinstance(said, str) or canonicalize_name(said) != name:
        raise UnreadableAnswerError("answers with the page of another project")
    times = [file["upload-time"] for file in files if file.get("upload-time") is not None]
    return min(map(_time, times), default=None)


def first_publication(content_type: str, body: bytes, name: str) -> datetime | None:
    """Return when an npm registry received a package's first version; as ``first_file``.

    A registry remembers when a name was first used even where another owner has it by now, and may give times
    of versions that are gone: the later one of that and of the first version that is there counts.
    """
    record = _object(body)
    versions, times = record.get("versions"), record.get("time")
    if not isinstance(versions, dict) or not isinstance(times, dict | None):
        raise UnreadableAnswerError(
            f"answers with {content_type or 'something'} that is no package's document"
        )
    if record.get("name", name) != name:
        raise UnreadableAnswerError("answers with the document of another package")
    if times is None:
        return None
    began = min((_time(times[version]) for version in versions if version in times), default=None)
    created = _time(times["created"]) if "created" in times else None
    known = [when for when in (began, created) if when is not None]
    return max(known, default=None)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswerError("answers with something that is no JSON") from error
    if not isinstance(record, dict):
        raise UnreadableAnswerError("answers with JSON that is no object")
    return record


def _time(text: object) -> datetime:
    try:
        when = datetime.fromisoformat(text)  # type: ignore[arg-type]
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnreadableAnswerError("gives a time that is none") from error

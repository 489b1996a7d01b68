"""Content digests: what a skill's files are, independent of where they were written down."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable

from .errors import InvalidInputError
from .skill import Invocation, SourceFile

#: Bytes of all files together (DESIGN 3, Skill): with base64 it stays well under an object's 1.5 MiB.
MAX_SOURCE_BYTES = 192 * 1024
MAX_SOURCE_FILES = 256


def check_path(path: str) -> str:
    """Return the path if it may be written below ``/skill/src``.

    Raises
    ------
    InvalidInputError
        For an absolute path, an escape, an empty or hidden-by-dot segment, a control character or a
        backslash, or more than 255 bytes.
    """
    segments = path.split("/")
    bad = (
        not path
        or len(path.encode("utf-8", "surrogatepass")) > 255
        or path.startswith("/")
        or "\\" in path
        or any(segment in {"", ".", ".."} for segment in segments)
        or any(not char.isprintable() for char in path)
    )
    if bad:
        raise InvalidInputError(
            f"the source path {path!r} cannot be used.",
            fix="Use a relative path of printable characters without '..', such as lib/util.py.",
        )
    return path


def pack(files: Iterable[SourceFile]) -> bytes:
    """Return the one canonical serialisation of some files; ``unpack`` reads it.

    Raises
    ------
    InvalidInputError
        Where a path is bad, stands twice or is another's folder, or the bounds are passed.
    """
    ordered = sorted(files, key=lambda file: file.path)
    paths = [check_path(file.path) for file in ordered]
    taken = set(paths)
    for path in paths:
        folders = {path[:index] for index, char in enumerate(path) if char == "/"}
        if folders & taken:
            raise InvalidInputError(
                f"the source path {path!r} lies below another file.", fix="Rename one of the two."
            )
    if len(taken) != len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise InvalidInputError(f"the source path {twice!r} stands twice.", fix="Remove one of the two.")
    size = sum(len(file.content) for file in ordered)
    if size > MAX_SOURCE_BYTES or len(paths) > MAX_SOURCE_FILES:
        raise InvalidInputError(
            f"the source has {len(paths)} files of {size} bytes in all; at most {MAX_SOURCE_FILES} files of"
            f" {MAX_SOURCE_BYTES} bytes in all are taken.",
            fix="Move data out of the skill's source, or split the skill.",
        )
    rows = [[file.path, base64.b64encode(file.content).decode("ascii")] for file in ordered]
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def unpack(packed: bytes) -> tuple[SourceFile, ...]:
    """Read what ``pack`` wrote; the same checks hold, since the bytes may come from elsewhere.

    Raises
    ------
    InvalidInputError
        Where the bytes are not what ``pack`` would write.
    """
    try:
        files = tuple(
            SourceFile(path, base64.b64decode(data, validate=True)) for path, data in json.loads(packed)
        )
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"the packed source cannot be read: {error}.") from error
    if pack(files) != packed:
        raise InvalidInputError("the packed source is not in canonical form.")
    return files


def digest_of(data: bytes) -> str:
    """Return ``sha256:`` and the hexadecimal digest of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def content_digest(files: Iterable[SourceFile]) -> str:
    """Return the digest by which a skill's content is known: of its canonical serialisation."""
    return digest_of(pack(files))


def invocation_digest(invocation: Invocation) -> str:
    """Return the digest of what a container is started with: its command, and variables where there are."""
    said: list[object] = list(invocation.command)
    if invocation.env:
        said = [said, [list(pair) for pair in invocation.env]]
    return digest_of(json.dumps(said, separators=(",", ":"), ensure_ascii=True).encode("ascii"))


def run_digest(content_digest: str, command: str) -> str:
    """Return the digest of files together with a command that runs them, from the digests of both.

    Without a command it is that of the files.
    """
    return digest_of(f"{content_digest} {command}".encode()) if command else content_digest

"""Where a skill's files are: in the Skill itself, or in a ConfigMap that is pinned by digest."""

from __future__ import annotations

import base64
import binascii
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from skillwarden.domain import skill as domain
from skillwarden.domain.content import MAX_SOURCE_BYTES, MAX_SOURCE_FILES
from skillwarden.domain.errors import InvalidInputError

from .common import ApiModel, ObjectName, cel, list_map

_ONE_SOURCE = "exactly one of files and configMapRef is needed"
_ONE_CONTENT = "exactly one of content and contentBase64 is needed"
#: Base64 of the most bytes that a source may have.
_MAX_BASE64 = (MAX_SOURCE_BYTES + 2) // 3 * 4


class FileItem(ApiModel):
    """One file of the skill."""

    model_config = ConfigDict(
        json_schema_extra={
            "minProperties": 2,
            "not": {"required": ["content", "contentBase64"]},
            "x-kubernetes-validations": [cel("has(self.content) != has(self.contentBase64)", _ONE_CONTENT)],
        }
    )

    path: str = Field(
        min_length=1,
        max_length=255,
        pattern=r"^[^/\\\x00-\x1f\x7f][^\\\x00-\x1f\x7f]*$",
        description="Relative path below /skill/src, such as lib/util.py.",
    )
    content: str | None = Field(
        default=None,
        max_length=MAX_SOURCE_BYTES,
        description="The file's text. Exactly one of content and contentBase64.",
    )
    content_base64: str | None = Field(
        default=None,
        max_length=_MAX_BASE64,
        pattern=r"^[A-Za-z0-9+/]*={0,2}$",
        description="The file's bytes in base64, for what is not text. Exactly one of the two.",
    )

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise ValueError(_ONE_CONTENT)
        return self

    def to_domain(self) -> domain.SourceFile:
        """Return the file with its bytes.

        Raises
        ------
        InvalidInputError
            Where the base64 cannot be decoded.
        """
        if self.content is not None:
            return domain.SourceFile(self.path, self.content.encode())
        try:
            content = base64.b64decode(self.content_base64 or "", validate=True)
        except binascii.Error as error:
            raise InvalidInputError(
                f"spec.source.files, path {self.path!r}: contentBase64 cannot be decoded: {error}.",
                fix="Write it with `base64 -w0 FILE`.",
            ) from error
        return domain.SourceFile(self.path, content)


class ConfigMapRef(ApiModel):
    """A ConfigMap whose content is pinned."""

    name: ObjectName = Field(description="Name of a ConfigMap in the Skill's namespace; each key is a file.")
    sha256: str = Field(
        max_length=64,
        pattern=r"^[a-f0-9]{64}$",
        description=(
            "The content digest that the ConfigMap's files must have, in hexadecimal: a changed ConfigMap"
            " does not change the skill."
        ),
    )


class Source(ApiModel):
    """Where the skill's files are."""

    model_config = ConfigDict(
        json_schema_extra={
            # Says the same as the rule below it, for API servers without CEL. Not oneOf: with it a real one
            # reports a missing field, and then skips the rule and its better message.
            "minProperties": 1,
            "not": {"required": ["files", "configMapRef"]},
            "x-kubernetes-validations": [cel("has(self.files) != has(self.configMapRef)", _ONE_SOURCE)],
        }
    )

    files: tuple[FileItem, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_SOURCE_FILES,
        json_schema_extra=list_map("path"),
        description="The files themselves, 192 KiB in all. Exactly one of files and configMapRef.",
    )
    config_map_ref: ConfigMapRef | None = Field(
        default=None,
        description="A ConfigMap that holds the files. Exactly one of files and configMapRef.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.files is None) == (self.config_map_ref is None):
            raise ValueError(_ONE_SOURCE)
        return self

    def to_domain(self) -> domain.InlineSource | domain.ConfigMapSource:
        """Return the source; inline files sorted by path."""
        if self.config_map_ref is not None:
            return domain.ConfigMapSource(self.config_map_ref.name, self.config_map_ref.sha256)
        files = sorted((file.to_domain() for file in self.files or ()), key=lambda file: file.path)
        return domain.InlineSource(tuple(files))

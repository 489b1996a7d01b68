"""A skill's files: from the Skill itself or a pinned ConfigMap, verified, into the depot."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..api.v1alpha1 import parse
from ..domain.assess import Failure
from ..domain.conditions import AcceptedReason
from ..domain.content import digest_of, pack, unpack
from ..domain.errors import IntegrityError, InvalidInputError, UnavailableError
from ..domain.pins import Pins
from ..domain.skill import ConfigMapSource, InlineSource, Invocation, SkillKey, SourceFile
from ..domain.source_finding import SourceFinding
from ..kube.errors import ApiError
from ..kube.kinds import Kind
from .ports import Body, Cluster, SourceFindings

#: Reads what the lockfile among some files pins.
PinsOf = Callable[[Sequence[SourceFile]], Pins | None]


def configmap_files(body: Mapping[str, Any]) -> tuple[SourceFile, ...]:
    """Return a ConfigMap's keys as files.

    Raises
    ------
    InvalidInputError
        Where a value is no text, or one of ``binaryData`` is not base64.
    """
    files = [SourceFile(key, text.encode()) for key, text in _texts(body, "data")]
    for key, text in _texts(body, "binaryData"):
        try:
            files.append(SourceFile(key, base64.b64decode(text, validate=True)))
        except ValueError as error:
            raise InvalidInputError(f"binaryData[{key!r}] is not base64.") from error
    return tuple(files)


def _texts(body: Mapping[str, Any], field: str) -> Iterator[tuple[str, str]]:
    entries = body.get(field) or {}
    if not isinstance(entries, Mapping):
        raise InvalidInputError(f"{field} is not an object.")
    for key, text in entries.items():
        if not (isinstance(key, str) and isinstance(text, str)):
            raise InvalidInputError(f"{field}[{key!r}] is not a text.", fix="Put it into quotes.")
        yield key, text


def pinned_files(body: Mapping[str, Any], namespace: str, source: ConfigMapSource) -> bytes:
    """Return the packed files of the ConfigMap that a Skill pins.

    Raises
    ------
    InvalidInputError
        Where it holds something that cannot be a source.
    IntegrityError
        Where its content is not the pinned one.
    """
    packed = pack(configmap_files(body))
    found = digest_of(packed).removeprefix("sha256:")
    if found != source.sha256:
        name = f"{namespace}/{source.name}".lstrip("/")
        raise IntegrityError(
            f"ConfigMap {name} has content {found}, but the Skill pins {source.sha256}.",
            fix="Set spec.source.configMapRef.sha256 to what `skillwarden digest` prints for the files"
            " that you mean.",
        )
    return packed


class ConfigMapSources:
    """Reads pinned ConfigMaps, and looks at what they hold.

    Parameters
    ----------
    cluster
        The API server.
    look
        Looks at files.
    """

    def __init__(self, cluster: Cluster, *, look: SourceFindings) -> None:
        self._cluster = cluster
        self._look = look

    async def read(self, namespace: str, source: ConfigMapSource) -> bytes:
        """Return the packed files.

        Raises
        ------
        InvalidInputError
            Where the ConfigMap is missing or holds something that cannot be a source.
        IntegrityError
            Where its content is not the pinned one.
        UnavailableError, ApiError
            Where the API server does not answer, or will not.
        """
        body = await self._cluster.get(Kind.CONFIG_MAP, name=source.name, namespace=namespace)
        if body is None:
            raise InvalidInputError(
                f"ConfigMap {namespace}/{source.name} does not exist.", fix="Create it, or name another."
            )
        return pinned_files(body, namespace, source)

    async def look(
        self,
        namespace: str,
        source: ConfigMapSource,
        *,
        invocation: Invocation,
        pins: PinsOf = lambda _: None,
    ) -> Failure | tuple[tuple[SourceFinding, ...], Pins | None]:
        """Return what is found in a pinned ConfigMap and what its lockfile pins, or why it cannot be used."""
        try:
            files = unpack(await self.read(namespace, source))
            pinned = await asyncio.to_thread(pins, files)
        except (InvalidInputError, IntegrityError) as error:
            # The ConfigMap is not watched: it is looked at again with back-off.
            return Failure(AcceptedReason.INVALID_SOURCE, error.message, error.fix, retryable=True)
        except (UnavailableError, ApiError) as error:
            text = f"ConfigMap {namespace}/{source.name} cannot be read: {error.message}"
            return Failure(AcceptedReason.INVALID_SOURCE, text, retryable=True)
        return await asyncio.to_thread(self._look, files, invocation), pinned

    async def look_at(self, packed: bytes, invocation: Invocation) -> tuple[SourceFinding, ...]:
        """Return what is found in files that were packed before."""
        return await asyncio.to_thread(self._look, unpack(packed), invocation)


async def read_source(cluster: Cluster, sources: ConfigMapSources, key: SkillKey, *, digest: str) -> bytes:
    """Return a skill's packed files as they are in the cluster now.

    Raises
    ------
    SkillwardenError
        Where they are gone, cannot be read, or do not have the digest that was judged.
    """
    body: Body | None = await cluster.get(Kind.SKILL, name=key.name, namespace=key.namespace)
    if body is None or body["metadata"].get("uid") != key.uid:
        raise UnavailableError(f"Skill {key} is gone.")
    model = parse("Skill", body)
    source = model.to_domain().source
    packed = (
        pack(source.files) if isinstance(source, InlineSource) else await sources.read(key.namespace, source)
    )
    if digest_of(packed) != digest:
        raise UnavailableError(f"Skill {key} changed since it was judged.")
    return packed

"""Asks the configured indexes since when they have the projects of a lock.

Only names that the lock has already are asked for, at the index that they were resolved from, with its
credentials. What cannot be had or read is reported by package, and never taken for an old project.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from yarl import URL

from ..domain.errors import SkillwardenError
from ..domain.first_seen import FirstSeen
from ..domain.lock import Lock
from ..domain.package import Ecosystem, PackageId
from .first_seen_answers import UnreadableAnswerError, first_file, first_publication
from .first_seen_memory import FirstSeenMemory, Remembered
from .npm_registry import packument_url
from .npm_settings import NpmSettings
from .probe import ACCEPT, login_for, proxy_for, status_trouble
from .settings import ResolverSettings

#: Of one answer; the longest pages of PyPI have some megabytes, the longest packuments some tens.
MAX_BYTES = 128 * 1024 * 1024
MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_AT_ONCE = 8
_PROJECT_SECONDS = 30.0

Reader = Callable[[str, bytes, str], datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """Where projects of one ecosystem are asked for.

    Attributes
    ----------
    origin
        Who is shown the credentials, and nobody else.
    hosts
        Whom it may send us to: ``host`` (any port) or ``host:port``.
    page
        Returns the address of a project's page.
    """

    origin: URL
    hosts: frozenset[str]
    accept: str
    authorization: str | None
    page: Callable[[str], str]
    read: Reader

    def headers(self, url: URL) -> dict[str, str]:
        own = self.authorization if url.origin() == self.origin else None
        return {"Accept": self.accept} | ({"Authorization": own} if own else {})

    def next_hop(self, response: aiohttp.ClientResponse) -> URL:
        """Return where a redirect leads, if that is somewhere that may be asked."""
        try:
            target = response.url.join(URL(response.headers.get("Location", ""))).with_user(None)
            host = target.host or ""
        except ValueError as error:
            raise UnreadableAnswerError("sends to an address that cannot be read") from error
        plain = response.url.scheme == "https" and target.scheme != "https"
        named = {host, f"{host}:{target.port}"}
        if (
            plain
            or target.scheme not in {"http", "https"}
            or not named & {*self.hosts, self.origin.authority}
        ):
            raise UnreadableAnswerError("sends to a host that is not the index's, or away from https")
        return target


@dataclass(frozen=True, slots=True)
class _Project:
    """A project that a lock has packages of: its ecosystem and name, and the newest file of it there."""

    ecosystem: Ecosystem
    name: str
    uploaded: datetime | None


class ProjectAges:
    """Finds out since when projects are there; one for all scans.

    Parameters
    ----------
    python, npm
        Credentials and hosts of the indexes.
    index_url, registry_url
        Which index is asked, as the resolvers say; ``None``: nobody knows.
    memory
        What was said before.
    project_seconds
        For one project, redirects included.
    max_bytes
        Of one answer, unpacked.
    """

    def __init__(
        self,
        *,
        python: ResolverSettings,
        npm: NpmSettings,
        index_url: Callable[[], Awaitable[str | None]],
        registry_url: Callable[[], Awaitable[str]],
        memory: FirstSeenMemory,
        project_seconds: float = _PROJECT_SECONDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._python, self._npm = python, npm
        self._index_url, self._registry_url = index_url, registry_url
        self._memory = memory
        self._project_seconds, self._max_bytes = project_seconds, max_bytes
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def of(self, lock: Lock) -> FirstSeen:
        """Return since when the project of each package is there; it does not raise for what an index does.

        A package that is bundled in another one is as old as the project that brings it.
        """
        holders = {item.artefact.digest: item.id for item in lock.packages if not item.bundled}
        projects = _projects(lock)
        answers: dict[tuple[Ecosystem, str], datetime | str | None] = {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=30)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            for ecosystem in sorted(lock.ecosystems):
                mine = [project for project in projects if project.ecosystem is ecosystem]
                found = await self._ask_all(session, ecosystem, mine)
                answers |= {(ecosystem, name): answer for name, answer in found.items()}
        known: dict[PackageId, datetime | None] = {}
        unanswered: dict[PackageId, str] = {}
        nobody = "the package that it lies in is not in the lock"
        for item in lock.packages:
            holder = holders.get(item.artefact.digest) if item.bundled else item.id
            match answers.get((holder.ecosystem, holder.name), nobody) if holder else nobody:
                case str(trouble):
                    unanswered[item.id] = trouble
                case began:
                    known[item.id] = began
        return FirstSeen(known=known, unanswered=unanswered)

    async def _ask_all(
        self, session: aiohttp.ClientSession, ecosystem: Ecosystem, projects: list[_Project]
    ) -> Mapping[str, datetime | str | None]:
        """Return the time, nothing, or what is in the way, by name."""
        try:
            index = await (self._pypi() if ecosystem is Ecosystem.PYPI else self._registry())
        except SkillwardenError as error:
            return {project.name: error.message for project in projects}
        pages = {project.name: index.page(project.name) for project in projects}
        before = await asyncio.to_thread(self._memory.recall, pages.values())
        asked: dict[str, asyncio.Task[datetime | str | None]] = {}
        found: dict[str, datetime | str | None] = {}
        async with asyncio.TaskGroup() as tasks:
            for project in projects:
                kept = before.get(pages[project.name])
                if kept is not None and kept.covers(project.uploaded):
                    found[project.name] = kept.began
                else:
                    asked[project.name] = tasks.create_task(self._ask(session, index, project.name))
        return found | {name: task.result() for name, task in asked.items()}

    async def _ask(self, session: aiohttp.ClientSession, index: _Index, name: str) -> datetime | str | None:
        try:
            async with self._gate, asyncio.timeout(self._project_seconds):
                began_to_ask = datetime.now(UTC)
                content_type, body = await self._get(session, index, name)
                began = await asyncio.to_thread(index.read, content_type, body, name)
        except TimeoutError:
            return "its page does not come in time"
        except UnreadableAnswerError as error:
            return f"its page {error}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"its page cannot be had ({type(error).__name__})"
        if began is not None:
            # One that does not tell today may tell tomorrow.
            what = Remembered(began, began_to_ask)
            await asyncio.to_thread(self._memory.keep, index.page(name), what)
        return began

    async def _get(self, session: aiohttp.ClientSession, index: _Index, name: str) -> tuple[str, bytes]:
        url = URL(index.page(name))
        for _ in range(MAX_REDIRECTS + 1):
            async with session.get(
                url, headers=index.headers(url), allow_redirects=False, proxy=proxy_for(str(url))
            ) as response:
                if response.status in _REDIRECTS:
                    url = index.next_hop(response)
                    continue
                if response.status != 200:
                    trouble = status_trouble(response.status) or f"answers {response.status}: it is gone"
                    raise UnreadableAnswerError(trouble)
                return response.content_type, await self._bounded(response)
        raise UnreadableAnswerError(f"sends on more than {MAX_REDIRECTS} times")

    async def _bounded(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            body += chunk
            if len(body) > self._max_bytes:
                raise UnreadableAnswerError("is larger than any project's")
        return bytes(body)

    async def _pypi(self) -> _Index:
        url = await self._index_url()
        if url is None:
            raise SkillwardenError("the resolver does not say which index it uses")
        login = await asyncio.to_thread(login_for, self._python, url)
        return _Index(
            origin=URL(url).origin(),
            hosts=self._python.allowed_hosts,
            accept=ACCEPT,
            authorization="Basic " + base64.b64encode(login.encode()).decode() if login else None,
            page=lambda name: f"{url.rstrip('/')}/{name}/",
            read=first_file,
        )

    async def _registry(self) -> _Index:
        url = await self._registry_url()
        return _Index(
            origin=URL(url).origin(),
            hosts=self._npm.allowed_hosts,
            accept="application/json",
            authorization=self._npm.authorization,
            page=lambda name: packument_url(url, name),
            read=first_publication,
        )


def _projects(lock: Lock) -> list[_Project]:
    """Return each project once, with the newest of its files; unknown where that of one of them is."""
    files: dict[tuple[Ecosystem, str], list[datetime | None]] = {}
    for item in lock.packages:
        if not item.bundled:
            files.setdefault((item.id.ecosystem, item.id.name), []).append(item.artefact.uploaded_at)
    found = []
    for (ecosystem, name), times in sorted(files.items()):
        known = [when for when in times if when is not None]
        found.append(_Project(ecosystem, name, max(known) if len(known) == len(times) else None))
    return found

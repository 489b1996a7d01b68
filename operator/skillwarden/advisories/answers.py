"""What auditors ask of the advisories, answered from an index: OSV's queries and npm's bulk endpoint.

The loopback endpoint of one scan and the server of a cluster share these handlers. Where there is no index
the answer is 503, never an empty list: an auditor would read that as "nothing is known against these".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiohttp import web

from skillwarden.domain.package import PackageId

from .errors import AdvisoryError, MissingIndexError
from .index import AdvisoryIndex, IndexSource
from .presented import bulk_answer, ids_of, present, present_record
from .questions import read_batch, read_bulk, read_query

#: npm asks about a whole closure at once: some hundred bytes a package.
MAX_REQUEST = 2 * 1024 * 1024
QUERY_PATH = "/v1/query"
BATCH_PATH = "/v1/querybatch"
RECORD_PATH = "/v1/vulns/{id}"
BULK_PATH = "/-/npm/v1/security/advisories/bulk"

_T = TypeVar("_T")


class Answers:
    """The handlers.

    Parameters
    ----------
    index
        Gives the index of the moment, or ``None`` where there is none.
    on_bulk
        Told which packages npm asked about: its answer lists what it found, not what it looked at.
    """

    def __init__(
        self, index: IndexSource, *, on_bulk: Callable[[set[PackageId]], None] | None = None
    ) -> None:
        self._index = index
        self._on_bulk = on_bulk or (lambda _: None)

    async def query(self, request: web.Request) -> web.Response:
        """``POST /v1/query``: the records that affect one version of one package (pip-audit)."""

        def answer(index: AdvisoryIndex, package: PackageId) -> Any:
            return {"vulns": [present(document, package) for document in index.documents(package)]}

        return await self._answer(request, read_query, answer)

    async def querybatch(self, request: web.Request) -> web.Response:
        """``POST /v1/querybatch``: ids by query, in the queries' order (uv audit)."""

        def answer(index: AdvisoryIndex, packages: list[PackageId]) -> Any:
            return {"results": [{"vulns": ids_of(index.documents(package))} for package in packages]}

        return await self._answer(request, read_batch, answer)

    async def bulk(self, request: web.Request) -> web.Response:
        """Npm's bulk query; the body may be compressed."""

        def answer(index: AdvisoryIndex, asked: set[PackageId]) -> Any:
            self._on_bulk(asked)
            return bulk_answer(index, asked)

        return await self._answer(request, read_bulk, answer)

    async def record(self, request: web.Request) -> web.Response:
        """``GET /v1/vulns/ID``: a whole record, withdrawn ones too."""
        identity = request.match_info["id"]

        def answer(index: AdvisoryIndex) -> dict[str, Any] | None:
            document = index.document(identity)
            return None if document is None else present_record(document)

        found = await self._look(answer)
        if isinstance(found, web.Response):
            return found
        if found is None:
            return refusal(404, f"there is no advisory with the id {identity[:80]!r}")
        return web.json_response(found)

    async def _answer(
        self, request: web.Request, read: Callable[[Any], _T], answer: Callable[[AdvisoryIndex, _T], Any]
    ) -> web.Response:
        try:
            asked = read(await request.json())
        except (ValueError, RecursionError) as error:
            return refusal(400, str(error)[:300])
        found = await self._look(lambda index: answer(index, asked))
        return found if isinstance(found, web.Response) else web.json_response(found)

    async def _look(self, answer: Callable[[AdvisoryIndex], Any]) -> Any:
        """Return what a question of the index gives, or the refusal where there is none to ask."""

        def ask() -> Any:
            index = self._index()
            if index is None:
                raise MissingIndexError("no advisories have been synced yet; try again later")
            return answer(index)

        try:
            return await asyncio.to_thread(ask)
        except AdvisoryError as error:
            return refusal(503, str(error))


def refusal(status: int, why: str) -> web.Response:
    """Return an error as the clients read it: OSV's ``code`` and ``message``; npm shows the message."""
    codes = {400: 3, 404: 5, 413: 3, 503: 14}
    return web.json_response({"code": codes.get(status, 2), "message": why}, status=status)


@web.middleware
async def errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give aiohttp's own refusals (413, 404, 405) the shape of ours."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return refusal(error.status, error.reason)

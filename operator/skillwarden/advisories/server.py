"""One server of advisories for a cluster: auditors ask it, and operators sync from it as from OSV.

It answers what pip-audit, ``uv audit`` and ``npm audit`` ask, and serves the dumps that a sync fetches. A
dump goes out with its ``Age``: the time since this server last held it against its own source, so that
nobody takes the advisories of a server that was cut off for fresh.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from aiohttp import web

from skillwarden.domain.package import Ecosystem

from .answers import (
    BATCH_PATH,
    BULK_PATH,
    MAX_REQUEST,
    QUERY_PATH,
    RECORD_PATH,
    Answers,
    errors_as_json,
    refusal,
)
from .dumps import ARCHIVE_NAME
from .errors import AdvisoryError
from .export import Exports
from .feed import AdvisoryFeed

log = structlog.get_logger(__name__)

DUMP_PATH = f"/{{ecosystem:{'|'.join(re.escape(item.value) for item in Ecosystem)}}}/{ARCHIVE_NAME}"
#: Told of each answer: the route (``other`` where there is none) and the status.
Count = Callable[[str, int], None]


def build_app(feed: AdvisoryFeed, exports: Exports, *, count: Count) -> web.Application:
    """Return the application.

    Parameters
    ----------
    feed
        Gives the index of the moment.
    exports
        Makes the dumps that it serves.
    count
        Told of each answer.
    """

    async def counted(request: web.Request, response: web.StreamResponse) -> None:
        resource = request.match_info.route.resource
        count((resource and resource.name) or "other", response.status)

    async def dump(request: web.Request) -> web.StreamResponse:
        return await _dump(feed, exports, Ecosystem(request.match_info["ecosystem"]))

    answers = Answers(feed.current)
    app = web.Application(client_max_size=MAX_REQUEST, middlewares=[errors_as_json])
    # Not a middleware: only here is it known whether a file is sent or has not changed.
    app.on_response_prepare.append(counted)
    app.router.add_post(QUERY_PATH, answers.query, name="query")
    app.router.add_post(BATCH_PATH, answers.querybatch, name="querybatch")
    app.router.add_get(RECORD_PATH, answers.record, name="vulns")
    app.router.add_post(BULK_PATH, answers.bulk, name="npm")
    app.router.add_get(DUMP_PATH, dump, name="dump")
    return app


async def _dump(feed: AdvisoryFeed, exports: Exports, ecosystem: Ecosystem) -> web.StreamResponse:
    """Return a dump, or why there is none; aiohttp answers conditions and ranges by the file."""
    index = await asyncio.to_thread(feed.current)
    if index is None or index.synced_at is None:
        return refusal(503, str(feed.problem) if feed.problem else "no sync has ended yet; try again later")
    if ecosystem not in index.counts():
        return refusal(404, f"this server's source has no advisories about {ecosystem.value}")
    try:
        folder = await exports.of(index)
    except (AdvisoryError, OSError) as error:
        log.warning("a dump cannot be made", ecosystem=ecosystem.value, error=str(error))
        return refusal(503, f"the dump cannot be made: {error}")
    age = max(0, int((datetime.now(UTC) - index.synced_at).total_seconds()))
    return web.FileResponse(folder / ecosystem.value / ARCHIVE_NAME, headers={"Age": str(age)})

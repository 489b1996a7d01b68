"""A collection of the API server, kept in memory: list, watch, and list anew when the watch has a gap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from skillwarden.localcluster.node.client import ApiError, KubeClient
from skillwarden.localcluster.node.config import Timings

_log = logging.getLogger(__name__)

Key = tuple[str, str]
Object = Mapping[str, Any]


class Reflector:
    """One collection.

    Parameters
    ----------
    changed
        Called with the key of each object that came, changed or went; level-triggered, so it may be called
        for an object that is as it was.
    """

    def __init__(
        self, client: KubeClient, path: str, *, changed: Callable[[Key], None], timings: Timings
    ) -> None:
        self._client = client
        self._path = path
        self._changed = changed
        self._timings = timings
        self.objects: dict[Key, dict[str, Any]] = {}
        self.listed = asyncio.Event()

    async def run(self) -> None:
        """Follow the collection, for good; a failure is waited out with growing pauses."""
        pause = self._timings.reconnect_initial
        while True:
            try:
                version = await self._list()
                pause = self._timings.reconnect_initial
                while True:
                    version = await self._watch(version)
            except ApiError as error:
                # 410 is a watch's ordinary end: what it would continue from is forgotten.
                if error.status != 410:
                    _log.warning("watching %s: %s", self._path, error)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                _log.warning("watching %s: %s: %s", self._path, type(error).__name__, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._timings.reconnect_max)

    async def _list(self) -> str:
        answer = await self._client.request("GET", self._path)
        items = {_key(each): each for each in answer.get("items") or []}
        touched = [*items, *(key for key in self.objects if key not in items)]
        self.objects = items
        self.listed.set()
        for key in touched:
            self._changed(key)
        return str(answer["metadata"].get("resourceVersion", ""))

    async def _watch(self, version: str) -> str:
        async for kind, found in self._client.watch(self._path, version=version):
            version = found["metadata"].get("resourceVersion", version)
            if kind == "BOOKMARK":
                continue
            key = _key(found)
            if kind == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = found
            self._changed(key)
        return version


def _key(found: Object) -> Key:
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]

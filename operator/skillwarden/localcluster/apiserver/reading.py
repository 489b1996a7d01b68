"""Lists, page by page, and watches."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from collections import OrderedDict
from collections.abc import Mapping

from aiohttp import web

from skillwarden.localcluster.apiserver.errors import (
    ApiError,
    Cause,
    Obj,
    bad_request,
    expired,
    invalid,
)
from skillwarden.localcluster.apiserver.resources import Resource
from skillwarden.localcluster.apiserver.selectors import Selection, parse_fields, parse_labels
from skillwarden.localcluster.apiserver.store import Change, ChangeType, Store, Watcher
from skillwarden.localcluster.apiserver.views import Form, View, dumps

_PAGES_KEPT = 64
_BATCH = 256
_LONGEST_WATCH = 3600.0
_INITIAL_END = {"k8s.io/initial-events-end": "true"}


def selection(resource: Resource, namespace: str | None, query: Mapping[str, str]) -> Selection:
    """Read the selectors of a request; 400 for what is no selector."""
    return Selection(
        namespace,
        parse_labels(query.get("labelSelector", "")),
        parse_fields(query.get("fieldSelector", ""), resource.field_labels),
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise bad_request(f"{name} is no number: {text!r}")
    return int(text)


class Pages:
    """Lists; the rest of a page-wise one stays as it was when its first page was read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, tuple[str, list[Obj]]] = OrderedDict()

    def forget(self) -> None:
        """Expire every list that was begun."""
        self._kept.clear()

    def read(self, view: View, chosen: Selection, query: Mapping[str, str]) -> Obj:
        """Give a list, or its next page.

        Raises
        ------
        ApiError
            410 when the list that a ``continue`` belongs to is no longer kept.
        """
        limit = _number(query, "limit") or 0
        token = query.get("continue")
        start = 0
        if token:
            name, start = _read_token(token)
            if name not in self._kept:
                raise expired(
                    "The provided continue parameter is too old to display a consistent list result. "
                    "You must start a new list without the continue parameter."
                )
            version, objects = self._kept[name]
        else:
            _check_version_match(query)
            name, version = "", str(self._store.version)
            objects = self._store.select(view.resource.storage, chosen)
        meta: Obj = {"resourceVersion": version}
        if limit and len(objects) > start + limit:
            name = name or secrets.token_hex(8)
            self._kept[name] = (version, objects)
            while len(self._kept) > _PAGES_KEPT:
                self._kept.popitem(last=False)
            meta["continue"] = _write_token(name, start + limit)
            if not chosen.labels and not chosen.fields:
                meta["remainingItemCount"] = len(objects) - start - limit
        return view.many(objects[start : start + limit] if limit else objects[start:], meta)


def _write_token(name: str, start: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([name, start]).encode()).decode()


def _read_token(token: str) -> tuple[str, int]:
    try:
        name, start = json.loads(base64.urlsafe_b64decode(token))
        return str(name), int(start)
    except (ValueError, TypeError, binascii.Error) as error:
        raise bad_request("continue key is not valid") from error


def _check_version_match(query: Mapping[str, str]) -> None:
    match, version = query.get("resourceVersionMatch"), query.get("resourceVersion", "")
    if version and not version.isdecimal():
        raise bad_request(f'invalid resource version: Invalid value: "{version}"')
    _number(query, "timeoutSeconds")
    if "sendInitialEvents" in query:
        text = "Forbidden: sendInitialEvents is forbidden for list"
        causes = [Cause("FieldValueForbidden", text, "sendInitialEvents")]
        raise invalid("ListOptions", "meta.k8s.io", "", causes)
    if match == "Exact" and version == "0":
        text = 'Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes = [Cause("FieldValueForbidden", text, "resourceVersionMatch")]
        raise invalid("ListOptions", "meta.k8s.io", "", causes)
    if match and (match not in {"Exact", "NotOlderThan"} or not version):
        text = "Forbidden: resourceVersionMatch needs a resourceVersion, and is Exact or NotOlderThan"
        causes = [Cause("FieldValueForbidden", text, "resourceVersionMatch")]
        raise invalid("ListOptions", "meta.k8s.io", "", causes)


class Watch:
    """One watch of one client, until it ends, lags, or its time is over."""

    def __init__(
        self,
        store: Store,
        view: View,
        chosen: Selection,
        query: Mapping[str, str],
        *,
        bookmark_seconds: float,
    ) -> None:
        self._store = store
        self._view = view
        self._chosen = chosen
        self._bookmarks = query.get("allowWatchBookmarks", "").lower() in {"true", "1"}
        self._pause = bookmark_seconds
        self._initial_list = query.get("sendInitialEvents", "").lower() == "true"
        if self._initial_list and query.get("resourceVersionMatch") != "NotOlderThan":
            text = "Forbidden: sendInitialEvents needs resourceVersionMatch NotOlderThan"
            causes = [Cause("FieldValueForbidden", text, "resourceVersionMatch")]
            raise invalid("ListOptions", "meta.k8s.io", "", causes)
        if "sendInitialEvents" not in query and query.get("resourceVersionMatch"):
            text = "Forbidden: a watch takes resourceVersionMatch only with sendInitialEvents"
            causes = [Cause("FieldValueForbidden", text, "resourceVersionMatch")]
            raise invalid("ListOptions", "meta.k8s.io", "", causes)
        self._since = _number(query, "resourceVersion") or 0
        self._seconds = float(_number(query, "timeoutSeconds") or _LONGEST_WATCH)
        self._heads = True

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Send events as lines of JSON."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        collection = self._view.resource.storage
        initial: list[Obj] = []
        failure: ApiError | None = None
        since = self._since
        if self._initial_list or since == 0:
            initial, since = self._store.select(collection, self._chosen), self._store.version
        try:
            if since > self._store.version:
                # A version of an earlier run of this server: only a new list helps.
                raise expired(f"too old resource version: {since} (this server has begun anew)")
            watcher = self._store.subscribe(collection, since)
        except ApiError as error:
            failure = error
        await response.prepare(request)
        if failure is not None:
            await response.write(dumps({"type": "ERROR", "object": failure.status()}) + b"\n")
            return response
        try:
            lines = [self._line(ChangeType.ADDED, obj) for obj in initial]
            if self._initial_list and self._bookmarks:
                lines.append(self._bookmark(str(since), _INITIAL_END))
            if lines:
                await response.write(b"".join(lines))
            await self._follow(response, watcher)
        except ConnectionResetError:
            pass  # the client has gone, which is how most watches end
        finally:
            self._store.unsubscribe(collection, watcher)
        return response

    async def _follow(self, response: web.StreamResponse, watcher: Watcher) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        while (left := end - loop.time()) > 0:
            try:
                async with asyncio.timeout(min(self._pause, left)):
                    change = await watcher.get()
            except TimeoutError:
                if self._bookmarks:
                    await response.write(self._bookmark(str(self._store.version)))
                continue
            lines: list[bytes] = []
            while change is not None:
                lines += self._lines(change)
                if len(lines) >= _BATCH or watcher.empty():
                    break
                change = await watcher.get()
            if lines:
                await response.write(b"".join(lines))
            if change is None:
                return

    def _lines(self, change: Change) -> list[bytes]:
        """Translate a write into what this watch sees of it: an object may enter or leave its selection."""
        now = change.type is not ChangeType.DELETED and self._chosen.matches(change.obj)
        before = change.old is not None and self._chosen.matches(change.old)
        if now:
            return [self._line(ChangeType.MODIFIED if before else ChangeType.ADDED, change.obj)]
        if not before or change.old is None:
            return []
        meta = {**change.old["metadata"], "resourceVersion": str(change.version)}
        return [self._line(ChangeType.DELETED, {**change.old, "metadata": meta})]

    def _line(self, kind: ChangeType, obj: Obj) -> bytes:
        body = {"type": kind.value, "object": self._view.one(obj, heads=self._heads)}
        if self._view.form is Form.TABLE:
            self._heads = False
        return dumps(body) + b"\n"

    def _bookmark(self, version: str, annotations: Mapping[str, str] | None = None) -> bytes:
        meta: Obj = {"resourceVersion": version, "creationTimestamp": None}
        if annotations:
            meta["annotations"] = dict(annotations)
        resource = self._view.resource
        obj: Obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        if self._view.form is Form.TABLE:
            row = {
                "cells": [],
                "object": {**obj, "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"},
            }
            obj = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": version},
                "columnDefinitions": [],
                "rows": [row],
            }
        return dumps({"type": "BOOKMARK", "object": obj}) + b"\n"

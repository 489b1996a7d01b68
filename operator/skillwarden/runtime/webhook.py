"""The validating webhook over HTTPS: AdmissionReview in, AdmissionReview out."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from aiohttp import web

from ..services.admission import REVIEWED, Admission, Answer
from ..services.ports import Body
from .listening import listen

log = structlog.get_logger(__name__)

#: Two objects of at most 3 MiB each (the API server's own bound of a request) and what is around them.
MAX_REVIEW_BYTES = 8 << 20
#: Less than any timeout that makes sense: an answer that comes later is of no use to anybody.
ANSWER_SECONDS = 2.0
CERTIFICATE, KEY = "tls.crt", "tls.key"
_API = "admission.k8s.io/v1"


class Webhook:
    """Serves admission reviews with a certificate that may be renewed beneath it.

    Parameters
    ----------
    admission
        Who answers.
    certificates
        Folder with ``tls.crt`` and ``tls.key``, as a Secret of type ``kubernetes.io/tls`` is mounted.
    on_answer
        Is told kind, seconds and what became of each: refused, warned, admitted or failed.
    look_seconds
        How often the folder is looked at for a renewed certificate.
    """

    def __init__(
        self,
        admission: Admission,
        *,
        certificates: Path,
        on_answer: Callable[[str, float, str], None],
        look_seconds: float = 30.0,
    ) -> None:
        self._admission = admission
        self._certificates = certificates
        self._on_answer = on_answer
        self._look = look_seconds
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loaded: bytes = b""
        self._runner: web.AppRunner | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self, address: str) -> int:
        """Listen on ``HOST:PORT``; return the port.

        Without a usable certificate nobody can speak to it until there is one: no reason not to govern.
        """
        self._look_for_certificate()
        app = web.Application(client_max_size=MAX_REVIEW_BYTES)
        app.router.add_post("/validate", self._validate)
        self._runner = await listen(app, address, ssl_context=self._context)
        self._following = asyncio.create_task(self._follow(), name="webhook certificate")
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        if self._runner is not None:
            await self._runner.cleanup()

    def _load(self) -> bool:
        """Take the certificate where it is another than the last; connections that stand keep theirs."""
        certificate, key = self._certificates / CERTIFICATE, self._certificates / KEY
        seen = certificate.read_bytes() + key.read_bytes()
        if seen == self._loaded:
            return False
        # Tried apart first: a pair that does not fit must not spoil the one in use.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        self._context.load_cert_chain(certificate, key)
        self._loaded = seen
        return True

    def _look_for_certificate(self) -> None:
        try:
            if self._load():
                log.info("the webhook has a new certificate")
        except (OSError, ssl.SSLError) as error:
            log.error(
                "the webhook's certificate cannot be used: reviews fail, or the last one goes on",
                error=str(error),
                fix=f"put {CERTIFICATE} and {KEY} into {self._certificates}",
            )

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._look)
            self._look_for_certificate()

    async def _validate(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        kind, word = "unknown", "failed"
        try:
            try:
                uid, named, body, old = parts_of(json.loads(await request.read()))
            except ValueError as error:
                raise web.HTTPBadRequest(text=f"not an AdmissionReview: {error}\n") from error
            kind = named if named in REVIEWED else "other"
            answer = await self._answer(named, body, old)
            word = answer.word
        finally:
            self._on_answer(kind, time.perf_counter() - started, word)
        return web.json_response(_review(uid, answer))

    async def _answer(self, kind: str, body: Body, old: Body | None) -> Answer:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._admission.review(kind, body, old)
        except Exception as error:
            # Not an answer: the API server does what failurePolicy says, and the operator decides.
            log.exception("an admission review broke")
            raise web.HTTPInternalServerError(text="the review could not be made\n") from error


def _review(uid: str, answer: Answer) -> dict[str, object]:
    response: dict[str, object] = {"uid": uid, "allowed": not answer.refusal}
    if answer.refusal:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": answer.refusal}
    if answer.warnings:
        response["warnings"] = list(answer.warnings)
    return {"apiVersion": _API, "kind": "AdmissionReview", "response": response}


def parts_of(review: object) -> tuple[str, str, Body, Body | None]:
    """Return uid, kind, object and old object of an AdmissionReview.

    Raises
    ------
    ValueError
        Where it is none (`admission.k8s.io/v1`).
    """
    given = review if isinstance(review, dict) else {}
    request = given.get("request")
    if given.get("apiVersion") != _API or not isinstance(request, dict):
        raise ValueError("this is no AdmissionReview of admission.k8s.io/v1 with a request")
    uid, kind, body, old = (request.get(key) for key in ("uid", "kind", "object", "oldObject"))
    if not isinstance(uid, str) or not isinstance(kind, dict) or not isinstance(body, dict):
        raise ValueError("the request lacks uid, kind or object")
    if not isinstance(body.get("metadata"), dict):
        raise ValueError("the object has no metadata")
    name = body["metadata"].get("name") or body["metadata"].get("generateName") or "(unnamed)"
    place = {"name": name, "namespace": request.get("namespace") or ""}
    body = {**body, "metadata": {**body["metadata"], **place}}
    return uid, str(kind.get("kind")), body, old if isinstance(old, dict) else None

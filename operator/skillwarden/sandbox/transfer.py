"""Reading from the depot with the standard library: bounded, patient, never redirected or proxied."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from typing import IO, Any

from ..domain.errors import IntegrityError, UnavailableError

_TIMEOUT_SECONDS = 15


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - the base class's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """Follow nothing: the token is for the depot alone."""


class DepotReader:
    """Reads what a token opens.

    Parameters
    ----------
    base_url
        The depot.
    token
        Sent as a bearer token.
    patience_seconds
        How long to go on asking while nothing answers.
    """

    def __init__(self, base_url: str, *, token: str, patience_seconds: float) -> None:
        self._base = base_url
        self._token = token
        self._patience = patience_seconds
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())

    def get(self, path: str, *, limit: int) -> bytes:
        """Return the body of an answer.

        Parameters
        ----------
        path
            Below the depot's URL.
        limit
            Bytes; a longer answer is refused.

        Raises
        ------
        UnavailableError
            Where the depot does not answer in time, or not with what was asked for.
        IntegrityError
            Where the answer is too long to be what was asked for.
        """
        deadline = time.monotonic() + self._patience
        pause = 0.1
        while True:
            try:
                return self._once(path, limit=limit)
            except urllib.error.HTTPError as error:
                if error.code < 500 or time.monotonic() >= deadline:
                    raise UnavailableError(_refusal(path, error.code)) from error
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() >= deadline:
                    reason = getattr(error, "reason", None) or error or type(error).__name__
                    raise UnavailableError(f"the depot at {self._base} does not answer: {reason}.") from error
            time.sleep(pause)
            pause = min(pause * 2, 2.0)

    def _once(self, path: str, *, limit: int) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked with the settings
            self._base + path, headers={"Authorization": f"Bearer {self._token}"}
        )
        with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            body: bytes = answer.read(limit + 1)
            length = answer.headers.get("Content-Length")
        if len(body) > limit:
            raise IntegrityError(f"the depot's answer to {path} is longer than {limit} bytes.")
        if length is not None and len(body) != int(length):
            raise http.client.IncompleteRead(body)
        return body


def _refusal(path: str, status: int) -> str:
    match status:
        case 401:
            return "the depot does not accept this sandbox's token (it may have a new key)."
        case 404:
            return f"the depot does not have {path}, or this sandbox's token does not open it."
        case _:
            return f"the depot answered {path} with HTTP status {status}."

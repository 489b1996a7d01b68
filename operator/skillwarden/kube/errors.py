"""What the API server answers when it does not do as asked; they know nothing of kopf or the client."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ..domain.errors import SkillwardenError, UnavailableError


class ApiError(SkillwardenError):
    """The API server refused.

    Attributes
    ----------
    status
        HTTP status.
    reason
        Of the ``metav1.Status``, e.g. ``Conflict``.
    details
        Its details.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        fix: str = "",
    ) -> None:
        super().__init__(message, fix=fix)
        self.status = status
        self.reason = reason
        self.details = details or {}

    @property
    def said(self) -> str:
        """What the API server said, without what was tried: for a status, where the request is no news."""
        return re.sub(r"^.*?HTTP \d{3}: ", "", self.message, count=1, flags=re.DOTALL).rstrip(". ") + "."


class NotFound(ApiError):  # noqa: N818 - the API's own reasons, which everybody knows
    """404: no such object, or no such namespace."""


class KindMissing(NotFound):
    """404 because the server does not serve the kind: its CRD is not installed. Says nothing of objects."""


class AlreadyExists(ApiError):  # noqa: N818
    """409 on a create."""


class Conflict(ApiError):  # noqa: N818
    """409 on anything else: the object is not the one, or not at the version, that was meant."""


class Forbidden(ApiError):  # noqa: N818
    """403: RBAC or admission."""


class QuotaExceeded(Forbidden):
    """403 by a ResourceQuota."""


class RuntimeClassMissing(Forbidden):
    """403 because the RuntimeClass that a Pod names does not exist."""


class NamespaceTerminating(Forbidden):
    """403 because the namespace is being deleted; nothing is created in it any more."""


class Invalid(ApiError):  # noqa: N818
    """422 or 400: the schema, a validation rule or an admission policy; the same body never passes."""


class Gone(ApiError):  # noqa: N818
    """410: a continue token or resource version is too old."""


class Unauthorized(ApiError):  # noqa: N818
    """401, also with credentials read anew."""


class ApiUnavailable(ApiError, UnavailableError):  # noqa: N818
    """No answer, or one that asks for patience (429, 5xx); worth another try.

    Attributes
    ----------
    retry_after
        Seconds that the server asks for, or ``None``.
    """

    retry_after: float | None = None


#: As kube-apiserver's admission plugins word them; the reason is "Forbidden" for both.
_QUOTA = re.compile(r"\b(?:exceeded|failed) quota: ")
_RUNTIME_CLASS = re.compile(r"\bRuntimeClass \S+ not found")
#: A server-side apply of what its schema does not take is answered 500; trying again would not help.
_NOT_APPLICABLE = re.compile(r"failed to (?:create typed patch object|convert new object) \(")
_MAX_MESSAGE = 1000


def translate(
    status: int, body: str | bytes | None, *, headers: Mapping[str, str] | None = None, what: str = ""
) -> ApiError:
    """Return the error that an answer amounts to.

    Parameters
    ----------
    status
        HTTP status.
    body
        A ``metav1.Status`` as JSON; anything else (a proxy's HTML) is shown shortened.
    headers
        For Retry-After.
    what
        What was tried, in words, put before the message.
    """
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    parsed = _status(text)
    reason = str(parsed.get("reason") or "")
    found = parsed.get("details")
    details: Mapping[str, Any] = found if isinstance(found, dict) else {}
    said = str(parsed.get("message") or " ".join(text.split())[:300] or "no reason given")[:_MAX_MESSAGE]
    message = f"{what}: HTTP {status}: {said}" if what else f"HTTP {status}: {said}"
    if status == 500 and parsed and _NOT_APPLICABLE.match(said):
        return Invalid(status, reason or "Invalid", message, details=details, fix=_FIXES.get(Invalid, ""))
    if status == 429 or status >= 500:
        error = ApiUnavailable(status, reason or "Unavailable", message, details=details)
        error.retry_after = _retry_after(headers or {}, details)
        return error
    type_ = _class(status, reason, said, details, is_status=bool(parsed))
    return type_(status, reason, message, details=details, fix=_FIXES.get(type_, ""))


def _status(text: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) and parsed.get("kind") == "Status" else {}


def _class(
    status: int, reason: str, message: str, details: Mapping[str, Any], *, is_status: bool
) -> type[ApiError]:
    match status:
        case 401:
            return Unauthorized
        case 403:
            return _forbidden(message, details)
        case 404:
            # For an unknown path the server answers in plain text, or with a Status that names nothing.
            return NotFound if is_status and details.get("name") else KindMissing
        case 409:
            return AlreadyExists if reason == "AlreadyExists" else Conflict
        case 410:
            return Gone
        case 400 | 413 | 415 | 422:
            return Invalid
        case _:
            return ApiError


def _forbidden(message: str, details: Mapping[str, Any]) -> type[ApiError]:
    causes = details.get("causes") or ()
    if any(isinstance(cause, dict) and cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return NamespaceTerminating
    if _QUOTA.search(message):
        return QuotaExceeded
    return RuntimeClassMissing if _RUNTIME_CLASS.search(message) else Forbidden


_FIXES: Mapping[type[ApiError], str] = {
    KindMissing: "Install Skillwarden's CRDs, or wait until the server serves them.",
    Unauthorized: "Check the kubeconfig's credentials.",
}


def _retry_after(headers: Mapping[str, str], details: Mapping[str, Any]) -> float | None:
    for value in (headers.get("Retry-After"), details.get("retryAfterSeconds")):
        try:
            seconds = float(value) if value is not None else -1.0
        except (TypeError, ValueError):
            continue  # the header may be a date; the next answer will say
        if 0 <= seconds < 86_400:
            return seconds
    return None

"""What the API server answers when it does not do as asked; they know nothing of kopf or the client."""

from __future__ import annotations

import json
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
        self, status: int, reason: str, message: str, *, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.details = details or {}


class NotFound(ApiError):  # noqa: N818 - the API's own reasons, which everybody knows
    """404."""


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


class Invalid(ApiError):  # noqa: N818
    """422: the schema, a validation rule or an admission policy."""


class Gone(ApiError):  # noqa: N818
    """410: a continue token or resource version is too old."""


class Unauthorized(ApiError):  # noqa: N818
    """401."""


class ApiUnavailable(ApiError, UnavailableError):  # noqa: N818
    """No answer, or one that asks for patience (429, 5xx); worth another try.

    Attributes
    ----------
    retry_after
        Seconds that the server asks for, or ``None``.
    """

    retry_after: float | None = None


def translate(status: int, body: str | bytes | None, *, headers: Mapping[str, str] | None = None) -> ApiError:
    """Return the error that an answer amounts to.

    Parameters
    ----------
    status
        HTTP status.
    body
        A ``metav1.Status`` as JSON; anything else (a proxy's HTML) is shown shortened.
    headers
        For Retry-After.
    """
    parsed = _status(body)
    reason = str(parsed.get("reason") or "")
    message = str(parsed.get("message") or f"the API server answered {status}")
    details = parsed.get("details") if isinstance(parsed.get("details"), dict) else {}
    if status == 429 or status >= 500:
        error = ApiUnavailable(status, reason or "Unavailable", message, details=details)
        error.retry_after = _seconds((headers or {}).get("Retry-After"))
        return error
    return _class(status, reason, message)(status, reason, message, details=details)


def _class(status: int, reason: str, message: str) -> type[ApiError]:
    match status:
        case 401:
            return Unauthorized
        case 403 if "exceeded quota" in message:
            return QuotaExceeded
        case 403 if "RuntimeClass" in message and "not found" in message:
            return RuntimeClassMissing
        case 403:
            return Forbidden
        case 404:
            return NotFound
        case 409 if reason == "AlreadyExists":
            return AlreadyExists
        case 409:
            return Conflict
        case 410:
            return Gone
        case 422:
            return Invalid
        case _:
            return ApiError


def _status(body: str | bytes | None) -> Mapping[str, Any]:
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    try:
        parsed = json.loads(text)
    except ValueError:
        return {"message": " ".join(text.split())[:300]} if text.strip() else {}
    return parsed if isinstance(parsed, dict) else {}


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None

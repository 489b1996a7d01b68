"""The failures an API server answers with, each able to become the ``Status`` body that clients parse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of a refusal, as ``Status.details.causes`` carries it."""

    reason: str
    message: str
    field: str = ""

    def as_dict(self) -> Obj:
        body = {"reason": self.reason, "message": self.message}
        return {**body, "field": self.field} if self.field else body


class ApiError(Exception):
    """A refusal with an HTTP code, a machine-readable reason and details.

    Parameters
    ----------
    code : int
        The HTTP status.
    reason : str
        ``metav1.StatusReason``; clients branch on it.
    message : str
        What a person reads.
    details : mapping, optional
        ``Status.details``.
    headers : mapping, optional
        Further response headers.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def status(self) -> Obj:
        """Give the ``Status`` object of this failure."""
        body: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        return {**body, "code": self.code}


class Unreadable(ApiError):  # noqa: N818 - it says what is the case
    """A body that does not fit its kind's types: 400, and something else where a patch leads to one."""

    def __init__(self, kind: str, version: str, why: str) -> None:
        text = f'{kind} in version "{version}" cannot be handled as a {kind}: {why}'
        super().__init__(400, "BadRequest", text)
        self.why = why


def qualified(plural: str, group: str) -> str:
    """Name a resource as error messages do: ``pods``, ``skills.skillwarden.io``."""
    return f"{plural}.{group}" if group else plural


def _details(plural: str, group: str, name: str) -> Obj:
    pairs = {"name": name, "group": group, "kind": plural}
    return {key: value for key, value in pairs.items() if value}


def not_found(plural: str, group: str, name: str) -> ApiError:
    """404 for an object that is not there."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_details(plural, group, name))


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """409 for a create under a name that is taken."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_details(plural, group, name))


def conflict(plural: str, group: str, name: str, why: str) -> ApiError:
    """409 for a write based on another version of the object."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_details(plural, group, name))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def invalid(kind: str, group: str, name: str, causes: Iterable[Cause]) -> ApiError:
    """422 with every cause; an error of a schema or of a rule on values."""
    listed = list(causes)
    texts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in listed]
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    subject = f'{qualified(kind, group)} "{name}"' if kind else f'"{name}"'
    details = {**_details(kind, group, name), "causes": [cause.as_dict() for cause in listed]}
    return ApiError(422, "Invalid", f"{subject} is invalid: {text}", details=details)


def bad_request(message: str) -> ApiError:
    """400: the request itself makes no sense."""
    return ApiError(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str) -> ApiError:
    """403 by an admission step."""
    subject = f'{qualified(plural, group)} "{name}"'
    message = f"{subject} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, details=_details(plural, group, name))


def unauthorised_for(plural: str, group: str, name: str, why: str) -> ApiError:
    """403 by the authoriser, worded as RBAC words it."""
    subject = qualified(plural, group) + (f' "{name}"' if name else "")
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", details=_details(plural, group, name))


def expired(message: str) -> ApiError:
    """410: the asked-for version is no longer kept; list again."""
    return ApiError(410, "Expired", message)


def method_not_allowed() -> ApiError:
    """405 on a path that exists."""
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


def unsupported_media_type(accepted: Iterable[str]) -> ApiError:
    """415 with the types that would have been understood."""
    listed = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
    return ApiError(415, "UnsupportedMediaType", message)


def unauthorized() -> ApiError:
    """401: no bearer token, or another one."""
    return ApiError(401, "Unauthorized", "Unauthorized", headers={"WWW-Authenticate": "Bearer"})

"""What can go wrong with advisories; none of it ever reads as `no advisory affects this`."""

from __future__ import annotations

from skillwarden.domain.errors import SkillwardenError, UnavailableError


class AdvisoryError(SkillwardenError):
    """Base of the errors about the advisory index and its sources."""


class MissingIndexError(AdvisoryError):
    """No advisories were ever synced to this place."""


class CorruptIndexError(AdvisoryError):
    """The index cannot be read as what was written."""


class SyncError(AdvisoryError):
    """A source of advisories was refused; the last good index stands."""


class NoDumpError(SyncError):
    """A source has no dump of an ecosystem (HTTP 404)."""


class SourceUnavailableError(SyncError, UnavailableError):
    """The source does not answer now; worth another try later."""

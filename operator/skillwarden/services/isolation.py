"""What is known of the cluster's isolation: what the platform attests, and what canary Pods saw.

What was seen to be open is open, whatever is attested; what was not seen is what is attested, or not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sighting:
    """What two canary Pods saw at one time.

    Attributes
    ----------
    open_reached, closed_reached
        Whether each reached the depot: the one that nothing isolates, and the one that a policy should.
    pids
        How many processes the closed one could start; ``None``: more than it tried.
    """

    open_reached: bool
    closed_reached: bool
    pids: int | None = None

    @property
    def enforced(self) -> bool | None:
        """Whether NetworkPolicies are enforced; ``None``: nothing could be reached anyway."""
        if self.closed_reached:
            return False
        return True if self.open_reached else None


class Isolation:
    """Holds what is known.

    Parameters
    ----------
    attested
        What the platform says; ``None``: nothing.
    """

    def __init__(self, attested: bool | None = None) -> None:
        self._attested = attested
        self._sighting: Sighting | None = None
        self.on_change: Callable[[], None] = lambda: None

    @property
    def seen(self) -> bool | None:
        """Whether NetworkPolicies were seen to be enforced; ``None``: nobody could tell yet."""
        return self._sighting.enforced if self._sighting else None

    @property
    def pids(self) -> int | None:
        """How many processes a Pod may have, as far as it was tried."""
        return self._sighting.pids if self._sighting else None

    @property
    def enforced(self) -> bool | None:
        """Whether NetworkPolicies are enforced here; ``None``: nobody knows."""
        if False in {self._attested, self.seen}:
            return False
        return True if True in {self._attested, self.seen} else None

    @property
    def text(self) -> str:
        """What the condition NetworkIsolated says of it; stable as long as it is the same."""
        match self.enforced, self.seen:
            case False, False:
                claim = ", although the platform attests that it does" if self._attested else ""
                return (
                    "A canary Pod reached what its NetworkPolicy denies: this cluster's network plugin does"
                    f" not enforce NetworkPolicies{claim}."
                )
            case False, _:
                return "This cluster's network plugin does not enforce NetworkPolicies."
            case True, True:
                return "A canary Pod could not reach what its NetworkPolicy denies; ours denies by default."
            case True, _:
                return "The platform attests that NetworkPolicies are enforced; ours denies by default."
            case _:
                return (
                    "Nobody attests that this cluster's network plugin enforces NetworkPolicies, and no"
                    " canary Pod has shown it. See the operator's log, or set SKILLWARDEN_NETWORK_ENFORCED"
                    " once you know."
                )

    def saw(self, sighting: Sighting | None) -> None:
        """Take note of what canaries saw; one that could not tell leaves what was seen before."""
        if sighting is None or (sighting.enforced is None and self.seen is not None):
            return
        before = self.enforced, self.text
        self._sighting = sighting
        if (self.enforced, self.text) != before:
            self.on_change()

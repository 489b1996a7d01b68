"""Waits until the Pod's NetworkPolicy is seen to apply: network plugins take moments to.

The API server stands for all that a sandbox may not reach: it accepts connections from any Pod that nothing
isolates, and every Pod is told where it is.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from .canary import reached

#: Seconds; some plugins let Pods reach the API server whatever a policy says, and those must start, too.
PATIENCE_SECONDS = 5.0
_ATTEMPT_SECONDS = 0.3
_IN_A_ROW = 2


class Isolating:
    """Tries an address beside the preparation, which takes longer than a plugin mostly.

    Parameters
    ----------
    host, port
        What the policy denies.
    seconds
        How long to try.
    """

    def __init__(self, host: str, port: int, *, seconds: float = PATIENCE_SECONDS) -> None:
        self._where = host, port
        self._seconds = seconds
        self._open = True
        self._thread = threading.Thread(target=self._try, daemon=True)
        self._thread.start()

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Isolating | None:
        """Begin with what the kubelet told of the API server; ``None``: it told nothing."""
        host, port = env.get("KUBERNETES_SERVICE_HOST", ""), env.get("KUBERNETES_SERVICE_PORT", "")
        return cls(host, int(port)) if host and port.isascii() and port.isdecimal() else None

    def _try(self) -> None:
        host, port = self._where
        self._open = reached(
            host,
            port,
            until_blocked=True,
            seconds=self._seconds,
            attempt_seconds=_ATTEMPT_SECONDS,
            in_a_row=_IN_A_ROW,
        )

    def wait(self) -> str:
        """Wait for the end of it, and return what was seen, for the log."""
        self._thread.join()
        if self._open:
            return (
                f"the API server can still be reached after {self._seconds:g} s, though this Pod's"
                " NetworkPolicy denies it: the network plugin applies it later, or not to that address"
            )
        return "the Pod's NetworkPolicy is seen to apply"

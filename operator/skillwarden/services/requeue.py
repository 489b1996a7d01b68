"""How a reconciler asks to be called again, without knowing the queue."""

from __future__ import annotations

from dataclasses import dataclass

from .workqueue import WorkQueue

#: What is reconciled: kind, namespace, name.
Key = tuple[str, str, str]


def namespace_of(key: Key) -> str:
    """Return whose turn a key takes."""
    return key[1]


@dataclass(frozen=True, slots=True)
class Requeue:
    """The wish to be called again for one key.

    Attributes
    ----------
    queue
        Where.
    key
        For what.
    """

    queue: WorkQueue[Key]
    key: Key

    def soon(self) -> None:
        """As soon as a worker is free."""
        self.queue.add(self.key)

    def after(self, seconds: float) -> None:
        """After some seconds; the earliest wish counts."""
        self.queue.add_after(self.key, seconds)

    def retry(self) -> None:
        """After the key's back-off."""
        self.queue.retry(self.key)

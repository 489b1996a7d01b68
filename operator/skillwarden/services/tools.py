"""What the reconcilers work with; ``runtime.context`` puts it together."""

from __future__ import annotations

from dataclasses import dataclass

from .approvals import Requests
from .children import Children
from .execute import Executor
from .isolation import Isolation
from .judge import Judge
from .notify import Notifier
from .ports import Cluster, Now, SandboxSetup, Timing
from .sources import ConfigMapSources
from .stages import Stages
from .store import Store
from .waits import Waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Collaborators that Skills and SkillRuns share.

    Attributes
    ----------
    store, cluster
        The observed world, and the live one.
    stages
        The slow stages, and the depot behind them.
    judge
        Gathers evidence and has it assessed.
    requests
        What people are asked to approve.
    children, executor
        What should stand, and who makes it.
    notifier
        Events and audit records.
    sources
        Pinned ConfigMaps.
    isolation
        What is known of the cluster's network.
    waits
        How long authors wait.
    setup, timing, now
        Settings and the clock.
    """

    store: Store
    cluster: Cluster
    stages: Stages
    judge: Judge
    requests: Requests
    children: Children
    executor: Executor
    notifier: Notifier
    sources: ConfigMapSources
    isolation: Isolation
    waits: Waits
    setup: SandboxSetup
    timing: Timing
    now: Now

"""``skillwarden.io/v1alpha1``: the models of the kinds, and how manifests are read."""

from .agent import Agent
from .common import API_VERSION, GROUP, VERSION
from .kinds import KINDS, Kind
from .parse import MODELS, AnyResource, parse
from .policy import ClusterPackagePolicy, PackagePolicy
from .skill import GUARD_PROBE_AGENT, Skill
from .skill_run import SkillRun, SkillRunStatus
from .skill_status import SkillStatus

__all__ = [
    "API_VERSION",
    "GROUP",
    "GUARD_PROBE_AGENT",
    "KINDS",
    "MODELS",
    "VERSION",
    "Agent",
    "AnyResource",
    "ClusterPackagePolicy",
    "Kind",
    "PackagePolicy",
    "Skill",
    "SkillRun",
    "SkillRunStatus",
    "SkillStatus",
    "parse",
]

"""Which image a skill runs on, and so for which platform its artefacts are chosen."""

from __future__ import annotations

from collections.abc import Iterable

from ..domain.assess import Failure
from ..domain.conditions import AcceptedReason
from ..domain.lock import Platform
from ..domain.skill import Language, SkillSpec
from .commands import missing_commands
from .ports import SandboxSetup, mixed_key


def choose_platform(spec: SkillSpec | None, setup: SandboxSetup) -> tuple[Platform | None, Failure | None]:
    """Return what artefacts are chosen for, or why there is no such runtime.

    A skill with packages of both ecosystems needs an image with both interpreters; any other runs on an image
    of its language alone.
    """
    if spec is None:
        return None, None
    if _is_mixed(spec):
        return _mixed(spec, setup)
    python = spec.language is Language.PYTHON
    offered = setup.runtimes if python else setup.node_runtimes
    default = setup.default_version if python else setup.default_node
    version = spec.version or default
    if version not in offered:
        return None, _unsupported(spec, version, offered, default)
    if absent := missing_commands(spec, version, offered=setup.commands):
        return None, absent
    return (setup.platform(python=version) if python else setup.platform(node=version)), None


def _is_mixed(spec: SkillSpec) -> bool:
    python = spec.language is Language.PYTHON or bool(spec.python_requirements)
    node = spec.language is Language.NODE or bool(spec.node_requirements)
    return python and node


def _mixed(spec: SkillSpec, setup: SandboxSetup) -> tuple[Platform | None, Failure | None]:
    """Choose an image with both: the skill's version of its language, the newest of the other."""
    pairs = sorted(
        (
            (python, node)
            for python in setup.runtimes
            for node in setup.node_runtimes
            if mixed_key(python, node) in setup.mixed_runtimes
        ),
        key=lambda pair: (_order(pair[0]), _order(pair[1])),
        reverse=True,
    )
    own = 0 if spec.language is Language.PYTHON else 1
    default = setup.default_version if own == 0 else setup.default_node
    version = spec.version or default
    fitting = [pair for pair in pairs if pair[own] == version]
    if not fitting:
        offered = ", ".join(mixed_key(*pair) for pair in pairs) or "none"
        return None, Failure(
            AcceptedReason.UNSUPPORTED_RUNTIME,
            f"the skill needs an image with both Python and Node, for {spec.language.value} {version}; this"
            f" operator has: {offered}.",
            _one_language(spec),
        )
    python, node = fitting[0]
    if absent := missing_commands(spec, mixed_key(python, node), offered=setup.commands):
        return None, absent
    return setup.platform(python=python, node=node), None


def _one_language(spec: SkillSpec) -> str:
    """Say how a skill asks for one language only; a Node skill that forgot to say so is the usual case."""
    image = "have the platform team name such an image in SKILLWARDEN_MIXED_RUNTIMES"
    if spec.language is Language.PYTHON and not spec.python_requirements:
        return f"If the skill runs on Node alone, set spec.runtime.language: Node; else {image}."
    return f"Declare packages of {spec.language.value} only, or {image}."


def _unsupported(spec: SkillSpec, version: str, offered: Iterable[str], default: str) -> Failure:
    known = ", ".join(sorted(offered, key=_order))
    asked = f"{spec.language.value} {version}".strip()
    fix = (
        f"Ask for one of: {known}; or leave spec.runtime.version out ({default})."
        if known
        else "Have the platform team name an image for it in the operator's settings."
    )
    return Failure(
        AcceptedReason.UNSUPPORTED_RUNTIME,
        f"spec.runtime asks for {asked}, which this operator has no image for.",
        fix,
    )


def _order(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]

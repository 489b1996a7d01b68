"""``skillwarden refresh skill/NAME``: have a skill's lock made anew from what the index has now."""

from __future__ import annotations

from datetime import UTC, datetime

import typer

from ..domain.naming import ANNOTATION_REFRESH
from ..kube.kinds import Kind
from .cluster import (
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
    SkillArgument,
    connected,
    namespace_of,
    the_skill,
)
from .ending import run_command


def command(
    skill: SkillArgument,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Have a skill's packages resolved anew; until then, and unless asked, its lock stays as it is.

    What comes out is scanned and judged like any other lock, and approvals bind to artefacts: newer ones may
    have to be approved.

    Exit code 0: asked for. 1: there is no such Skill, or the cluster does not answer. 64: wrong use.
    """

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = namespace_of(namespace, kubeconfig, context)
            await the_skill(gateway, place, skill)
            when = datetime.now(UTC).isoformat(timespec="microseconds")
            patch = {"metadata": {"annotations": {ANNOTATION_REFRESH: when}}}
            await gateway.merge(Kind.SKILL, patch, name=skill, namespace=place)
        typer.echo(f"skill/{skill}: its packages are resolved anew; see kubectl get skill {skill} -w")
        return 0

    run_command("refresh", work())

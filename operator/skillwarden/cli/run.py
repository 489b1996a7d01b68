"""``skillwarden run SKILL``: make a SkillRun, follow its log, print its output, pass on its exit code."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..api.v1alpha1 import API_VERSION
from ..domain.errors import InvalidInputError, SkillwardenError
from ..kube.errors import ApiError
from ..kube.gateway import Gateway
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

#: For a run that ended without an exit code of its own: it never started, was stopped, or is lost.
NO_EXIT_CODE = 125
CONTAINER = "skill"


def command(  # noqa: PLR0917 - typer names every option by its parameter
    skill: SkillArgument,
    input_: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="TEXT|@FILE|-",
            help="What the skill finds as /skill/input.json: the text itself, @FILE, or - for stdin.",
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent",
            help="Agent on whose behalf it runs; of its maturity and the skill's agent's, the lower counts.",
        ),
    ] = None,
    timeout: Annotated[
        int | None,
        typer.Option(
            "--timeout", min=1, metavar="SECONDS", help="How long it may take; at most what the Skill says."
        ),
    ] = None,
    ttl: Annotated[
        int, typer.Option("--ttl", min=0, metavar="SECONDS", help="How long the finished SkillRun is kept.")
    ] = 3600,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Run a Task skill once: its log goes to standard error, its output to standard output.

    The exit code is the skill's own; 125 where it has none: not allowed, not started, stopped, or the
    cluster does not answer. 64: wrong use. Ctrl-C stops following; the run itself goes on in the cluster.
    """

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = namespace_of(namespace, kubeconfig, context)
            name = skill
            await the_skill(gateway, place, name)
            spec: dict[str, Any] = {"skillRef": {"name": name}, "ttlSecondsAfterFinished": ttl}
            spec |= {"input": read_input(input_)} if input_ is not None else {}
            spec |= {"agentRef": {"name": agent}} if agent else {}
            spec |= {"timeoutSeconds": timeout} if timeout else {}
            body = {
                "apiVersion": API_VERSION,
                "kind": "SkillRun",
                "metadata": {"generateName": f"{name[:50]}-", "namespace": place},
                "spec": spec,
            }
            run = await gateway.create(Kind.SKILL_RUN, body)
            try:
                return await follow(gateway, run)
            except asyncio.CancelledError:
                _say_it_goes_on(run["metadata"])
                raise

    run_command("run", work(), failed=NO_EXIT_CODE)


def _say_it_goes_on(meta: dict[str, Any]) -> None:
    """Ctrl-C ends the following, not the run: it is the cluster's, and somebody else may follow it, too."""
    where = f"-n {meta['namespace']}"
    typer.echo(
        f"\nNo longer followed; SkillRun {meta['namespace']}/{meta['name']} goes on."
        f" See it: kubectl get skillrun {meta['name']} {where}."
        f" End it: kubectl delete skillrun {meta['name']} {where}.",
        err=True,
    )


def read_input(text: str) -> str:
    """Return the input: itself, a file's (``@path``), or standard input's (``-``).

    Raises
    ------
    InvalidInputError
        Where a file cannot be read as text.
    """
    try:
        if text == "-":
            return sys.stdin.read()
        if text.startswith("@"):
            return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"the input {text} cannot be read: {error}.") from error
    return text


async def follow(gateway: Gateway, run: dict[str, Any]) -> int:
    """Follow a run to its end; return the exit code to pass on."""
    name = run["metadata"]["name"]
    typer.echo(f"SkillRun {run['metadata']['namespace']}/{name}", err=True)
    log: asyncio.Task[None] | None = None
    said = ""
    async for status in statuses(gateway, run):
        conditions: list[dict[str, Any]] = status.get("conditions") or []
        complete = next((item for item in conditions if item["type"] == "Complete"), {})
        phase, pod = status.get("phase"), status.get("podName")
        words = f"{complete.get('reason', '')}: {complete.get('message', '')}"
        if phase == "Pending" and complete and words != said:
            said = words
            typer.echo(words, err=True)
        if pod and phase == "Running" and log is None:
            log = asyncio.create_task(_log(gateway, run["metadata"]["namespace"], pod))
        if phase in {"Succeeded", "Failed"}:
            return await _finish(status, complete, log)
    raise SkillwardenError(f"SkillRun {name} was deleted before it ended.")


async def _finish(status: dict[str, Any], complete: dict[str, Any], log: asyncio.Task[None] | None) -> int:
    if log is not None:
        await log
    elif status.get("logTail"):
        typer.echo(status["logTail"], err=True, nl=False)
    if status.get("output"):
        typer.echo(status["output"])
    if status["phase"] == "Failed":
        typer.echo(f"{complete.get('reason')}: {complete.get('message')}", err=True)
    code = status.get("exitCode")
    if status["phase"] == "Failed" and code in {None, 0}:
        return NO_EXIT_CODE
    return int(code or 0)


async def statuses(gateway: Gateway, run: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Yield a run's status whenever it changes, over as many watches as it takes."""
    meta = run["metadata"]
    body: dict[str, Any] | None = run
    while body is not None:
        yield body.get("status") or {}
        try:
            changes = gateway.watch(
                Kind.SKILL_RUN,
                namespace=meta["namespace"],
                name=meta["name"],
                resource_version=body["metadata"]["resourceVersion"],
            )
            async for event, found in changes:
                if event == "DELETED":
                    return
                if event in {"ADDED", "MODIFIED"}:
                    yield found.get("status") or {}
        except ApiError:
            await asyncio.sleep(1)
        body = await gateway.get(Kind.SKILL_RUN, name=meta["name"], namespace=meta["namespace"])


async def _log(gateway: Gateway, namespace: str, pod: str) -> None:
    try:
        async for chunk in gateway.follow_pod_log(namespace, pod, CONTAINER):
            sys.stderr.write(chunk.decode(errors="replace"))
            sys.stderr.flush()
    except ApiError as error:
        typer.echo(f"The log cannot be followed: {error}", err=True)

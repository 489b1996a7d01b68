"""Write what the chart takes from elsewhere and what is rendered from it; tests hold all of it against drift.

``python charts/generate.py`` (``make chart``) copies crds/, the roles, the admission policies and the
baseline into the chart, writes docs/operations/chart-values.md from values.yaml and renders
manifests/install.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "skillwarden"
INSTALL = ROOT / "manifests" / "install" / "skillwarden.yaml"
NAMESPACE = "skillwarden-system"
RELEASE = "skillwarden"
#: Folder of the chart by folder of the repository.
COPIED = {
    "crds": "crds",
    "manifests/rbac": "rbac",
    "manifests/admission": "admission",
    "manifests/baseline": "baseline",
}
#: What a cluster without Helm is given: the key's Secret is made by hand, for nobody is there to keep one.
INSTALL_VALUES: dict[str, Any] = {
    "depot": {"key": {"existingSecret": "skillwarden-depot-key"}},
    "baseline": {"enabled": False},
    "admissionPolicies": {"enabled": False},
    # Its certificate would stand in this file for everybody to read.
    "webhook": {"enabled": False},
}
INSTALL_HEADER = """\
# The chart, rendered for a cluster without Helm (`make chart`; a test holds this file against drift).
#
#   kubectl apply --server-side -f crds/
#   kubectl apply --server-side -f manifests/install
#   kubectl -n skillwarden-system create secret generic skillwarden-depot-key \\
#     --from-literal=key="$(openssl rand -hex 32)"
#   kubectl apply -f manifests/admission -f manifests/baseline
#
# Set the images to yours, by digest.
"""
NAMESPACE_BODY = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {
        "name": NAMESPACE,
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
    },
}
DOCS_HEADER = """\
# Values of the chart

Generated from the comments of `charts/skillwarden/values.yaml` by `make chart`. `values.schema.json` refuses
what is not listed here, and combinations that make no sense are refused by name. Objects stand in YAML's
short form.

| value | default | what it is |
|---|---|---|
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of the chart: its path, its default, its comment."""

    path: str
    default: Any
    comment: str


def copies() -> dict[Path, str]:
    """Return what stands below the chart's ``files``, by path."""
    return {
        CHART / "files" / target / path.name: path.read_text(encoding="utf-8")
        for source, target in COPIED.items()
        for path in sorted((ROOT / source).glob("*.yaml"))
    }


def render(values: dict[str, Any]) -> dict[str, str]:
    """Return the rendered templates by file name, with those that came out empty left out.

    Raises
    ------
    helm_python.errors.HelmError
        Where the values are refused.
    """
    with Chart.load(CHART) as chart:
        found = chart.render(values, name=RELEASE, namespace=NAMESPACE)
    return {Path(name).name: text for name, text in sorted(found.items()) if text.strip()}


def objects(rendered: dict[str, str]) -> list[dict[str, Any]]:
    """Return the objects of rendered templates."""
    texts = (text for name, text in rendered.items() if name.endswith(".yaml"))
    return [body for text in texts for body in yaml.safe_load_all(text) if body]


def install_manifest() -> str:
    """Return manifests/install: all but CRDs, admission policies and baseline, which have their own files."""
    bodies = objects(render({**INSTALL_VALUES, "crds": {"enabled": False}}))
    for body in bodies:
        metadata = body["metadata"]
        metadata["labels"] = {
            key: value
            for key, value in metadata.get("labels", {}).items()
            if key not in {"helm.sh/chart", "app.kubernetes.io/managed-by"}
        }
    return INSTALL_HEADER + "---\n".join(
        yaml.safe_dump(body, sort_keys=False, width=120) for body in (NAMESPACE_BODY, *bodies)
    )


def leaves(text: str) -> Iterator[Value]:
    """Yield the values of a commented values.yaml; a mapping with commented keys of its own is no leaf."""
    tree = yaml.safe_load(text)
    stack: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"^(\s*)# (.*)$", line):
            comment.append(match[2])
            continue
        if not line.strip():
            comment = []
            continue
        match = re.match(r"^( *)([\w\"./-]+):", line)
        if match is None:
            raise ValueError(f"values.yaml: {line!r} is neither a comment nor a key")
        depth, key = len(match[1]), match[2].strip('"')
        while stack and stack[-1][0] >= depth:
            stack.pop()
        stack.append((depth, key))
        if comment:
            path = [name for _, name in stack]
            default = tree
            for name in path:
                default = default[name]
            nested = isinstance(default, dict) and default and line.rstrip().endswith(":")
            if not nested or path[-1] in {"python", "node", "resources"}:
                yield Value(path=".".join(path), default=default, comment=" ".join(comment))
        comment = []


def values_page() -> str:
    """Return docs/operations/chart-values.md."""
    rows = []
    for value in leaves((CHART / "values.yaml").read_text(encoding="utf-8")):
        default = yaml.safe_dump(value.default, default_flow_style=True, width=10_000).removesuffix("...\n")
        rows.append(f"| `{value.path}` | `{default.strip()}` | {value.comment.replace('|', chr(92) + '|')} |")
    return DOCS_HEADER + "\n".join(rows) + "\n"


def value_sets() -> dict[str, dict[str, Any]]:
    """Return the value sets that are rendered and compared, by name; the shipped one of an air gap is one."""
    paths = [*sorted((ROOT / "tests" / "chart" / "values").glob("*.yaml")), CHART / "values-airgap.yaml"]
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


def golden(name: str, values: dict[str, Any]) -> str:
    """Return what a value set renders to.

    What the chart copies from elsewhere is in the golden of ``namespaced`` only, which alters it, and
    CRDs are in none. Keys and certificates made up by the chart are replaced by a word.
    """
    copied = (
        {"crds.yaml"}
        if name == "namespaced"
        else {"crds.yaml", "admission.yaml", "baseline.yaml", "rbac.yaml"}
    )
    given = values.get("webhook", {}).get("certificate", {}).get("caBundle")
    bodies = objects({file: text for file, text in render(values).items() if file not in copied})
    for body in bodies:
        if body["kind"] == "Secret":
            body["data"] = dict.fromkeys(body["data"], "<made up>")
        for hook in body.get("webhooks", ()):
            if hook["clientConfig"].get("caBundle") != given:
                hook["clientConfig"]["caBundle"] = "<made up>"
    return "---\n".join(yaml.safe_dump(body, sort_keys=False, width=120) for body in bodies)


def goldens() -> dict[Path, str]:
    """Return the rendered value sets by path."""
    folder = ROOT / "tests" / "chart" / "golden"
    return {folder / f"{name}.yaml": golden(name, values) for name, values in value_sets().items()}


def outputs() -> dict[Path, str]:
    """Return every generated file by path."""
    return {
        **copies(),
        ROOT / "docs" / "operations" / "chart-values.md": values_page(),
    }


def main() -> None:
    """Write them all; what is rendered comes last, for it is rendered from the copies."""
    wanted = outputs()
    for old in (CHART / "files").rglob("*.yaml"):
        if old not in wanted:
            old.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    rendered = {INSTALL: install_manifest(), **goldens()}
    for path, text in rendered.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

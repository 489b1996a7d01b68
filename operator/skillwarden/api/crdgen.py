"""Writes ``crds/``: one CustomResourceDefinition a file, from the models.

``python -m skillwarden.api.crdgen crds/`` (``make crds``); a test holds the files to the models.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from .structural import structural_schema
from .v1alpha1.common import GROUP, VERSION
from .v1alpha1.kinds import KINDS, Column, Kind

_HEADER = "# Generated from operator/skillwarden/api by `make crds`; edit the models, not this file.\n"
_API_VERSION_DOC = "Version of the schema of this object: skillwarden.io/v1alpha1."
_STATUS_DOC = "What the operator decided and observed; only the operator writes it."


def crd(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of one kind."""
    subresources: dict[str, Any] = {"status": {}}
    if kind.scale:
        subresources["scale"] = dict(kind.scale)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": ["skillwarden"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                    "subresources": subresources,
                    "additionalPrinterColumns": [
                        *(_column(column) for column in kind.columns),
                        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                    ],
                }
            ],
        },
    }


def _root_schema(kind: Kind) -> dict[str, Any]:
    spec = structural_schema(kind.spec)
    status = structural_schema(kind.status)
    status["description"] = _STATUS_DOC
    return {
        "description": kind.description,
        "type": "object",
        "properties": {
            "apiVersion": {"description": _API_VERSION_DOC, "type": "string"},
            "kind": {"description": f"The kind of this object: {kind.kind}.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        "required": ["spec"],
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.path,
        **({"priority": 1} if column.wide else {}),
    }


def filename(kind: Kind) -> str:
    """Return the name of a kind's file in ``crds/``."""
    return f"{GROUP}_{kind.plural}.yaml"


def render(kind: Kind) -> str:
    """Return the file's text."""
    return _HEADER + yaml.dump(crd(kind), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out in full: an alias saves bytes and costs every reader a search."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def main(arguments: list[str]) -> int:
    """Write every file into the folder that the one argument names."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m skillwarden.api.crdgen FOLDER\n")
        return 64
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (folder / filename(kind)).write_text(render(kind), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

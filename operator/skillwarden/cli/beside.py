"""What stands beside a skill in the files that were given, and which of it bears on the skill.

In a cluster every object has a namespace. In a file it may have none yet, and comes to whichever it is
applied to: it is taken to meet objects of any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import typer

from ..domain.assess import Failure
from ..domain.conditions import AcceptedReason
from ..domain.content import unpack
from ..domain.errors import IntegrityError, InvalidInputError
from ..domain.grounds import one_line
from ..domain.policy import Maturity
from ..domain.skill import ConfigMapSource
from ..resolve.lockfiles import read_pins
from ..services.records import PolicyRecord, SkillRecord, agent_record, policy_record
from ..services.sources import pinned_files
from ..services.store import applicable
from ..source.look import source_findings
from .manifests import Given

#: Every Namespace has this label, with its name.
_NAME_LABEL = "kubernetes.io/metadata.name"
_MAX_REMARK = 1000


def policies_for(
    record: SkillRecord, bodies: Iterable[dict[str, Any]], given: Given
) -> tuple[PolicyRecord, ...]:
    """Return those policies that apply to a skill, and say on standard error which are left out.

    Parameters
    ----------
    record
        The skill.
    bodies
        PackagePolicies and ClusterPackagePolicies.
    given
        Holds the Namespaces, by whose labels a ClusterPackagePolicy selects. One that is not there might
        have any: a policy that asks for labels of it applies.
    """
    records, namespace = [_policy(body) for body in bodies], record.key.namespace
    if not namespace:
        if len({item.ref.namespace for item in records if item.ref.namespace}) > 1:
            _say(record, "it names no namespace: the policies of all of them apply.")
        return tuple(records)
    labels = given.namespaces.get(namespace)
    known = {_NAME_LABEL: namespace, **(labels or {})}
    unsure = [item for item in records if labels is None and not _asks_only_for(known, item.selector)]
    chosen = applicable(
        namespace,
        labels=known,
        local=[item for item in records if item.ref.namespace],
        cluster=[
            replace(item, selector={}) if item in unsure else item
            for item in records
            if not item.ref.namespace
        ],
    )
    refs = {item.ref for item in chosen}
    if left_out := [str(item.ref) for item in records if item.ref not in refs]:
        _say(record, f"left out, as not for namespace {namespace}: {', '.join(left_out)}.")
    for item in unsure:
        _say(record, f"{item.ref} applies: it selects by labels, and PATH lacks Namespace {namespace}.")
    return chosen


def maturity_beside(record: SkillRecord, given: Given) -> Maturity:
    """Return the level of the Skill's Agent, and of the least of several; a Student's where there is none."""
    name = record.spec.agent if record.spec else None
    agents = [agent_record(body) for body in given.agents]
    levels = [
        agent.maturity
        for agent in agents
        if agent.name == name and _meet(agent.namespace, record.key.namespace)
    ]
    if name is not None and not levels:
        _say(record, f"its Agent {name} is not in PATH: judged as a Student's.")
    return min(levels, default=Maturity.STUDENT)


def with_files_beside(record: SkillRecord, given: Given) -> SkillRecord:
    """Return a skill whose files are in a ConfigMap with what they say, or why they cannot be used.

    Raises
    ------
    InvalidInputError
        Where the ConfigMap was not given: nobody can say then what the files are.
    """
    spec, place = record.spec, record.key.namespace
    if spec is None or record.spec_failure or not isinstance(spec.source, ConfigMapSource):
        return record
    source = spec.source
    body = next(
        (
            item
            for item in given.config_maps
            if item["metadata"]["name"] == source.name and _meet(item["metadata"].get("namespace"), place)
        ),
        None,
    )
    if body is None:
        raise InvalidInputError(
            f"the files of Skill {_name(record)} are in ConfigMap {source.name}, which PATH does not have.",
            fix="Put its manifest beside the Skill, and give the folder.",
        )
    try:
        files = unpack(pinned_files(body, place, source))
        pins = read_pins(files, manager=spec.node_manager, declared=record.declared)
    except (InvalidInputError, IntegrityError) as error:
        failure = Failure(AcceptedReason.INVALID_SOURCE, error.message, error.fix)
        return replace(record, source_failure=failure)
    return replace(record, source_findings=source_findings(files, spec.invocation), pins=pins)


def _meet(namespace: str | None, other: str | None) -> bool:
    return not namespace or not other or namespace == other


def _policy(body: dict[str, Any]) -> PolicyRecord:
    """Project a policy: a namespaced one selects nothing, whatever it says; one of the cluster has none."""
    if body["kind"] == "PackagePolicy":
        return replace(policy_record("PackagePolicy", body), selector={})
    meta = {key: value for key, value in body["metadata"].items() if key != "namespace"}
    return policy_record("ClusterPackagePolicy", {**body, "metadata": meta})


def _asks_only_for(labels: Mapping[str, str], selector: Mapping[str, Any]) -> bool:
    try:
        asked = {*(selector.get("matchLabels") or {})}
        asked |= {rule["key"] for rule in selector.get("matchExpressions") or ()}
    except (KeyError, TypeError, AttributeError):
        return False
    return asked <= labels.keys()


def _say(record: SkillRecord, text: str) -> None:
    typer.echo(one_line(f"Skill {_name(record)}: {text}", _MAX_REMARK), err=True)


def _name(record: SkillRecord) -> str:
    return f"{record.key.namespace}/{record.key.name}".lstrip("/")

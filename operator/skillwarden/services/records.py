"""Projections: what is kept in memory of each watched object, and nothing else of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ..api.v1alpha1 import parse
from ..api.v1alpha1.package_approval import decision_of
from ..api.v1alpha1.policy import ClusterPackagePolicy, PackagePolicy
from ..builders.env import reserved_names
from ..domain.approval_request import ApprovalRequest
from ..domain.assess import Failure
from ..domain.conditions import AcceptedReason
from ..domain.content import digest_of, pack
from ..domain.errors import InvalidInputError, Refusal
from ..domain.finding import Finding
from ..domain.naming import ANNOTATION_REFRESH
from ..domain.package import DeclaredPackage
from ..domain.pins import Pins
from ..domain.policy import Maturity, Policy, PolicyRef
from ..domain.skill import InlineSource, SkillKey, SkillRunSpec, SkillSpec
from ..domain.source_finding import SourceFinding
from ..resolve.intake import parse_python
from ..resolve.intake_npm import parse_node
from ..resolve.lockfiles import read_pins
from .ports import Body, NameFindings, SourceFindings

#: Type and status of each.
Conditions = tuple[tuple[str, str], ...]

#: Of a text that only has to differ.
_MAX_REFRESH = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SkillRecord:
    """A Skill without the bytes of its files.

    Attributes
    ----------
    key, generation, resource_version
        Of the object.
    packed_status
        Its status as JSON: there are thousands, and as dicts they would be most of what the operator holds.
    outcome, observed_generation, conditions
        Of the status: its verdict and the reason of Ready; the generation that it is about; each condition's
        type and status.
    spec
        ``None`` where it cannot be read; its inline files are left out, their digest stays.
    spec_failure, source_failure
        Why it or its source cannot be used.
    content_digest
        Of the inline files, or the one that the ConfigMap is pinned to.
    declared, refusals, name_findings
        What intake and the names alone say.
    source_findings
        What was found in the inline files; ``None``: nobody looked.
    pins
        What the lockfile among the inline files pins.
    refresh
        What whoever wants its lock made anew wrote into the annotation for it.
    """

    key: SkillKey
    generation: int = 0
    resource_version: str = ""
    packed_status: bytes = b"{}"
    outcome: tuple[str, str] = ("", "")
    observed_generation: int | None = None
    conditions: Conditions = ()
    spec: SkillSpec | None = None
    spec_failure: Failure | None = None
    source_failure: Failure | None = None
    content_digest: str | None = None
    declared: tuple[DeclaredPackage, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    name_findings: tuple[Finding, ...] = ()
    source_findings: tuple[SourceFinding, ...] | None = None
    pins: Pins | None = None
    refresh: str = ""

    @property
    def status(self) -> Mapping[str, Any]:
        """Of the object; read anew each time."""
        return unpack_status(self.packed_status)

    def with_status(self, body: Body) -> SkillRecord:
        """Return the record with the status of an object, such as the API server's answer to a write."""
        return replace(
            self,
            packed_status=pack_status(body),
            outcome=outcome_of(body),
            observed_generation=(body.get("status") or {}).get("observedGeneration"),
            conditions=conditions_of(body),
            resource_version=_meta(body).get("resourceVersion", ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunRecord:
    """A SkillRun without its input.

    Attributes
    ----------
    key, generation, resource_version
        Of the object.
    packed_status
        Its status as JSON: there are thousands, and as dicts they would be most of what the operator holds.
    spec
        With ``input`` left out; ``None`` where it cannot be read.
    input_digest
        Of the input, or ``None``.
    spec_failure
        Why it cannot be used.
    """

    key: SkillKey
    generation: int = 0
    resource_version: str = ""
    packed_status: bytes = b"{}"
    spec: SkillRunSpec | None = None
    input_digest: str | None = None
    spec_failure: Failure | None = None

    @property
    def status(self) -> Mapping[str, Any]:
        """Of the object; read anew each time."""
        return unpack_status(self.packed_status)

    def with_status(self, body: Body) -> RunRecord:
        """Return the record with what the API server answered to a status write."""
        return replace(
            self,
            packed_status=pack_status(body),
            resource_version=body["metadata"]["resourceVersion"],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PolicyRecord:
    """A policy of either kind.

    Attributes
    ----------
    ref, generation, resource_version, uid, status
        Of the object.
    policy
        ``None`` where it cannot be read: then ``error`` says why, and where it applies nothing is allowed.
    selector
        For a ClusterPackagePolicy the label selector over namespaces.
    """

    ref: PolicyRef
    generation: int = 0
    resource_version: str = ""
    uid: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)
    policy: Policy | None = None
    error: str = ""
    selector: Mapping[str, Any] = field(default_factory=dict)

    def with_status(self, body: Body) -> PolicyRecord:
        """Return the record with what the API server answered to a status write."""
        return replace(self, **_answered(body))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AgentRecord:
    """An Agent and its maturity.

    Attributes
    ----------
    namespace, name, generation, resource_version, uid, status
        Of the object.
    maturity
        Student where the object cannot be read (REFERENCE: unknown is Student); ``error`` says why then.
    """

    namespace: str
    name: str
    maturity: Maturity
    error: str = ""
    generation: int = 0
    resource_version: str = ""
    uid: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)

    def with_status(self, body: Body) -> AgentRecord:
        """Return the record with what the API server answered to a status write."""
        return replace(self, **_answered(body))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ApprovalRecord:
    """A PackageApproval.

    Attributes
    ----------
    key, generation, resource_version, status, created_at
        Of the object.
    request
        ``None`` where it, or its decision, cannot be read; ``error`` says why then, and it counts for
        nothing.
    """

    key: SkillKey
    generation: int = 0
    resource_version: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    request: ApprovalRequest | None = None
    error: str = ""

    def with_status(self, body: Body) -> ApprovalRecord:
        """Return the record with what the API server answered to a status write.

        The request stays as it was observed: a decision that is news must come by the watch.
        """
        return replace(self, **_answered(body))


def _answered(body: Body) -> dict[str, Any]:
    return {"status": body.get("status") or {}, "resource_version": body["metadata"]["resourceVersion"]}


def _meta(body: Body) -> Body:
    metadata: Body = body.get("metadata") or {}
    return metadata


def key_of(body: Body) -> SkillKey:
    """Return namespace, name and uid of an object."""
    meta = _meta(body)
    return SkillKey(meta.get("namespace", ""), meta["name"], meta.get("uid", ""))


def skill_record(
    body: Body, *, name_findings: NameFindings, source_findings: SourceFindings | None = None
) -> SkillRecord:
    """Project a Skill; never raises on what a user wrote."""
    meta = _meta(body)
    record = SkillRecord(key=key_of(body), generation=meta.get("generation", 0)).with_status(body)
    try:
        model = parse("Skill", body)
        spec = model.to_domain()
    except InvalidInputError as error:
        return replace(record, spec_failure=invalid(error))
    forbidden = reserved_names(spec.sandbox.env)
    if forbidden:
        text = f"spec.sandbox.env sets {', '.join(forbidden)}, which the sandbox sets itself."
        failure = Failure(AcceptedReason.INVALID_SPEC, text, "Remove it.")
        return replace(record, spec=_without_files(spec), spec_failure=failure)
    intake = parse_python(spec.python_requirements) + parse_node(spec.node_requirements)
    content_digest, source_failure = _content(spec)
    pins = None
    if isinstance(spec.source, InlineSource) and source_failure is None:
        try:
            pins = read_pins(spec.source.files, manager=spec.node_manager, declared=intake.declared)
        except InvalidInputError as error:
            source_failure = Failure(AcceptedReason.INVALID_SOURCE, error.message, error.fix)
    return replace(
        record,
        spec=_without_files(spec),
        content_digest=content_digest,
        source_findings=(
            source_findings(spec.source.files, spec.invocation)
            if source_findings is not None and isinstance(spec.source, InlineSource)
            else None
        ),
        source_failure=source_failure,
        declared=intake.declared,
        pins=pins,
        refusals=intake.refusals,
        name_findings=name_findings(intake.declared) if not intake.refusals else (),
        refresh=str((meta.get("annotations") or {}).get(ANNOTATION_REFRESH, ""))[:_MAX_REFRESH],
    )


def _content(spec: SkillSpec) -> tuple[str | None, Failure | None]:
    if not isinstance(spec.source, InlineSource):
        return f"sha256:{spec.source.sha256}", None
    try:
        return digest_of(pack(spec.source.files)), None
    except InvalidInputError as error:
        return None, Failure(AcceptedReason.INVALID_SOURCE, f"spec.source.files: {error.message}", error.fix)


def _without_files(spec: SkillSpec) -> SkillSpec:
    return replace(spec, source=InlineSource(())) if isinstance(spec.source, InlineSource) else spec


def run_record(body: Body) -> RunRecord:
    """Project a SkillRun; never raises on what a user wrote."""
    meta = _meta(body)
    record = RunRecord(
        key=key_of(body),
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        packed_status=pack_status(body),
    )
    try:
        model = parse("SkillRun", body)
        spec = model.to_domain()
    except InvalidInputError as error:
        return replace(record, spec_failure=invalid(error))
    digest = digest_of(spec.input.encode()) if spec.input is not None else None
    return replace(record, spec=replace(spec, input=None), input_digest=digest)


def policy_record(kind: str, body: Body) -> PolicyRecord:
    """Project a PackagePolicy or ClusterPackagePolicy; never raises on what a user wrote."""
    meta = _meta(body)
    spec = body.get("spec") or {}
    record = PolicyRecord(
        ref=PolicyRef(meta["name"], meta.get("namespace")),
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        uid=meta.get("uid", ""),
        status=body.get("status") or {},
        selector=spec.get("namespaceSelector") or {} if isinstance(spec, dict) else {},
    )
    try:
        model = parse(kind, body)
        assert isinstance(model, PackagePolicy | ClusterPackagePolicy)  # noqa: S101 - narrows
        return replace(record, policy=model.to_domain())
    except InvalidInputError as error:
        return replace(record, error=str(error))


def agent_record(body: Body) -> AgentRecord:
    """Project an Agent; never raises on what a user wrote."""
    key, meta = key_of(body), _meta(body)
    record = AgentRecord(
        namespace=key.namespace,
        name=key.name,
        maturity=Maturity.STUDENT,
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        uid=key.uid,
        status=body.get("status") or {},
    )
    try:
        return replace(record, maturity=parse("Agent", body).to_domain())
    except InvalidInputError as error:
        return replace(record, error=str(error))


def pack_status(body: Body) -> bytes:
    """Return an object's status as JSON."""
    return json.dumps(body.get("status") or {}, separators=(",", ":")).encode()


def outcome_of(body: Body) -> tuple[str, str]:
    """Return the verdict and the reason of Ready that a Skill's status names."""
    status = body.get("status") or {}
    reasons = [item.get("reason") for item in status.get("conditions") or () if item.get("type") == "Ready"]
    return str(status.get("verdict") or ""), str(reasons[0] or "") if reasons else ""


def conditions_of(body: Body) -> Conditions:
    """Return type and status of each condition of an object; equal ones are one object."""
    found = (body.get("status") or {}).get("conditions") or ()
    return _one_object(tuple((str(item.get("type")), str(item.get("status"))) for item in found))


@functools.lru_cache(maxsize=1024)
def _one_object(conditions: Conditions) -> Conditions:
    return conditions


def unpack_status(packed: bytes) -> Mapping[str, Any]:
    """Return what ``pack_status`` packed."""
    status: Mapping[str, Any] = json.loads(packed)
    return status


def invalid(error: InvalidInputError) -> Failure:
    """Return an error of intake as the failure of a stage."""
    return Failure(AcceptedReason.INVALID_SPEC, error.message, error.fix)


def approval_record(body: Body) -> ApprovalRecord:
    """Project a PackageApproval; never raises on what stands in it."""
    meta, status = _meta(body), body.get("status") or {}
    record = ApprovalRecord(
        key=key_of(body),
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        status=status,
        created_at=datetime.fromisoformat(meta["creationTimestamp"])
        if meta.get("creationTimestamp")
        else None,
    )
    try:
        request = parse("PackageApproval", body).to_domain()
        decision = decision_of(status, asked=request.min_maturity)
    except InvalidInputError as error:
        return replace(record, error=str(error))
    return replace(record, request=replace(request, decision=decision, name=meta["name"]))

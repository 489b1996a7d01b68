"""A skill with its closure as a CycloneDX 1.6 document: what is in it, by hash, and how it was judged."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.impact_analysis import ImpactAnalysisAffectedStatus
from cyclonedx.model.license import LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.model.vulnerability import (
    BomTarget,
    BomTargetVersionRange,
    Vulnerability,
    VulnerabilityRating,
    VulnerabilityReference,
    VulnerabilitySeverity,
    VulnerabilitySource,
)
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from ... import __version__
from ...domain.finding import FACTS, Finding, FindingKind, Severity
from ...domain.licence import canonical
from ...domain.lock import Lock, LockedPackage
from ...domain.package import PURL_TYPES

PREFIX = "skillwarden:"
_ROOT = "skill"
_ADVISED = frozenset({FindingKind.VULNERABILITY, FindingKind.MALICIOUS})
_OSV = VulnerabilitySource(name="OSV")
_RATINGS = {
    Severity.CRITICAL: VulnerabilitySeverity.CRITICAL,
    Severity.HIGH: VulnerabilitySeverity.HIGH,
    Severity.MEDIUM: VulnerabilitySeverity.MEDIUM,
    Severity.LOW: VulnerabilitySeverity.LOW,
    Severity.UNKNOWN: VulnerabilitySeverity.UNKNOWN,
}
_ALGORITHMS = {"sha256": HashAlgorithm.SHA_256, "sha512": HashAlgorithm.SHA_512}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """The skill that a document is about.

    Attributes
    ----------
    name, namespace
        Of the Skill; no namespace for one that is in no cluster.
    content_digest
        Of its own files.
    properties
        How it was judged: names without our prefix, and values; a name may stand there more than once.
    """

    name: str
    namespace: str = ""
    content_digest: str = ""
    properties: tuple[tuple[str, str], ...] = ()


def render_sbom(skill: Described, lock: Lock, findings: Sequence[Finding], *, at: datetime) -> str:
    """Return the document as JSON; the same for the same arguments.

    Parameters
    ----------
    skill, lock
        What it describes.
    findings
        What scanners found, merged.
    at
        When it is made (UTC).
    """
    by_package = {
        id_: tuple(found)
        for id_, found in groupby(
            sorted(findings, key=lambda item: item.package), key=lambda item: item.package
        )
    }
    root = _root(skill)
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, _identity(skill, lock, at)),
        metadata=BomMetaData(
            timestamp=at,
            component=root,
            tools=ToolRepository(
                components=[
                    Component(type=ComponentType.APPLICATION, name="skillwarden", version=__version__)
                ]
            ),
        ),
        components=[_component(package, by_package.get(package.id, ())) for package in lock.packages],
        dependencies=_dependencies(lock),
        vulnerabilities=_vulnerabilities(lock, findings),
    )
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _identity(skill: Described, lock: Lock, at: datetime) -> str:
    parts = (skill.namespace, skill.name, skill.content_digest, lock.digest, at.isoformat())
    return "urn:skillwarden:sbom:" + ":".join(
        (*parts, *(f"{name}={text}" for name, text in skill.properties))
    )


def _root(skill: Described) -> Component:
    algorithm, _, digest = skill.content_digest.partition(":")
    return Component(
        type=ComponentType.APPLICATION,
        bom_ref=_ROOT,
        group=skill.namespace or None,
        name=skill.name,
        version=skill.content_digest or None,
        hashes=[HashType(alg=_ALGORITHMS[algorithm], content=digest)] if algorithm in _ALGORITHMS else None,
        properties=_properties(skill.properties),
    )


def _component(package: LockedPackage, findings: Sequence[Finding]) -> Component:
    artefact = package.artefact
    expressions = {canonical(item.id) for item in findings if item.kind is FindingKind.LICENCE} - {None}
    scope, _, name = package.id.name.rpartition("/")
    facts = [("declared", "true")] if package.direct else []
    facts += [("artefact", artefact.filename)]
    facts += [("bundled", "true")] if package.bundled else []
    facts += [("location", place) for place in package.locations]
    facts += [
        ("finding", f"{item.kind.value} {item.id}")
        for item in findings
        if item.kind not in _ADVISED and item.kind not in FACTS
    ]
    return Component(
        type=ComponentType.LIBRARY,
        bom_ref=package.id.purl,
        group=scope or None,
        name=name,
        version=package.id.version,
        purl=PackageURL(
            type=PURL_TYPES[package.id.ecosystem],
            namespace=scope or None,
            name=name,
            version=package.id.version,
        ),
        # A bundled package has no file of its own: the hash is of the package that it lies in.
        hashes=None
        if package.bundled
        else [HashType(alg=_ALGORITHMS[artefact.algorithm], content=artefact.hex)],
        licenses=[
            LicenseExpression(next(iter(expressions)) or "", acknowledgement=LicenseAcknowledgement.DECLARED)
        ]
        if len(expressions) == 1
        else None,
        properties=_properties(facts),
    )


def _properties(pairs: Iterable[tuple[str, str]]) -> list[Property]:
    return [Property(name=PREFIX + name, value=text) for name, text in pairs]


def _dependencies(lock: Lock) -> list[Dependency]:
    needs: dict[str, set[str]] = {package.id.purl: set() for package in lock.packages}
    needs[_ROOT] = {package.id.purl for package in lock.packages if package.direct}
    for package in lock.packages:
        for parent in package.parents:
            needs[parent.purl].add(package.id.purl)
    return [
        Dependency(ref=BomRef(ref), dependencies=[Dependency(ref=BomRef(item)) for item in sorted(found)])
        for ref, found in sorted(needs.items())
    ]


def _vulnerabilities(lock: Lock, findings: Sequence[Finding]) -> list[Vulnerability]:
    known = {package.id for package in lock.packages}
    advised = [item for item in findings if item.kind in _ADVISED and item.package in known]
    return [
        Vulnerability(
            bom_ref=f"{item.id} {item.package.purl}",
            id=item.id,
            source=_OSV,
            references=[VulnerabilityReference(id=alias, source=_OSV) for alias in item.aliases],
            ratings=[VulnerabilityRating(severity=_RATINGS[item.severity])],
            description=item.summary or None,
            recommendation=f"Use {' or '.join(item.fixed_versions)}." if item.fixed_versions else None,
            affects=[
                BomTarget(
                    ref=item.package.purl,
                    versions=[
                        BomTargetVersionRange(
                            version=item.package.version, status=ImpactAnalysisAffectedStatus.AFFECTED
                        )
                    ],
                )
            ],
            properties=_properties([("kind", item.kind.value)]),
        )
        for item in sorted(advised)
    ]

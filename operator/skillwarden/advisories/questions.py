"""What auditors ask: OSV's queries and npm's bulk query, read without trust."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from skillwarden.domain.package import Ecosystem, PackageId

#: OSV's own bound on a batch.
MAX_QUERIES = 1000
_PURL = re.compile(r"pkg:(pypi|npm)/([^?#]+)")
_PURL_TYPES = {"pypi": Ecosystem.PYPI, "npm": Ecosystem.NPM}


def read_bulk(body: Any) -> set[PackageId]:
    """Return the packages of an npm bulk query: ``{name: [version, ...]}``.

    Raises
    ------
    ValueError
        Where it is not one.
    """
    if not isinstance(body, dict):
        raise ValueError("a bulk query is an object of names and lists of versions")
    found: set[PackageId] = set()
    for name, versions in body.items():
        if not isinstance(versions, list) or not all(isinstance(version, str) for version in versions):
            raise ValueError(f"{name[:80]!r} has no list of versions")
        found |= {PackageId.of(Ecosystem.NPM, name, version) for version in versions}
    return found


def read_query(body: Any) -> PackageId:
    """Return the package that a query is about, named by name and ecosystem or by purl.

    Raises
    ------
    ValueError
        Where it is not a query for one version of one package that we judge.
    """
    match body:
        case {"package": {"purl": str(purl)}}:
            return _read_purl(purl, body.get("version"))
        case {"package": {"name": str(name), "ecosystem": str(ecosystem)}, "version": str(version)}:
            return PackageId.of(Ecosystem(ecosystem), name, version)
        case _:
            raise ValueError("a query needs package.name, package.ecosystem and version, or package.purl")


def _read_purl(purl: str, version: Any) -> PackageId:
    found = _PURL.fullmatch(purl)
    if found is None:
        raise ValueError(f"{purl[:80]!r} is no purl of pkg:pypi or pkg:npm without qualifiers")
    # An npm scope's own @ is written %40: what stands after a plain one is the version.
    name, at, own = (unquote(part) for part in found[2].partition("@"))
    if at and version is not None:
        raise ValueError(f"{purl[:80]!r} has a version, and the query has one, too")
    chosen = own if at else version
    if not isinstance(chosen, str) or not chosen:
        raise ValueError(f"the query about {purl[:80]!r} has no version")
    return PackageId.of(_PURL_TYPES[found[1]], name, chosen)


def read_batch(body: Any) -> list[PackageId]:
    """Return the packages of a batch, in its order.

    Raises
    ------
    ValueError
        Where it is not a batch, has too many queries, or one of them cannot be answered: a batch is answered
        whole or not at all.
    """
    match body:
        case {"queries": list(queries)} if len(queries) <= MAX_QUERIES:
            return [_read_numbered(number, query) for number, query in enumerate(queries)]
        case {"queries": list(queries)}:
            raise ValueError(f"a batch of {len(queries)} queries; at most {MAX_QUERIES} are answered")
        case _:
            raise ValueError("a batch is an object with a list of queries")


def _read_numbered(number: int, query: Any) -> PackageId:
    try:
        return read_query(query)
    except ValueError as error:
        raise ValueError(f"queries[{number}]: {error}") from error

"""``skillwarden ban`` and ``unban``: a package that nobody may use, in a policy that exists."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..api.v1alpha1 import parse
from ..domain.errors import InvalidInputError
from ..domain.package import Ecosystem, normalise_name
from ..kube.errors import Conflict, Forbidden, Invalid
from ..kube.gateway import Gateway
from ..kube.kinds import Kind
from .cluster import ContextOption, KubeconfigOption, NamespaceOption, connected, namespace_of
from .ending import run_command

EcosystemArgument = Annotated[str, typer.Argument(metavar="ECOSYSTEM", help="PyPI or npm.")]
PackageArgument = Annotated[
    str, typer.Argument(metavar="PACKAGE", help="Its name; * stands for any run of characters.")
]
RangeArgument = Annotated[
    str, typer.Argument(metavar="RANGE", help="Versions, such as '<2.3' or '^1'; without it: every version.")
]
PolicyOption = Annotated[
    str | None, typer.Option("--policy", metavar="NAME", help="The PackagePolicy that holds the ban.")
]
ClusterPolicyOption = Annotated[
    str | None,
    typer.Option("--cluster-policy", metavar="NAME", help="The ClusterPackagePolicy that holds the ban."),
]


def ban(  # noqa: PLR0917 - typer names every option by its parameter
    ecosystem: EcosystemArgument,
    package: PackageArgument,
    versions: RangeArgument = "*",
    reason: Annotated[
        str, typer.Option("--reason", help="Why, and what to use instead; authors read it.")
    ] = "",
    policy: PolicyOption = None,
    cluster_policy: ClusterPolicyOption = None,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Ban a package, over every rule and approval: what runs with it is removed within seconds.

    The ban is added to a policy that exists; without --policy or --cluster-policy, to the
    ClusterPackagePolicy baseline.

    Exit code 0, also where it was banned already. 1: refused, or no such policy. 64: wrong use.
    """
    entry = _entry(ecosystem, package, versions)

    def change(bans: list[dict[str, Any]]) -> str:
        for item in bans:
            if _same(item, entry):
                return f"{entry['names'][0]} {versions} is banned there already"
        bans.append({**entry, **({"message": reason} if reason else {})})
        return f"{entry['names'][0]} {versions} is banned"

    _change("ban", change, policy, cluster_policy, namespace, kubeconfig, context)


def unban(  # noqa: PLR0917 - as above
    ecosystem: EcosystemArgument,
    package: PackageArgument,
    versions: RangeArgument = "*",
    policy: PolicyOption = None,
    cluster_policy: ClusterPolicyOption = None,
    namespace: NamespaceOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Take a ban back, as it was written: the same name and range. What was approved before counts again.

    Exit code 0. 1: refused, no such policy, or no such ban. 64: wrong use.
    """
    entry = _entry(ecosystem, package, versions)

    def change(bans: list[dict[str, Any]]) -> str:
        for index, item in enumerate(bans):
            if item.get("ecosystem") != entry["ecosystem"] or item.get("versions", "*") != versions:
                continue
            names = [name for name in item["names"] if _normal(entry, name) != entry["names"][0]]
            if len(names) == len(item["names"]):
                continue
            bans[index : index + 1] = [{**item, "names": names}] if names else []
            return f"{entry['names'][0]} {versions} is not banned there any more"
        raise InvalidInputError(
            f"the policy holds no ban of {entry['names'][0]} {versions}.",
            fix="Write name and range as the ban does; kubectl get the policy to see it.",
        )

    _change("unban", change, policy, cluster_policy, namespace, kubeconfig, context)


def _entry(ecosystem: str, package: str, versions: str) -> dict[str, Any]:
    known = {item.value.lower(): item for item in Ecosystem}
    found = known.get(ecosystem.lower())
    if found is None:
        raise typer.BadParameter(f"{ecosystem} is not PyPI or npm.")
    return {"ecosystem": found.value, "names": [normalise_name(found, package)], "versions": versions}


def _normal(entry: dict[str, Any], name: str) -> str:
    return normalise_name(Ecosystem(entry["ecosystem"]), name)


def _same(item: dict[str, Any], entry: dict[str, Any]) -> bool:
    names = {_normal(entry, name) for name in item.get("names", ())}
    return (
        item.get("ecosystem") == entry["ecosystem"]
        and item.get("versions", "*") == entry["versions"]
        and entry["names"][0] in names
    )


def _change(  # noqa: PLR0917 - what two commands share
    command: str, change: Any, policy: Any, cluster_policy: Any, namespace: Any, kubeconfig: Any, context: Any
) -> None:
    if policy and cluster_policy:
        raise typer.BadParameter("give --policy or --cluster-policy, not both.")

    async def work() -> int:
        async with connected(kubeconfig, context) as gateway:
            place = namespace_of(namespace, kubeconfig, context) if policy else None
            kind = Kind.PACKAGE_POLICY if policy else Kind.CLUSTER_PACKAGE_POLICY
            name = policy or cluster_policy or "baseline"
            said = await _rewrite(gateway, kind, place, name, change)
        typer.echo(f"{kind.kind} {name}: {said}.")
        return 0

    run_command(command, work())


def _read(kind: Kind, body: dict[str, Any]) -> None:
    """Read a policy to its end, so that what cannot be understood is an error here."""
    match kind:
        case Kind.PACKAGE_POLICY:
            parse("PackagePolicy", body).to_domain()
        case _:
            parse("ClusterPackagePolicy", body).to_domain()


async def _rewrite(gateway: Gateway, kind: Kind, namespace: str | None, name: str, change: Any) -> str:
    body = await gateway.get(kind, name=name, namespace=namespace)
    if body is None:
        where = f" in namespace {namespace}" if namespace else ""
        raise InvalidInputError(
            f"there is no {kind.kind} {name}{where}.", fix=f"See: kubectl get {kind.plural} -A."
        )
    bans = [dict(item) for item in body["spec"].get("bans") or ()]
    before = [dict(item) for item in bans]
    said: str = change(bans)
    if bans == before:
        return said
    wanted = {**body, "spec": {**body["spec"], "bans": bans}}
    _read(kind, wanted)  # a range that cannot be read is said here, not by the operator's condition
    patch = {"metadata": {"resourceVersion": body["metadata"]["resourceVersion"]}, "spec": {"bans": bans}}
    try:
        await gateway.merge(kind, patch, name=name, namespace=namespace)
    except Conflict as error:
        raise InvalidInputError(
            f"{kind.kind} {name} changed just now; nothing was written.", fix="Repeat the command."
        ) from error
    except (Forbidden, Invalid) as error:
        raise InvalidInputError(f"the API server refuses the change: {error.message}") from error
    return said

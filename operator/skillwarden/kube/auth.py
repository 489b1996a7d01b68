"""Where the API server is and who we are there: in-cluster, or from a kubeconfig."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config

from ..domain.errors import InvalidInputError, UnavailableError

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: The kubelet replaces a projected token at 80 % of its life, which is ten minutes at least.
_TOKEN_SECONDS = 60.0
#: What reading a file that is no kubeconfig may raise; the client does not look at what it reads.
_UNREADABLE = (ConfigException, OSError, yaml.YAMLError, AttributeError, TypeError, KeyError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionDetails:
    """An API server and credentials for it, for whoever has a client of their own (kopf)."""

    server: str
    ca_path: str | None = None
    insecure: bool = False
    scheme: str | None = None
    token: str | None = field(default=None, repr=False)
    certificate_path: str | None = None
    private_key_path: str | None = None
    proxy_url: str | None = None

    def as_arguments(self) -> dict[str, Any]:
        """Return what is set, under the names that kopf's ``ConnectionInfo`` has too."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value}


class Credentials(Protocol):
    """A client configuration that can be renewed in place."""

    configuration: Any

    async def renew(self) -> None:
        """Read the credentials, at first and whenever the server refused them."""
        ...


class KubeconfigCredentials:
    """From kubeconfig files, merged as kubectl does; exec plugins are run by the Kubernetes client."""

    def __init__(self, paths: Sequence[Path], *, context: str | None) -> None:
        self.configuration = _blank()
        self._paths = paths
        self._context = context

    async def renew(self) -> None:
        """Read the files.

        Raises
        ------
        InvalidInputError
            Where all are absent, one is no kubeconfig, or they lack the context.
        """
        fresh = _blank()
        named = os.pathsep.join(map(str, self._paths))
        if not any(path.exists() for path in self._paths):
            raise _nowhere(f"there is no file {named}")
        try:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=named,
                context=self._context or _current_context(self._paths),
                client_configuration=fresh,
                persist_config=False,
            )
        except _UNREADABLE as error:
            raise _nowhere(f"{named} cannot be used: {error}") from error
        self.configuration.__dict__.update(fresh.__dict__)


class InClusterCredentials:
    """The Pod's ServiceAccount. Its token file is read again every minute, since the kubelet rotates it."""

    def __init__(self, folder: Path = _SERVICE_ACCOUNT) -> None:
        self.configuration = _blank()
        self._folder = folder
        self._read_at = float("-inf")

    async def renew(self) -> None:
        """Read the token.

        Raises
        ------
        InvalidInputError
            Where this is no Pod.
        UnavailableError
            Where the token cannot be read.
        """
        host, port = os.environ.get(IN_CLUSTER), os.environ.get("KUBERNETES_SERVICE_PORT")
        if not host or not port:
            raise InvalidInputError(
                f"there is no API server to talk to: {IN_CLUSTER} and KUBERNETES_SERVICE_PORT are not set.",
                fix="Run in a Pod, or give --kubeconfig.",
            )
        self.configuration.host = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        self.configuration.ssl_ca_cert = str(self._folder / "ca.crt")
        self.configuration.refresh_api_key_hook = self._refresh
        await self._read_token()

    async def _refresh(self, _: Any) -> None:
        if time.monotonic() - self._read_at > _TOKEN_SECONDS:
            await self._read_token()

    async def _read_token(self) -> None:
        try:
            token = (await asyncio.to_thread((self._folder / "token").read_text)).strip()
        except OSError as error:
            raise UnavailableError(
                f"the ServiceAccount's token cannot be read: {error.strerror}.",
                fix="The operator's Pod needs automountServiceAccountToken: true.",
            ) from error
        self.configuration.api_key["BearerToken"] = f"Bearer {token}"
        self._read_at = time.monotonic()


def _blank() -> Any:
    # Calling the class copies a process-wide default where somebody set one; type.__call__ goes round that.
    return type.__call__(Configuration)


def _nowhere(why: str) -> InvalidInputError:
    return InvalidInputError(
        f"there is no API server to talk to: {why}.",
        fix="Give --kubeconfig, set KUBECONFIG, or start one with `skillwarden local up`.",
    )


def kubeconfigs(given: Path | None) -> tuple[Path, ...]:
    """Return the one given, or what kubectl would merge: those of ``KUBECONFIG``, or the one at home."""
    if given is not None:
        return (given,)
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)
    return tuple(Path(part) for part in named if part) or (Path.home() / ".kube" / "config",)


def _current_context(paths: Sequence[Path]) -> str | None:
    """Return the context that several files set: the first counts for kubectl, the last for the client."""
    if len(paths) == 1:
        return None  # the client knows; and a pipe can be read but once
    return _first_context(_read(paths))


def _read(paths: Sequence[Path]) -> list[Any]:
    return [yaml.safe_load(path.read_bytes()) for path in paths if path.is_file()]


def _first_context(bodies: Sequence[Any]) -> str | None:
    return next((body["current-context"] for body in bodies if body.get("current-context")), None)


def default_namespace(*, kubeconfig: Path | None, context: str | None) -> str:
    """Return the namespace that a command means where none is given: the context's, or ``default``.

    A kubeconfig that cannot be read has none; connecting with it says what is wrong.
    """
    try:
        bodies = _read(kubeconfigs(kubeconfig))
        wanted = context or _first_context(bodies)
        named = (item for body in bodies for item in body.get("contexts") or () if item["name"] == wanted)
        return str(next(named)["context"].get("namespace") or "default")
    except (*_UNREADABLE, StopIteration):
        return "default"


async def load(
    *, kubeconfig: Path | None, context: str | None, in_cluster: bool | None = None
) -> Credentials:
    """Return credentials that were read once.

    Parameters
    ----------
    kubeconfig, context
        ``None`` for what kubectl would use.
    in_cluster
        Whether to use the Pod's ServiceAccount; ``None``: where this is a Pod and neither of the others
        is given.

    Raises
    ------
    InvalidInputError
        Where there is nothing to connect with.
    UnavailableError
        Where the ServiceAccount's token cannot be read.
    """
    if in_cluster is None:
        in_cluster = kubeconfig is None and context is None and bool(os.environ.get(IN_CLUSTER))
    found: Credentials
    if in_cluster:
        found = InClusterCredentials()
    else:
        found = KubeconfigCredentials(kubeconfigs(kubeconfig), context=context)
    await found.renew()
    return found


async def details(credentials: Credentials) -> ConnectionDetails:
    """Return what credentials amount to now, read anew: whoever asks had theirs refused, or has none.

    Raises
    ------
    InvalidInputError, UnavailableError
        As ``load``.
    """
    await credentials.renew()
    configuration = credentials.configuration
    scheme, _, token = (configuration.api_key.get("BearerToken") or "").partition(" ")
    return ConnectionDetails(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert or None,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token.strip() or None,
        certificate_path=configuration.cert_file or None,
        private_key_path=configuration.key_file or None,
        proxy_url=configuration.proxy or None,
    )

"""Where the API server is and who we are there: in-cluster, or from a kubeconfig."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, list_kube_config_contexts, load_kube_config

from ..domain.errors import InvalidInputError, UnavailableError

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
#: The kubelet replaces a projected token at 80 % of its life, which is ten minutes at least.
_TOKEN_SECONDS = 60.0


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
    """From a kubeconfig file; its exec plugins are run by the Kubernetes client."""

    def __init__(self, path: Path, *, context: str | None) -> None:
        self.configuration = _blank()
        self._path = path
        self._context = context

    async def renew(self) -> None:
        """Read the file.

        Raises
        ------
        InvalidInputError
            Where it is absent or no kubeconfig, or lacks the context.
        """
        fresh = _blank()
        try:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(self._path),
                context=self._context,
                client_configuration=fresh,
                persist_config=False,
            )
        except (ConfigException, OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
            raise InvalidInputError(
                f"there is no API server to talk to: {self._path} cannot be used: {error}.",
                fix="Give --kubeconfig, set KUBECONFIG, or start one with `skillwarden local up`.",
            ) from error
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


def default_kubeconfig() -> Path:
    """Return the kubeconfig that kubectl would use: the first of ``KUBECONFIG``, or the one at home."""
    named = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(named[0]) if named else Path.home() / ".kube" / "config"


def default_namespace(*, kubeconfig: Path | None, context: str | None) -> str:
    """Return the namespace that a command means where none is given: the context's, or ``default``.

    A kubeconfig that cannot be read has none; connecting with it says what is wrong.
    """
    path = kubeconfig or default_kubeconfig()
    if not path.is_file():
        return "default"  # the client would print that it is absent
    try:
        contexts, current = list_kube_config_contexts(config_file=str(path))  # type: ignore[no-untyped-call]
    except (ConfigException, OSError, yaml.YAMLError, TypeError, KeyError, ValueError):
        return "default"
    named = [item for item in contexts if item.get("name") == context] if context else [current]
    found = (named[0].get("context") or {}).get("namespace") if named else None
    return str(found or "default")


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
        found = KubeconfigCredentials(kubeconfig or default_kubeconfig(), context=context)
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

"""Where the API server is and who we are there: in-cluster, or from a kubeconfig."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from ..domain.errors import InvalidInputError

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionDetails:
    """An API server and credentials for it, for whoever has a client of their own (kopf)."""

    server: str
    ca_path: str | None = None
    insecure: bool = False
    token: str | None = field(default=None, repr=False)
    certificate_path: str | None = None
    private_key_path: str | None = None
    proxy_url: str | None = None

    def as_arguments(self) -> dict[str, Any]:
        """Return what is set, under the names that kopf's ``ConnectionInfo`` has too."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in values.items() if value}


async def load(*, kubeconfig: Path | None, context: str | None) -> Configuration:
    """Return a client configuration.

    Parameters
    ----------
    kubeconfig, context
        ``None`` and in a Pod: the Pod's ServiceAccount; else ``$KUBECONFIG`` or the usual file.

    Raises
    ------
    InvalidInputError
        Where there is nothing to connect with.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and context is None and os.environ.get(IN_CLUSTER):
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=str(kubeconfig) if kubeconfig else None,
                context=context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (config.ConfigException, OSError) as error:
        raise InvalidInputError(
            f"there is no API server to talk to: {error}.",
            fix="Give --kubeconfig, set KUBECONFIG, or start one with `skillwarden local up`.",
        ) from error
    return configuration


async def details(configuration: Configuration) -> ConnectionDetails:
    """Return what a configuration amounts to now; an expiring token is read anew by the client's hook."""
    key = await configuration.get_api_key_with_prefix("BearerToken")
    return ConnectionDetails(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        token=key.removeprefix("Bearer ").removeprefix("bearer ").strip() if key else None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
    )

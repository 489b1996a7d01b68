"""The Kubernetes API of the embedded cluster: in memory, one process, over loopback TLS.

It is a double for what operators depend on, not an API server: CEL rules, admission policies,
webhooks and conversion are not evaluated (``docs/local-cluster.md``).
"""

from __future__ import annotations

from skillwarden.localcluster.apiserver.pods import LogSource, LogsUnavailable
from skillwarden.localcluster.apiserver.server import ApiServer, Interceptor, RequestRecord, ThreadedApiServer
from skillwarden.localcluster.apiserver.tls import TlsFiles, make_certificate

__all__ = [
    "ApiServer",
    "Interceptor",
    "LogSource",
    "LogsUnavailable",
    "RequestRecord",
    "ThreadedApiServer",
    "TlsFiles",
    "make_certificate",
]

"""Who we are to the API server: kubeconfigs and the Pod's ServiceAccount."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import kopf
import pytest

from skillwarden.domain.errors import InvalidInputError, UnavailableError
from skillwarden.kube import auth
from skillwarden.kube.gateway import Gateway


@pytest.mark.parametrize(
    "text",
    [None, "", "[", "apiVersion: v1\nkind: Config\n", "just text", "- a\n- list\n"],
    ids=["absent", "empty", "no yaml", "no contexts", "text", "list"],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        await Gateway.connect(kubeconfig=path)
    assert str(path) in caught.value.message
    assert "KUBECONFIG" in caught.value.fix
    assert auth.default_namespace(kubeconfig=path, context=None) == "default"


async def test_a_kubeconfig_that_is_not_there_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    with pytest.raises(InvalidInputError, match=f"there is no file {tmp_path / 'a'}:{tmp_path / 'b'}"):
        await Gateway.connect()
    assert caplog.records == []


SECOND = """
apiVersion: v1
kind: Config
clusters: [{name: c2, cluster: {server: "http://127.0.0.1:2"}}]
users: [{name: u2, user: {token: two}}]
contexts: [{name: y, context: {cluster: c2, user: u2, namespace: other}}]
current-context: y
"""


async def test_several_kubeconfigs_are_merged_as_kubectl_does(
    tmp_path: Path, kubeconfig_at: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier file says counts; what only a later one has is there all the same."""
    first = kubeconfig_at(tmp_path / "first", server="http://127.0.0.1:1", token="one")
    second = tmp_path / "second"
    second.write_text(SECOND)
    users = tmp_path / "users"
    users.write_text("apiVersion: v1\nkind: Config\nusers: []\n")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{users}:{first}:{second}")
    for context, token, namespace in ((None, "one", "team"), ("x", "one", "team"), ("y", "two", "other")):
        async with await Gateway.connect(context=context) as gateway:
            assert (await gateway.connection_details()).token == token
        assert auth.default_namespace(kubeconfig=None, context=context) == namespace


async def test_an_unknown_context_is_refused(tmp_path: Path, kubeconfig_at: Callable[..., Path]) -> None:
    path = kubeconfig_at(tmp_path / "k", server="https://127.0.0.1:1")
    with pytest.raises(InvalidInputError):
        await Gateway.connect(kubeconfig=path, context="nope")


async def test_details_fit_what_kopf_takes(tmp_path: Path, kubeconfig_at: Callable[..., Path]) -> None:
    path = kubeconfig_at(tmp_path / "k", server="http://127.0.0.1:1", token="secret")
    async with await Gateway.connect(kubeconfig=path) as gateway:
        details = await gateway.connection_details()
        assert "secret" not in repr(details)
        info = kopf.ConnectionInfo(**details.as_arguments())
        assert (info.server, info.scheme, info.token) == ("http://127.0.0.1:1", "Bearer", "secret")
        kubeconfig_at(path, server="http://127.0.0.1:1", token="rotated")
        assert (await gateway.connection_details()).token == "rotated"


def test_the_contexts_namespace_is_the_default(
    tmp_path: Path, kubeconfig_at: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kubeconfig_at(tmp_path / "k", server="https://127.0.0.1:1")
    assert auth.default_namespace(kubeconfig=path, context=None) == "team"
    assert auth.default_namespace(kubeconfig=path, context="x") == "team"
    assert auth.default_namespace(kubeconfig=path, context="nope") == "default"
    monkeypatch.setenv("KUBECONFIG", f"{path}:/elsewhere")
    assert auth.default_namespace(kubeconfig=None, context=None) == "team"


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "ca.crt").write_text("")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    return tmp_path


async def test_a_pods_token_is_read_again_when_it_is_old(account: Path) -> None:
    credentials = auth.InClusterCredentials(account)
    await credentials.renew()
    configuration = credentials.configuration
    assert configuration.host == "https://[fd00::1]:443"
    (account / "token").write_text("second")
    assert await configuration.get_api_key_with_prefix("BearerToken") == "Bearer first"
    credentials._read_at -= 61
    assert await configuration.get_api_key_with_prefix("BearerToken") == "Bearer second"


async def test_a_pod_without_a_token_says_so(account: Path) -> None:
    (account / "token").unlink()
    with pytest.raises(UnavailableError, match="token"):
        await auth.InClusterCredentials(account).renew()


async def test_outside_of_a_pod_there_is_no_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidInputError):
        await Gateway.connect(in_cluster=True)

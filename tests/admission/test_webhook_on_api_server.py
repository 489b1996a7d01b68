"""The webhook as a real API server calls it: kubectl prints its words, its silence is in nobody's way."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from make_admission import make_admission

from skillwarden.localcluster.apiserver.tls import make_certificate
from skillwarden.runtime.webhook import Webhook
from skillwarden.services.records import policy_record
from skillwarden.services.store import Store

Body = dict[str, Any]
API = "skillwarden.io/v1alpha1"


def make_policy(**spec: Any) -> Body:
    return {
        "apiVersion": API,
        "kind": "PackagePolicy",
        "metadata": {"name": "rules"},
        "spec": {"unlisted": "Allow", **spec},
    }


class Served:
    """A webhook with one policy, on a loop of its own, as an operator would serve it."""

    def __init__(self, folder: Path, namespace: str) -> None:
        make_certificate(folder)
        self.bundle = base64.b64encode((folder / "tls.crt").read_bytes()).decode()
        body = make_policy(bans=[{"ecosystem": "PyPI", "names": ["evilpkg"], "message": "It steals tokens."}])
        body["metadata"]["namespace"] = namespace
        store = Store(primed=True)
        store.policies.put((namespace, "rules"), policy_record("PackagePolicy", body))
        self.answered: list[tuple[str, str]] = []
        self.hook = Webhook(
            make_admission(store),
            certificates=folder,
            on_answer=lambda kind, _, word: self.answered.append((kind, word)),
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.port = self.run(self.hook.start("127.0.0.1:0"))

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def stop(self) -> None:
        self.run(self.hook.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


def hooks_of(generate: ModuleType, namespace: str) -> Body:
    """The chart's own configuration, called by address: this process has no Service."""
    (body,) = [
        item
        for item in generate.objects(generate.render({}))
        if item["kind"] == "ValidatingWebhookConfiguration"
    ]
    body["metadata"]["name"] = namespace
    for hook in body["webhooks"]:
        chosen = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace]}
        hook["namespaceSelector"] = {"matchExpressions": [chosen]}
    return dict(body)


@pytest.fixture(scope="module")
def served(admin: Any, tmp_path_factory: pytest.TempPathFactory, generate: ModuleType) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("webhook"), admin.namespace)
    body = hooks_of(generate, admin.namespace)
    # Validated as it is first: what the chart makes is what a real API server takes.
    admin.must("create", "--dry-run=server", "-f", "-", body=body, ns=False)
    for hook in body["webhooks"]:
        url = f"https://127.0.0.1:{server.port}/validate"
        hook["clientConfig"] = {"url": url, "caBundle": server.bundle}
    try:
        admin.must("apply", "-f", "-", body=body, ns=False)
        yield server
    finally:
        admin("delete", "validatingwebhookconfiguration", admin.namespace, ns=False)
        server.stop()


def named(make: Any, *packages: str) -> Body:
    body: Body = make.skill("named")
    body["spec"]["packages"] = {"python": list(packages)}
    return body


def test_a_ban_is_refused_at_apply_with_its_reason(admin: Any, make: Any, served: Served) -> None:
    answers: list[Any] = []

    def refused() -> bool:
        answers.append(admin("create", "--dry-run=server", "-f", "-", body=named(make, "evilpkg")))
        return not answers[-1].ok

    make.wait(refused, "the webhook")
    assert "denied the request" in answers[-1].err
    assert "evilpkg (declared) is banned by PackagePolicy" in answers[-1].err
    assert "It steals tokens." in answers[-1].err


def test_a_warning_is_printed_and_the_skill_taken(admin: Any, make: Any, served: Served) -> None:
    answer = admin("create", "--dry-run=server", "-f", "-", body=named(make, "reqeusts"))
    assert answer.ok
    assert "Warning: This skill waits for approval" in answer.err
    assert "resembles the popular package requests" in answer.err


def test_a_policy_that_cannot_be_read_is_warned_of(admin: Any, served: Served) -> None:
    body = make_policy(bans=[{"ecosystem": "PyPI", "names": ["x"], "versions": ">=1,<<2"}])
    answer = admin("create", "--dry-run=server", "-f", "-", body=body)
    assert "cannot be read" in answer.err or not answer.ok


def test_a_webhook_that_is_gone_is_in_nobodys_way(admin: Any, make: Any, served: Served) -> None:
    served.run(served.hook.stop())
    answer = admin("create", "--dry-run=server", "-f", "-", body=named(make, "evilpkg"))
    assert answer.ok, json.dumps(answer.err)

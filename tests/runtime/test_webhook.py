"""The webhook over real HTTPS: reviews, what is none, and certificates that come late and are renewed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from skillwarden.localcluster.apiserver.tls import make_certificate
from skillwarden.runtime.webhook import Webhook, parts_of
from skillwarden.services.admission import Answer

REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {"uid": "u-1", "kind": {"kind": "Skill"}, "object": {"metadata": {"name": "demo"}}},
}


class Answers:
    """Answers what a test wants, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.error: Exception | None = None
        self.noted: list[tuple[str, str]] = []

    async def review(self, kind: str, body: Any, old: Any) -> Answer:
        if self.error is not None:
            raise self.error
        return self.answer

    def note(self, kind: str, seconds: float, word: str) -> None:
        assert seconds >= 0
        self.noted.append((kind, word))


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
async def serve(answers: Answers, folder: Path) -> AsyncIterator[Callable[[], Any]]:
    running: list[Webhook] = []

    async def start() -> str:
        hook = Webhook(
            answers,  # type: ignore[arg-type]
            certificates=folder,
            on_answer=answers.note,
            look_seconds=0.05,
        )
        running.append(hook)
        return f"https://127.0.0.1:{await hook.start('127.0.0.1:0')}/validate"

    yield start
    for hook in running:
        await hook.stop()


async def ask(url: str, folder: Path, *, body: Any = None, data: bytes | None = None) -> tuple[int, Any]:
    trust = ssl.create_default_context(cafile=folder / "tls.crt")
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, data=data, ssl=trust) as response,
    ):
        kind = response.content_type
        return response.status, await response.json() if kind == "application/json" else await response.text()


async def test_a_refusal_carries_its_reason_to_kubectl(serve: Any, answers: Answers, folder: Path) -> None:
    make_certificate(folder)
    url = await serve()
    answers.answer = Answer(refusal="evil is banned. Remove it.")
    status, body = await ask(url, folder, body=REVIEW)
    assert (status, body["kind"], body["apiVersion"]) == (200, "AdmissionReview", "admission.k8s.io/v1")
    assert body["response"] == {
        "uid": "u-1",
        "allowed": False,
        "status": {"code": 403, "reason": "Forbidden", "message": "evil is banned. Remove it."},
    }
    answers.answer = Answer(warnings=("It will wait.",))
    _, body = await ask(url, folder, body=REVIEW)
    assert body["response"] == {"uid": "u-1", "allowed": True, "warnings": ["It will wait."]}
    assert answers.noted == [("Skill", "refused"), ("Skill", "warned")]


async def test_what_is_no_review_is_a_bad_request(serve: Any, answers: Answers, folder: Path) -> None:
    make_certificate(folder)
    url = await serve()
    for data in (b"not json", b"[]", b"{}"):
        status, text = await ask(url, folder, data=data)
        assert status == 400
        assert "not an AdmissionReview" in text
    assert {word for _, word in answers.noted} == {"failed"}


async def test_a_review_that_breaks_is_no_answer(serve: Any, answers: Answers, folder: Path) -> None:
    """The API server then does what failurePolicy says: neither a yes nor a no is made up."""
    make_certificate(folder)
    url = await serve()
    answers.error = RuntimeError("secret detail")
    status, text = await ask(url, folder, body=REVIEW)
    assert status == 500
    assert "secret" not in text
    assert answers.noted == [("Skill", "failed")]


async def test_no_label_holds_what_a_request_calls_its_kind(
    serve: Any, answers: Answers, folder: Path
) -> None:
    make_certificate(folder)
    url = await serve()
    request = {**REVIEW["request"], "kind": {"kind": "Anything"}}  # type: ignore[dict-item]
    await ask(url, folder, body={**REVIEW, "request": request})
    assert answers.noted == [("other", "admitted")]


async def test_a_certificate_that_comes_late_is_taken_up_and_renewed(
    serve: Any, answers: Answers, folder: Path
) -> None:
    url = await serve()
    make_certificate(folder)
    await _until_answered(url, folder)
    first = (folder / "tls.crt").read_bytes()
    make_certificate(folder)
    assert (folder / "tls.crt").read_bytes() != first
    await _until_answered(url, folder)


async def test_a_broken_renewal_leaves_the_old_certificate(
    serve: Any, answers: Answers, folder: Path
) -> None:
    trusted = make_certificate(folder / "old").certificate
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_bytes((folder / "old" / name).read_bytes())
    url = await serve()
    (folder / "tls.key").write_text("half a key")
    looked = asyncio.get_running_loop().time() + 0.3
    while asyncio.get_running_loop().time() < looked:
        status, _ = await ask(url, Path(trusted).parent, body=REVIEW)
        assert status == 200


async def _until_answered(url: str, folder: Path) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                status, _ = await ask(url, folder, body=REVIEW)
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
            else:
                assert status == 200
                return


@pytest.mark.parametrize(
    "review",
    [
        {},
        {"apiVersion": "admission.k8s.io/v1beta1", "request": {}},
        {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "kind": {"kind": "Skill"}}},
        {"apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "kind": "Skill", "object": {}}},
    ],
    ids=["empty", "an older version", "no object", "no kind"],
)
def test_what_is_no_review_is_said_to_be_none(review: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"AdmissionReview|lacks"):
        parts_of(review)


def test_a_generated_name_and_the_namespace_of_the_request_are_taken() -> None:
    body = {"metadata": {"generateName": "demo-"}, "spec": {}}
    request = {"uid": "1", "kind": {"kind": "Skill"}, "namespace": "team", "object": body, "oldObject": None}
    uid, kind, found, old = parts_of({"apiVersion": "admission.k8s.io/v1", "request": request})
    assert (uid, kind, old) == ("1", "Skill", None)
    assert found["metadata"] == {"generateName": "demo-", "name": "demo-", "namespace": "team"}

"""Admission reviews over HTTPS, fifty at a time, against a thousand rules: what `kubectl apply` waits for."""

from __future__ import annotations

import asyncio
import multiprocessing
import ssl
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
from make_admission import make_admission

from skillwarden.domain.package import Ecosystem
from skillwarden.localcluster.apiserver.tls import make_certificate
from skillwarden.runtime.webhook import Webhook
from skillwarden.scan.toplist import top_names
from skillwarden.services.admission import Admission
from skillwarden.services.records import agent_record, policy_record
from skillwarden.services.store import Store

from .measure import Measurement, percentile

API = "skillwarden.io/v1alpha1"
CONCURRENT, REQUESTS, PACKAGES, UNSEEN, POLICIES, RULES, BANS = 50, 3_000, 20, 5, 4, 1_000, 100
WARM_UP = 200


async def measure() -> list[Measurement]:
    """Measure the decision, and the whole request as a client in a process of its own sees it."""
    decisions: list[float] = []
    words: set[str] = set()

    def note(_: str, seconds: float, word: str) -> None:
        decisions.append(1e3 * seconds)
        words.add(word)

    with tempfile.TemporaryDirectory() as folder:
        make_certificate(Path(folder))
        hook = Webhook(make_answerer(), certificates=Path(folder), on_answer=note)
        url = f"https://127.0.0.1:{await hook.start('127.0.0.1:0')}/validate"
        try:
            whole = await _load(url, Path(folder) / "tls.crt")
        finally:
            await hook.stop()
    if words != {"admitted", "refused"}:
        raise RuntimeError(f"the benchmark's own skills were {sorted(words)}")
    del decisions[:WARM_UP]
    what = f"admission review, {CONCURRENT} at a time, {PACKAGES} packages, {RULES:,} rules"
    return [
        Measurement(f"{what}: p99 of the decision", percentile(decisions, 0.99), "ms", 10),
        Measurement("  p50", percentile(decisions, 0.5), "ms"),
        Measurement(
            "  p99 of the request, over TLS", percentile(whole, 0.99), "ms", note="with its turn among 50"
        ),
        Measurement("  reviews", 1e3 * CONCURRENT / (sum(whole) / len(whole)), "1/s", note="one operator"),
    ]


async def _load(url: str, certificate: Path) -> list[float]:
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return await loop.run_in_executor(pool, ask_all, url, str(certificate))


def ask_all(url: str, certificate: str) -> list[float]:
    """Send all reviews, so many at a time; return the milliseconds of each after the first ones."""
    return asyncio.run(_ask_all(url, certificate))[WARM_UP:]


async def _ask_all(url: str, certificate: str) -> list[float]:
    trust = ssl.create_default_context(cafile=certificate)
    numbers, found = iter(range(REQUESTS)), list[float]()
    connector = aiohttp.TCPConnector(limit=CONCURRENT, ssl=trust)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def client() -> None:
            for number in numbers:
                body = make_review(number)
                started = time.perf_counter()
                async with session.post(url, json=body) as response:
                    answer = (await response.json())["response"]
                found.append(1e3 * (time.perf_counter() - started))
                if answer["allowed"] is (number % 3 == 0):
                    raise RuntimeError(f"review {number} was answered {answer}")

        await asyncio.gather(*(client() for _ in range(CONCURRENT)))
    return found


def make_review(number: int) -> dict[str, Any]:
    """Return a new Skill: five names that nobody has seen, the rest popular; each third has a banned one."""
    popular = top_names(Ecosystem.PYPI)
    names = [f"pkg-{number}-{place}" for place in range(UNSEEN)]
    names += [popular[(7 * number + place) % len(popular)] for place in range(PACKAGES - UNSEEN - 1)]
    names.append(f"banned-{number % BANS}" if number % 3 == 0 else f"own-{number}")
    skill = {
        "apiVersion": API,
        "kind": "Skill",
        "metadata": {"name": f"skill-{number}", "namespace": "team"},
        "spec": {
            "agentRef": {"name": "agent"},
            "source": {"files": [{"path": "main.py", "content": "print(1)\n" * 200}]},
            "packages": {"python": names},
            "entrypoint": {"command": ["python", "main.py"]},
        },
    }
    request = {"uid": str(number), "kind": {"kind": "Skill"}, "namespace": "team", "object": skill}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def make_answerer() -> Admission:
    """Return what answers, with policies as a large platform team has them."""
    store = Store(primed=True)
    for number in range(POLICIES):
        record = policy_record("ClusterPackagePolicy", _policy(number))
        store.cluster_policies.put(("", record.ref.name), record)
    agent = {"metadata": {"name": "agent", "namespace": "team"}, "spec": {"maturity": "Supervised"}}
    store.agents.put(("team", "agent"), agent_record({"apiVersion": API, "kind": "Agent", **agent}))
    return make_admission(store)


def _policy(number: int) -> dict[str, Any]:
    each = RULES // POLICIES
    rules = [
        {
            "name": f"rule-{index}",
            "match": {"ecosystem": "PyPI", "names": [f"name-{number}-{index}", f"x{index}-*"]},
            "action": "Allow",
        }
        for index in range(each)
    ]
    bans = [{"ecosystem": "PyPI", "names": [f"banned-{index}"]} for index in range(number, BANS, POLICIES)]
    spec = {"rules": rules, "bans": bans, "unlisted": "Allow"}
    return {
        "apiVersion": API,
        "kind": "ClusterPackagePolicy",
        "metadata": {"name": f"policy-{number}"},
        "spec": spec,
    }

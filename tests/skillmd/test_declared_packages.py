"""Where a folder declares packages, and what is proposed that it does not declare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from make_folder import make_folder, refused, said, spec_of

PEP_723 = """#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "httpx>=0.27",
#   "rich",
# ]
# ///
import httpx, rich
"""


def test_inline_metadata_of_a_script_is_a_declaration(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, files={"main.py": PEP_723})
    assert spec_of(folder)["packages"] == {"python": ["httpx>=0.27", "rich"]}


def test_an_entry_of_inline_metadata_is_refused_at_its_line(tmp_path: Path) -> None:
    folder = make_folder(
        tmp_path, files={"main.py": PEP_723.replace("httpx>=0.27", "httpx @ https://x.example")}
    )
    assert refused(folder)[0].startswith("main.py:5: error: ")


@pytest.mark.parametrize(
    ("sentence", "toml", "words"),
    [
        (
            "a text for the list",
            'x = 1\ndependencies = "requests"',
            "main.py:3: error: dependencies must be a list",
        ),
        ("a table for the list", "dependencies = {}", "main.py:2: error: dependencies must be a list"),
        ("a number in the list", "dependencies = [7]", "main.py:2: error: dependencies[0] is not a text"),
        ("a list in the list", 'dependencies = [["a"]]', "main.py:2: error: dependencies[0] is not a text"),
        ("a number of too many digits", f"x = {'1' * 5000}", "main.py:2: error: its inline metadata"),
        ("no TOML", "dependencies", "main.py:2: error: its inline metadata"),
    ],
)
def test_inline_metadata_is_refused_with(sentence: str, toml: str, words: str, tmp_path: Path) -> None:
    inline = "".join(f"# {line}\n" for line in toml.splitlines())
    lines = refused(make_folder(tmp_path, files={"main.py": f"# /// script\n{inline}# ///\n"}))
    assert any(line.startswith(words) for line in lines), lines


@pytest.mark.parametrize("written", ["[npm]", "{npm: 1}", "7", "[[]]"])
def test_a_package_manager_that_is_no_text_is_refused_at_its_line(written: str, tmp_path: Path) -> None:
    [line] = refused(make_folder(tmp_path, f"package_manager: {written}\n"))
    assert line.startswith("SKILL.md:4: error: package_manager")


def test_an_option_line_of_requirements_is_refused_at_its_line(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, files={"requirements.txt": "six\n\n--index-url=https://example.org\n"})
    assert refused(folder)[0].startswith("requirements.txt:3: error: '--index-url=https://example.org' is an")


@pytest.mark.parametrize("line", ["-r {}", "-r{}", "--requirement {}", "--requirement={}  # the rest"])
@pytest.mark.parametrize(
    ("file", "included"),
    [("requirements.txt", "requirements-pdf.txt"), ("requirements/all.txt", "../requirements-pdf.txt")],
)
def test_a_requirement_file_may_include_one_that_is_read(
    line: str, file: str, included: str, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {
        file: f"six\n{line.format(included)}\n",
        "requirements-pdf.txt": "rich\n",
        "main.py": "",
    }
    folder = make_folder(tmp_path, files=files)
    assert sorted(spec_of(folder)["packages"]["python"]) == ["rich", "six"]
    assert said(folder) == [f"{file}:2: note: {included} is read by itself."]


@pytest.mark.parametrize(
    "included",
    [
        "gone.txt",
        "base.txt",
        "requirements-dev.txt",
        "../requirements.txt",
        "/etc/requirements.txt",
        "https://example.org/requirements.txt",
    ],
)
def test_a_requirement_file_that_includes_what_is_not_read_is_refused(included: str, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": f"six\n-r {included}\n",
        "base.txt": "rich\n",
        "requirements-dev.txt": "pytest\n",
    }
    [line] = refused(make_folder(tmp_path, files=files))
    assert line.startswith(f"requirements.txt:2: error: it includes {included}, which is not among")


def test_a_marker_is_refused_with_the_line_as_it_may_stay(tmp_path: Path) -> None:
    text = 'six\nPillow[xmp]>=10 ; python_version >= "3.9"\n'
    [line] = refused(make_folder(tmp_path, files={"requirements.txt": text}))
    assert line.startswith("requirements.txt:2: error: 'Pillow[xmp]>=10 ; python_version >= \"3.9\"' has")
    assert "Write: Pillow[xmp]>=10 (" in line


def test_a_package_json_declares_dependencies_and_not_what_is_for_development(tmp_path: Path) -> None:
    manifest = {
        "dependencies": {"lodash": "^4.17.21", "@acme/core": "1.2.3", "any": "*"},
        "devDependencies": {"jest": "1"},
    }
    folder = make_folder(tmp_path, files={"package.json": json.dumps(manifest, indent=1), "index.js": ""})
    spec = spec_of(folder)
    assert spec["packages"]["node"]["dependencies"] == ["lodash@^4.17.21", "@acme/core@1.2.3", "any"]
    assert spec["runtime"] == {"language": "Node"}
    assert any("devDependencies" in line for line in said(folder))


@pytest.mark.parametrize(
    ("sentence", "text", "words"),
    [
        ("no JSON", "{", "not JSON"),
        ("a list", "[]", "not an object"),
        ("a git dependency", '{\n"dependencies": {\n"a": "github:x/y"}}', "package.json:3: error"),
        ("a folder for a dependency", '{"dependencies": {"a": "file:../a"}}', "package.json:1: error"),
        ("an alias", '{"dependencies": {"a": "npm:b@1"}}', "package.json:1: error"),
        ("overrides", '{"overrides": {"a": "1"}}', "overrides cannot be honoured"),
        ("workspaces", '{"workspaces": ["x"]}', "workspaces cannot be honoured"),
        (
            "a table for a range",
            '{"dependencies": {\n"a": {"version": "1"}}}',
            "package.json:2: error: dependencies.a",
        ),
        ("a number for a range", '{"x": "a",\n"dependencies": {\n"a": 1}}', "package.json:3: error"),
        ("dependencies that are a list", '{"dependencies": ["a"]}', "dependencies is not an object"),
    ],
)
def test_a_package_json_is_refused_with(sentence: str, text: str, words: str, tmp_path: Path) -> None:
    lines = refused(make_folder(tmp_path, files={"package.json": text}))
    assert any(words in line for line in lines), lines


@pytest.mark.parametrize(("file", "manager"), [("yarn.lock", "yarn"), ("pnpm-lock.yaml", "pnpm")])
def test_a_lockfile_says_whose_it_is(file: str, manager: str, tmp_path: Path) -> None:
    files = {"package.json": '{"dependencies": {"a": "1"}}', file: ""}
    assert spec_of(make_folder(tmp_path, files=files))["packages"]["node"]["manager"] == manager


def test_lockfiles_of_two_managers_are_refused_unless_one_is_named(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"yarn.lock": "", "package-lock.json": "{}"}
    assert "several package managers" in refused(make_folder(tmp_path / "a", files=files))[0]
    front = "package_manager: yarn\nnode_packages: [a@1]\n"
    assert spec_of(make_folder(tmp_path / "b", front, files))["packages"]["node"]["manager"] == "yarn"


def test_an_import_that_nobody_declares_is_proposed_and_not_added(tmp_path: Path) -> None:
    code = "import os, json\nimport helper\nfrom PIL import Image\nimport numpy\nimport nobody_knows_this\n"
    folder = make_folder(tmp_path, files={"scripts/a.py": code, "scripts/helper.py": ""})
    lines = said(folder)
    assert "packages" not in spec_of(folder)
    assert any(line.startswith("scripts/a.py:3: proposal: ") and "pillow may" in line for line in lines)
    assert any(line.startswith("scripts/a.py:4: proposal: ") and "numpy may" in line for line in lines)
    assert any("nobody_knows_this" in line and "no evidence" in line for line in lines)
    assert not any(
        name in line for line in lines for name in ("imports os", "imports json", "imports helper")
    )


def test_proposals_are_declared_where_the_user_says_so(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, files={"main.py": "import yaml\nimport nobody_knows_this\n"})
    assert spec_of(folder, take_proposals=True)["packages"] == {"python": ["pyyaml"]}


def test_what_is_declared_is_not_proposed_under_the_name_that_is_imported(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "packages: [PyYAML, Pillow>=10]\n", {"main.py": "import yaml, PIL\n"})
    assert said(folder) == []


def test_what_skill_md_tells_to_install_is_evidence(tmp_path: Path) -> None:
    body = "# How to\n\nRun `pip install unheard-of` first.\n\n```python\nimport unheard_of\n```\n"
    lines = said(make_folder(tmp_path, body=body))
    assert "SKILL.md:10: proposal" in lines[0]
    assert "unheard-of may (SKILL.md:7 says to install it)" in lines[0]


def test_imports_of_javascript_are_proposed(tmp_path: Path) -> None:
    code = (
        "import fs from 'fs';\nimport path from 'node:path';\nimport { a } from '@acme/core/lib';\n"
        "const l = require('lodash/fp');\nimport './own.js';\nawait import('chalk');\n"
    )
    lines = [line for line in said(make_folder(tmp_path, files={"main.mjs": code})) if "proposal" in line]
    assert [line.split(":")[1] for line in lines] == ["3", "6", "4"]
    assert all(any(name in line for line in lines) for name in ("@acme/core", "lodash", "chalk"))


def test_code_that_is_no_python_3_proposes_nothing_and_stops_nothing(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, files={"main.py": "print 'hello'\nimport numpy\n", "deep.py": "(" * 5000})
    assert not any("numpy" in line for line in said(folder))


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-pdf.txt", "requirements/base.txt"])
@pytest.mark.parametrize("base", ["", "scripts/"])
def test_requirement_files_declare_at_the_top_and_in_a_folder_there(
    file: str, base: str, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {f"{base}{file}": "six\nrich>=13\n", "scripts/run.py": ""}
    if base and "/" in file:
        lines = said(make_folder(tmp_path, files=files))
        assert lines[0].startswith(f"{base}{file}:1: note: it is not read")
    else:
        spec = spec_of(make_folder(tmp_path, files=files))
        assert spec["packages"] == {"python": ["six", "rich>=13"]}


def test_an_entry_of_a_requirement_file_among_scripts_is_refused_at_its_line(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, files={"scripts/requirements.txt": "six\n-e .\n"})
    assert refused(folder)[0].startswith("scripts/requirements.txt:2: error: ")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("assets/template/requirements.txt", "is not read"),
        ("references/requirements.txt", "is not read"),
        ("assets/package.json", "is not read"),
        ("examples/pyproject.toml", "is not read"),
        ("requirements-dev.txt", "for development"),
        ("dev-requirements.txt", "for development"),
        ("requirements.in", "is not read"),
        ("Pipfile", "is not read"),
        ("uv.lock", "is not read"),
        ("scripts/environment.yml", "is not read"),
    ],
)
def test_a_file_that_declares_nothing_of_the_skills_is_said(file: str, words: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path, files={"main.py": "", file: "{}"})
    [line] = said(folder)
    assert line.startswith(f"{file}:1: note: ")
    assert words in line
    assert "packages" not in spec_of(folder)


def test_a_package_json_among_scripts_declares_and_a_second_one_is_said(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "package.json": '{\n"dependencies": {\n"a": "1"}}',
        "scripts/package.json": '{"type": "module",\n"dependencies": {\n"b": "2"}}',
        "scripts/package-lock.json": "{}",
        "scripts/run.mjs": "",
    }
    folder = make_folder(tmp_path, files=files)
    assert spec_of(folder)["packages"]["node"]["dependencies"] == ["a@1", "b@2"]
    lines = said(folder)
    assert any(line.startswith("scripts/package.json:3: note: ") and "together" in line for line in lines)
    assert any(line.startswith("scripts/package-lock.json:1: note: ") for line in lines)
    (folder / "scripts/package.json").write_text('{\n"dependencies": {"a": "2"}}')
    assert refused(folder)[0].startswith("scripts/package.json:2: error: ")


def test_a_pyproject_declares_its_dependencies_and_says_what_is_optional(tmp_path: Path) -> None:
    text = """[project]
name = "csv-stats"
dependencies = [
  "six",
  "rich>=13",
]

[project.optional-dependencies]
plots = ["matplotlib"]

[dependency-groups]
dev = ["pytest"]
"""
    folder = make_folder(tmp_path, files={"pyproject.toml": text, "main.py": ""})
    assert spec_of(folder)["packages"] == {"python": ["six", "rich>=13"]}
    lines = said(folder)
    assert [line.partition(" is optional")[0] for line in lines] == [
        "pyproject.toml:9: note: optional-dependencies.plots",
        "pyproject.toml:12: note: dependency-groups.dev",
    ]
    (folder / "pyproject.toml").write_text(text.replace("rich>=13", "rich @ file:///x"))
    assert refused(folder)[0].startswith("pyproject.toml:5: error: ")


@pytest.mark.parametrize(
    ("sentence", "text", "words"),
    [
        ("no TOML", "[project\n", "pyproject.toml:1: error: it is not TOML"),
        ("a project that is none", "project = 1\n", "pyproject.toml:1: error: project is not a table"),
        ("a text for a list", "[project]\ndependencies = 'a'\n", "pyproject.toml:2: error: project.dep"),
        (
            "packages in another format",
            "[tool.poetry.dependencies]\npython = '^3.11'\nsix = '^1'\n",
            "pyproject.toml:1: error: tool.poetry.dependencies cannot be read",
        ),
        (
            "packages from elsewhere",
            "[project]\ndependencies = ['six']\n[tool.uv.sources]\nsix = {path = 'x'}\n",
            "pyproject.toml:3: error: tool.uv.sources cannot be honoured",
        ),
    ],
)
def test_a_pyproject_is_refused_with(sentence: str, text: str, words: str, tmp_path: Path) -> None:
    [line] = refused(make_folder(tmp_path, files={"pyproject.toml": text}))
    assert line.startswith(words)


def test_a_script_that_takes_packages_from_elsewhere_is_refused(tmp_path: Path) -> None:
    code = "# /// script\n# dependencies = ['six']\n# [tool.uv.sources]\n# six = {path = 'x'}\n# ///\n"
    [line] = refused(make_folder(tmp_path, files={"main.py": code}))
    assert line.startswith("main.py:3: error: tool.uv.sources cannot be honoured")


def test_a_name_that_stands_twice_in_a_package_json_is_refused_with_both_lines(tmp_path: Path) -> None:
    text = '{"dependencies": {\n"a": "1",\n"b": "1",\n"a": "2"}}'
    [line] = refused(make_folder(tmp_path, files={"package.json": text}))
    assert line.startswith("package.json:4: error: ")
    assert "first at line 2" in line


def test_what_pip_compile_writes_is_taken_and_the_hashes_are_said_to_be_unused(tmp_path: Path) -> None:
    text = """# This file is autogenerated
certifi==2024.2.2 \\
    --hash=sha256:0569859f95fc761b18b45ef421b1290a0f65f147e92a1e5eb3e635f9a5e4e66f \\
    --hash=sha256:dc383c07b76109f368f6106eee2b593b04a011ea4d55f652c6ca24a754d1cdd1
    # via requests
idna==3.6 --hash=sha256:9ecdbbd083b06798ae1e86adcbfe8ab1479cf864e4ee30fe4e46a003d12491ca
six==1.16.0  # the end
rich \\
>=13 \\"""
    folder = make_folder(tmp_path, files={"requirements.txt": text, "main.py": ""})
    assert spec_of(folder)["packages"]["python"] == [
        "certifi==2024.2.2",
        "idna==3.6",
        "six==1.16.0",
        "rich >=13",
    ]
    [line] = said(folder)
    assert line.startswith("requirements.txt:2: note: its hashes are not used")


def test_another_option_behind_a_continued_requirement_is_refused_at_its_first_line(tmp_path: Path) -> None:
    text = "six\nrich \\\n  --config-settings=a=b\n# a comment \\\n-e x\n"
    lines = refused(make_folder(tmp_path, files={"requirements.txt": text}))
    assert [line.partition(": error")[0] for line in lines] == ["requirements.txt:2", "requirements.txt:5"]


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    bom = b"\xef\xbb\xbf"
    files: dict[str, str | bytes] = {
        "requirements.txt": bom + b"six\n",
        "package.json": bom + b'{"dependencies": {"a": "1"}}',
        "main.py": bom + b"# /// script\n# dependencies = ['rich']\n# ///\nimport numpy\n",
    }
    folder = make_folder(tmp_path, files=files)
    (folder / "SKILL.md").write_bytes(bom + (folder / "SKILL.md").read_bytes())
    assert spec_of(folder)["packages"] == {"python": ["six", "rich"], "node": {"dependencies": ["a@1"]}}
    assert any("numpy" in line for line in said(folder))


def test_what_several_files_ask_of_a_package_is_one_entry(tmp_path: Path) -> None:
    inline = "# /// script\n# dependencies = [{}]\n# ///\n"
    files: dict[str, str | bytes] = {
        "requirements.txt": "Requests[socks]\n",
        "scripts/a.py": inline.format("'requests', 'six==1.16.0'"),
        "scripts/b.py": inline.format("'requests>=2.31', 'six>=1'"),
    }
    folder = make_folder(tmp_path, "packages: [requests<3]\n", files)
    assert spec_of(folder)["packages"] == {"python": ["requests[socks]<3,>=2.31", "six==1.16.0,>=1"]}


def test_what_several_files_ask_of_a_package_and_no_version_meets_is_refused(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "# pins\nsix==1.16.0\n",
        "scripts/requirements.txt": "six==1.15.0\n",
    }
    [line] = refused(make_folder(tmp_path, files=files))
    assert line.startswith("scripts/requirements.txt:1: error: six==1.15.0 does not go together with")
    assert "(requirements.txt:2)" in line
    assert "packages.python" not in line


@pytest.mark.parametrize(
    ("code", "package"),
    [
        ("from google import genai", "google-genai"),
        ("from google.genai import types", "google-genai"),
        ("import google.generativeai as genai", "google-generativeai"),
        ("from google.cloud import storage", "google-cloud-storage"),
        ("import google.cloud.storage.bucket", "google-cloud-storage"),
        ("from google.cloud.storage import Client", "google-cloud-storage"),
        ("from google.oauth2.service_account import Credentials", "google-auth"),
        ("from googleapiclient.discovery import build", "google-api-python-client"),
        ("from azure.storage.blob import BlobClient", "azure-storage-blob"),
        ("from azure.identity import DefaultAzureCredential", "azure-identity"),
        ("import snowflake.connector", "snowflake-connector-python"),
        ("from ruamel.yaml import YAML", "ruamel-yaml"),
        ("from zope.interface import Interface", "zope-interface"),
        ("from opentelemetry import trace", "opentelemetry-api"),
        ("import whisper", "openai-whisper"),
        ("from pdfminer.high_level import extract_text", "pdfminer-six"),
        ("import memcache", "python-memcached"),
        ("from Xlib import X", "python-xlib"),
        ("import ffmpeg", "ffmpeg-python"),
        ("import whois", "python-whois"),
        ("import docx", "python-docx"),
        ("import jwt", "pyjwt"),
        ("import attr", "attrs"),
        ("import slack_sdk", "slack-sdk"),
        ("import requests.adapters", "requests"),
        # Each has a much downloaded namesake that has nothing to do with it.
        ("from Bio import SeqIO", "biopython"),
        ("import bson", "pymongo"),
        ("import mysql.connector", "mysql-connector-python"),
        ("from numpy import *", "numpy"),
    ],
)
def test_an_import_is_declared_as_the_distribution_that_has_the_module(
    code: str, package: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path, files={"main.py": f"{code}\n"})
    assert spec_of(folder, take_proposals=True)["packages"] == {"python": [package]}
    declared = make_folder(tmp_path / "declared", f"packages: [{package}]\n", {"main.py": f"{code}\n"})
    assert said(declared) == []


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("import google", "google"),
        ("import azure, sys", "azure"),
        ("from google.api import annotations_pb2", "google.api.annotations_pb2"),
        ("from google.cloud import nothing_known", "google.cloud.nothing_known"),
        ("from azure.storage.unheard_of import A, B", "azure.storage.unheard_of"),
        ("import pkg_resources", "pkg_resources"),
        # Names of much downloaded packages, and of modules that somebody forgot to put beside the script.
        ("import utils", "utils"),
        ("import config", "config"),
        ("import Image", "Image"),
    ],
)
def test_an_import_that_no_evidence_names_a_distribution_of_declares_nothing(
    code: str, imported: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path, files={"main.py": f"{code}\n"})
    [line] = said(folder)
    assert f"it imports {imported}, which no declared package brings; no evidence" in line
    assert "packages" not in spec_of(folder, take_proposals=True)


def test_a_namespaces_module_is_of_the_package_that_skill_md_tells_to_install(tmp_path: Path) -> None:
    body = "Run `pip install google-maps-places google`.\n"
    folder = make_folder(tmp_path, files={"main.py": "import google.maps.places\nimport google\n"}, body=body)
    assert spec_of(folder, take_proposals=True)["packages"] == {"python": ["google-maps-places"]}


def test_another_distribution_of_a_module_that_is_declared_is_enough(tmp_path: Path) -> None:
    front = "packages: [opencv-python, psycopg2, azure-data-tables]\n"
    code = "import cv2, psycopg2\nfrom azure.data import tables\n"
    assert said(make_folder(tmp_path, front, {"main.py": code})) == []

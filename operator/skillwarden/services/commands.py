"""Which commands a sandbox's image has: what a Skill may ask for, and is refused where nobody has it."""

from __future__ import annotations

from collections.abc import Mapping

from ..domain.assess import Failure
from ..domain.conditions import AcceptedReason
from ..domain.skill import Language, SkillSpec

#: What our runtime images have: Debian's essential packages that people call by name in scripts (its policy,
#: 3.8; coreutils, grep, sed, findutils, diffutils, gzip, tar, bash, dash, perl-base and mawk).
OF_EVERY_IMAGE = frozenset(
    """
    awk base64 basename bash cat chmod cmp comm cp csplit cut date dd diff dirname du echo egrep env
    expand expr factor false fgrep find fmt fold grep gunzip gzip head hostname id join link ln ls
    md5sum mkdir mktemp mv nl nproc numfmt od paste perl pr printenv printf pwd readlink realpath rm
    rmdir sed seq sh sha256sum sha512sum shuf sleep sort split stat sum tac tail tar tee test touch
    tr true truncate tsort uname unexpand uniq wc which xargs yes zcat zgrep
    """.split()  # noqa: SIM905 - a list of eighty strings is no easier to read
)
_OF_LANGUAGE = {
    Language.PYTHON: frozenset({"python", "python3"}),
    Language.NODE: frozenset({"node"}),
}


def missing_commands(
    spec: SkillSpec, version: str, *, offered: Mapping[str, frozenset[str]]
) -> Failure | None:
    """Return why a skill's commands are not all there, or ``None``: they are.

    Parameters
    ----------
    spec
        Names them in ``commands``.
    version
        Of its language's runtime.
    offered
        What the platform says that its images have beyond ours, by version.
    """
    there = OF_EVERY_IMAGE | _OF_LANGUAGE[spec.language] | offered.get(version, frozenset())
    if version.startswith("python"):  # an image with both
        there |= _OF_LANGUAGE[Language.PYTHON] | _OF_LANGUAGE[Language.NODE]
    absent = [name for name in spec.commands if name not in there]
    if not absent:
        return None
    plural = "commands that" if len(absent) > 1 else "a command that"
    return Failure(
        AcceptedReason.UNSUPPORTED_RUNTIME,
        f"spec.runtime.commands asks for {plural} no settings say the image for {spec.language.value}"
        f" {version} has: {', '.join(absent)}.",
        "Have the platform team put it into the image and into SKILLWARDEN_RUNTIME_COMMANDS, or do without.",
    )

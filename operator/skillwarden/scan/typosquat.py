"""Scanner ``typosquat``: names that look like a much more popular one.

Judged by name alone, so that a declared name can be refused before any index is asked. The tricks are those
that attackers were seen to use: a slip of the finger, letters and digits that look alike, separators and
words moved or left out, and a word of trust hung onto a famous name. A name that is itself popular is never
flagged, whatever it resembles.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from rapidfuzz import process
from rapidfuzz.distance import OSA

from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScannerReport
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import DeclaredPackage, Ecosystem, PackageId, normalise_name

from .protocol import answered, packages_of
from .toplist import known_good, top_names

#: How many of the top names are imitated by each trick. Attackers follow the downloads, and the further
#: down the list, the more honest names resemble one of it.
_TARGETS = 3000
_FAMOUS = 1000
_MOST_FAMOUS = 500
#: Shorter names are all within one edit of each other.
_MIN_EDITED = 5
_MIN_TWICE_EDITED = 10
_MAX_NAME = 214
_TRUST_WORDS = frozenset(
    {
        "secure",
        "secured",
        "safe",
        "safer",
        "official",
        "original",
        "real",
        "genuine",
        "trusted",
        "verified",
        "legit",
        "fix",
        "fixed",
        "hotfix",
        "patch",
        "patched",
        "update",
        "updated",
        "latest",
        "stable",
        "pro",
        "premium",
        "plus",
        "v2",
        "v3",
        "new",
    }
)
#: npm's downloads are mostly of what packages pull in; these are what people type, wherever they rank.
TYPED_NPM = (
    *(
        "angular",
        "axios",
        "bootstrap",
        "discord.js",
        "electron",
        "express",
        "gatsby",
        "graphql",
        "jest",
        "jquery",
    ),
    *(
        "lodash",
        "moment",
        "mongodb",
        "mongoose",
        "next",
        "nuxt",
        "playwright",
        "prettier",
        "puppeteer",
        "react",
    ),
    *(
        "react-native",
        "redis",
        "redux",
        "sequelize",
        "socket.io",
        "stripe",
        "svelte",
        "tailwindcss",
        "telegraf",
    ),
    *("typescript", "vite", "vue", "webpack"),
)
_LANGUAGE_WORDS = frozenset({"python", "python2", "python3", "py", "py3"})
_LOOK_ALIKE = (("rn", "m"), ("vv", "w"), ("0", "o"), ("1", "l"), ("i", "l"), ("5", "s"))


_K = TypeVar("_K")


@dataclass(frozen=True, slots=True)
class Resemblance:
    """Why a name is suspicious.

    Attributes
    ----------
    target
        The popular name that it resembles.
    trick
        How, in words.
    """

    target: str
    trick: str


class _ByLength:
    """Names in order, by the length of what could be so many edits away from them."""

    def __init__(self, names: Iterable[str], *, edits: int) -> None:
        self.edits = edits
        found: dict[int, list[str]] = defaultdict(list)
        for name in names:
            for length in range(len(name) - edits, len(name) + edits + 1):
                found[length].append(name)
        self._found = {length: tuple(some) for length, some in found.items()}

    def near(self, name: str) -> tuple[str, ...]:
        return self._found.get(len(name), ())


@dataclass(frozen=True)
class _Corpus:
    popular: frozenset[str]
    edited: _ByLength
    twice_edited: _ByLength
    swapped: dict[str, str]
    looks: dict[str, str]
    joined: dict[str, str]
    words: dict[tuple[str, ...], str]
    famous: frozenset[str]
    most_famous: frozenset[str]
    flat: dict[str, str]
    scopes: tuple[str, ...]
    owned: frozenset[str]


_Trick = Callable[[_Corpus, str], Resemblance | None]


@functools.cache
def _corpus(ecosystem: Ecosystem) -> _Corpus:
    everything = top_names(ecosystem)
    # A scope has one owner: only the scope itself can be imitated, and a scoped name without its scope.
    typed = TYPED_NPM if ecosystem is Ecosystem.NPM else ()
    names = tuple(dict.fromkeys((*typed, *(name for name in everything if not name.startswith("@")))))
    scoped = [name for name in everything[:_TARGETS] if name.startswith("@")]
    owners = Counter(name.partition("/")[0] for name in everything if name.startswith("@"))
    shortest = _MIN_EDITED - 1 if ecosystem is Ecosystem.PYPI else _MIN_EDITED - 2
    targets = names[:_TARGETS]
    return _Corpus(
        popular=frozenset((*typed, *everything)),
        edited=_ByLength((name for name in targets if len(name) >= _MIN_EDITED), edits=1),
        twice_edited=_ByLength((name for name in names[:_FAMOUS] if len(name) >= _MIN_TWICE_EDITED), edits=2),
        swapped=_first(
            (swap, name)
            for name in names[:_FAMOUS]
            if shortest <= len(name) < _MIN_EDITED
            for swap in _slips_of_short(name)
        ),
        looks=_first((_look(name), name) for name in targets),
        joined=_first((name.replace("-", ""), name) for name in targets if len(name) >= _MIN_EDITED),
        words=_first((tuple(sorted(name.split("-"))), name) for name in targets if "-" in name),
        famous=frozenset(names[:_FAMOUS]),
        most_famous=frozenset(names[:_MOST_FAMOUS]),
        flat=_first((name[1:].replace("/", "-"), name) for name in scoped),
        scopes=tuple(scope for scope, count in owners.items() if count >= 3 and len(scope) > _MIN_EDITED),
        owned=frozenset(owners),
    )


def _first(pairs: Iterable[tuple[_K, str]]) -> dict[_K, str]:
    found: dict[_K, str] = {}
    for key, name in pairs:
        found.setdefault(key, name)
    return found


def _look(name: str) -> str:
    for written, seen in _LOOK_ALIKE:
        name = name.replace(written, seen)
    return name


def _slips_of_short(name: str) -> Iterable[str]:
    """Two neighbours swapped, or one letter doubled: of four letters, other edits make other words."""
    for at in range(len(name) - 1):
        yield name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    for at in range(len(name)):
        yield name[: at + 1] + name[at:]


# The same names are asked for again and again: by every skill, and at every apply.
@functools.lru_cache(maxsize=8192)
def resemblance(
    name: str, ecosystem: Ecosystem = Ecosystem.PYPI, *, allowed: frozenset[str] = frozenset()
) -> Resemblance | None:
    """Return what a normalised name imitates, or ``None``.

    Parameters
    ----------
    name
        A normalised name; any text is taken.
    ecosystem
        Whose popular names it is compared with.
    allowed
        Names that are never flagged, besides the popular ones and those that we know.
    """
    corpus = _corpus(ecosystem)
    if not name or len(name) > _MAX_NAME or name in corpus.popular or name in allowed:
        return None
    if name in known_good(ecosystem):
        return None
    if ecosystem is Ecosystem.PYPI:
        return _first_trick(_TRICKS, corpus, name)
    if name.startswith("@"):
        return _by_scope(corpus, name)
    # npm's names are not normalised: to a reader all separators and cases are one.
    return _first_trick((_without_scope, *_TRICKS), corpus, re.sub(r"[._]", "-", name.lower()))


def _first_trick(tricks: Iterable[_Trick], corpus: _Corpus, name: str) -> Resemblance | None:
    return next((found for trick in tricks if (found := trick(corpus, name)) is not None), None)


def _without_scope(corpus: _Corpus, name: str) -> Resemblance | None:
    target = corpus.flat.get(name)
    return Resemblance(target, "its scope has become a part of the name") if target else None


def _by_scope(corpus: _Corpus, name: str) -> Resemblance | None:
    """Return the popular package of a much used scope whose name is this but for the scope.

    A scope has one owner, so one that is itself in the list imitates nobody. Of the scopes that are not,
    those one edit apart are mostly honest (``@remotion``, ``@storyblok``): what they publish is not what the
    other scope is known for.
    """
    scope, _, rest = name.partition("/")
    if scope in corpus.owned:
        return None
    near = process.extract(scope, corpus.scopes, scorer=OSA.distance, score_cutoff=1, limit=None)
    targets = sorted(f"{target}/{rest}" for target, _, _ in near)
    return next(
        (
            Resemblance(target, "one edit in the scope apart")
            for target in targets
            if target in corpus.popular
        ),
        None,
    )


def _by_separators(corpus: _Corpus, name: str) -> Resemblance | None:
    target = corpus.joined.get(name.replace("-", ""))
    return Resemblance(target, "the separators differ") if target else None


def _by_look(corpus: _Corpus, name: str) -> Resemblance | None:
    target = corpus.looks.get(_look(name))
    return Resemblance(target, "it is written with characters that look alike") if target else None


def _by_words(corpus: _Corpus, name: str) -> Resemblance | None:
    words = name.split("-")
    target = corpus.words.get(tuple(sorted(words))) if len(words) > 1 else None
    return Resemblance(target, "its words stand in another order") if target else None


def _by_affix(corpus: _Corpus, name: str) -> Resemblance | None:
    words = name.split("-")
    if len(words) < 2:
        return None
    for affix, rest in ((words[-1], "-".join(words[:-1])), (words[0], "-".join(words[1:]))):
        if affix in _TRUST_WORDS and rest in corpus.famous:
            return Resemblance(rest, f"the word {affix!r} is hung onto the famous name")
        if affix in _LANGUAGE_WORDS and rest in corpus.most_famous:
            return Resemblance(rest, f"the word {affix!r} is hung onto the famous name")
    return None


def _by_slip(corpus: _Corpus, name: str) -> Resemblance | None:
    target = corpus.swapped.get(name)
    if target:
        return Resemblance(target, "one slip of the finger apart")
    return _by_distance(name, corpus.edited, least=_MIN_EDITED) or _by_distance(
        name, corpus.twice_edited, least=_MIN_TWICE_EDITED
    )


def _by_distance(name: str, targets: _ByLength, *, least: int) -> Resemblance | None:
    near = process.extract(
        name, targets.near(name), scorer=OSA.distance, score_cutoff=targets.edits, limit=None
    )
    for target, distance, _ in sorted(near, key=lambda row: (row[1], row[2])):
        if _edited_word(name, target) >= least:
            count = "one edit" if distance == 1 else f"{distance:.0f} edits"
            return Resemblance(target, f"{count} apart")
    return None


def _edited_word(name: str, target: str) -> int:
    """Return the length of the word in which two names differ, or of the name where it is not one word.

    ``google-cloud-dns`` and ``google-cloud-kms`` are siblings: what differs is a word of three letters.
    """
    ours, theirs = name.split("-"), target.split("-")
    if len(ours) != len(theirs):
        return len(target)
    different = [word for mine, word in zip(ours, theirs, strict=True) if mine != word]
    return len(different[0]) if len(different) == 1 else len(target)


_TRICKS: tuple[_Trick, ...] = (_by_separators, _by_look, _by_words, _by_affix, _by_slip)


def typosquat_findings(
    declared: Iterable[DeclaredPackage], *, allowed: frozenset[str] = frozenset()
) -> tuple[Finding, ...]:
    """Return a finding for each declared name that resembles a popular one; its version is ``""``.

    Parameters
    ----------
    declared
        What a Skill names itself.
    allowed
        Names that are never flagged.
    """
    packages = {PackageId(item.ecosystem, normalise_name(item.ecosystem, item.name), "") for item in declared}
    return _findings(packages, allowed=allowed)


def _findings(packages: Iterable[PackageId], *, allowed: frozenset[str]) -> tuple[Finding, ...]:
    pairs = (
        (package, resemblance(package.name, package.ecosystem, allowed=allowed))
        for package in sorted(packages)
    )
    return tuple(
        Finding(
            kind=FindingKind.TYPOSQUAT,
            package=package,
            id=found.target,
            summary=f"{package.name} resembles the popular {found.target}: {found.trick}",
            scanners=(ScannerName.TYPOSQUAT,),
        )
        for package, found in pairs
        if found
    )


class TyposquatScanner:
    """Judges the names of a whole closure.

    Parameters
    ----------
    allowed
        Names that are never flagged.
    """

    name = ScannerName.TYPOSQUAT

    def __init__(self, *, allowed: frozenset[str] = frozenset()) -> None:
        self._allowed = allowed

    async def scan(self, lock: Lock) -> ScannerReport:
        """Judge every name."""
        packages = packages_of(lock, self.name)
        findings = await asyncio.to_thread(_findings, packages, allowed=self._allowed)
        return answered(self.name, audited=packages, findings=findings)

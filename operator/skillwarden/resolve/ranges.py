"""Whether a version range can be satisfied at all: sound, so that no satisfiable range is refused."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import Version


@dataclass(frozen=True, slots=True)
class _Span:
    """An outer bound: whatever satisfies the specifier lies in it; ``None`` is unbounded."""

    low: Version | None = None
    low_open: bool = False
    high: Version | None = None
    high_open: bool = False


def is_empty_range(specifiers: SpecifierSet) -> bool:
    """Say whether certainly no version satisfies all specifiers.

    Parameters
    ----------
    specifiers
        Parsed PEP 440 specifiers.

    Returns
    -------
    bool
        ``True`` only if the range is empty. ``False`` may still be empty, in ways that only the gaps
        between pre-releases show (``>=1rc1,<1``); the resolver says so then.
    """
    parts = list(specifiers)
    if any(part.operator == "===" for part in parts):
        return False  # compares texts, not versions
    pins = [Version(part.version) for part in parts if part.operator == "==" and not _is_prefix(part)]
    if pins:
        # Other operators do not tell 1.0+local from 1.0, so one of the pins satisfies all or nothing does.
        return not any(specifiers.contains(pin, prereleases=True) for pin in pins)
    return _nothing_between(parts, specifiers)


def _nothing_between(parts: list[Specifier], specifiers: SpecifierSet) -> bool:
    spans = [_span(part) for part in parts if part.operator != "!="]
    lows = [(span.low, span.low_open) for span in spans if span.low is not None]
    highs = [(span.high, not span.high_open) for span in spans if span.high is not None]
    if not lows or not highs:
        return False
    low, low_open = max(lows)
    high, high_closed = min(highs)
    if low > high or (low == high and (low_open or not high_closed)):
        return True
    if low == high:
        return not specifiers.contains(low, prereleases=True)
    holes = [_prefix_span(part) for part in parts if part.operator == "!=" and _is_prefix(part)]
    return any(
        hole.low is not None
        and hole.high is not None
        and hole.low <= low
        and (high < hole.high or (high == hole.high and not high_closed))
        for hole in holes
    )


def _is_prefix(part: Specifier) -> bool:
    return part.version.endswith(".*")


def _span(part: Specifier) -> _Span:
    match part.operator:
        case ">=":
            return _Span(low=Version(part.version))
        case ">":
            return _Span(low=Version(part.version), low_open=True)
        case "<=":
            return _Span(high=Version(part.version))
        case "<":
            return _Span(high=Version(part.version), high_open=True)
        case "==":
            return _prefix_span(part)
        case "~=":
            low = Version(part.version)
            return _Span(low=low, high=_after(low.epoch, low.release[:-1]), high_open=True)
    return _Span()


def _prefix_span(part: Specifier) -> _Span:
    base = Version(part.version.removesuffix(".*"))
    return _Span(
        low=Version(f"{base.epoch}!{_join(base.release)}.dev0"),
        high=_after(base.epoch, base.release),
        high_open=True,
    )


def _after(epoch: int, release: tuple[int, ...]) -> Version:
    """Return the first version (a development release) behind all that begin with ``release``."""
    return Version(f"{epoch}!{_join((*release[:-1], release[-1] + 1))}.dev0")


def _join(release: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in release)

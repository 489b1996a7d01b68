"""A policy compiled: its bans and rules by name, and its opinion of each package of a closure.

Judging asks the same policies of the same names again and again, so a policy is read once for as long as
it lives. What is kept says nothing of the time, the approvals or the findings; ``evaluate`` adds those.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .closure import Closure, Node
from .glob import glob_matches, is_glob, literal_prefix
from .grounds import Ground, banned, ceiling_denies, needs_approval, rule_denies, too_immature
from .package import Ecosystem
from .policy import Action, Ban, Maturity, Policy, Rule, Scope, strictest
from .ranges import VersionRange, parse_range
from .verdict import ComplianceReason

#: Names remembered per policy before starting over: bounds memory, and one policy rarely sees more.
_MEMO_SIZE = 16_384


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one policy says of one package, before findings and approvals.

    Attributes
    ----------
    label
        The rule that speaks, as ``Verdict.decided_by`` names it; empty where the policy abstains.
    abstains
        Whether no ban, rule, inclusion or ``unlisted`` speaks.
    grounds
        What stands in the way, for each maturity by rank; empty where nothing does.
    """

    label: str
    abstains: bool
    grounds: tuple[tuple[Ground, ...], ...]


class Opinions:
    """What one policy says of each node of one closure, and what of it matters at a maturity.

    Attributes
    ----------
    abstaining
        Positions of the packages of which the policy does not speak.
    """

    def __init__(self, said: Sequence[Opinion]) -> None:
        self._said = said
        self._at: dict[int, tuple[Sequence[tuple[int, tuple[Ground, ...]]], frozenset[str]]] = {}
        self.abstaining = frozenset(place for place, opinion in enumerate(said) if opinion.abstains)

    def at(self, maturity: Maturity) -> tuple[Sequence[tuple[int, tuple[Ground, ...]]], frozenset[str]]:
        """Return what stands in the way, by position, and the labels of what allows the other packages."""
        rank = maturity.rank
        known = self._at.get(rank)
        if known is None:
            blocked = [
                (place, opinion.grounds[rank])
                for place, opinion in enumerate(self._said)
                if opinion.grounds[rank]
            ]
            allowing = frozenset(
                opinion.label for opinion in self._said if not opinion.grounds[rank] and not opinion.abstains
            )
            known = self._at[rank] = (blocked, allowing)
        return known


class Match(NamedTuple):
    """Which ban and which rule of a policy are the first that match a package, by position."""

    ban: int | None
    rule: int | None


class _Patterns:
    """Positions of entries by the names that they match; exact names cost one look-up."""

    def __init__(self, entries: Sequence[Ban | Rule]) -> None:
        self._exact: dict[tuple[Ecosystem, str], list[int]] = {}
        self._globs: dict[tuple[Ecosystem, str], list[tuple[int, str]]] = {}
        for position, entry in enumerate(entries):
            for name in entry.names:
                if is_glob(name):
                    bucket = self._globs.setdefault((entry.ecosystem, literal_prefix(name)), [])
                    bucket.append((position, name))
                else:
                    self._exact.setdefault((entry.ecosystem, name), []).append(position)
        self._lengths = sorted({len(prefix) for _, prefix in self._globs})

    def exactly(self, ecosystem: Ecosystem, name: str) -> Sequence[int]:
        """Return the positions of the entries that spell the name out."""
        return self._exact.get((ecosystem, name), ())

    def of(self, ecosystem: Ecosystem, name: str) -> list[int]:
        """Return the positions of the entries whose names match, in the order written."""
        found = set(self.exactly(ecosystem, name))
        for length in self._lengths:
            if length > len(name):
                break
            for position, pattern in self._globs.get((ecosystem, name[:length]), ()):
                if position not in found and glob_matches(pattern, name):
                    found.add(position)
        return sorted(found)


class PolicyIndex:
    """One policy, ready to be asked."""

    def __init__(self, policy: Policy) -> None:
        # Not the policy itself: it is the weak key under which this index is kept.
        self.ref = policy.ref
        self._bans, self._rules = policy.bans, policy.rules
        self._unlisted, self._maturity = policy.unlisted, policy.maturity
        self._ban_patterns, self._rule_patterns = _Patterns(policy.bans), _Patterns(policy.rules)
        self._ban_ranges = [parse_range(ban.ecosystem, ban.versions) for ban in policy.bans]
        self._rule_ranges = [parse_range(rule.ecosystem, rule.versions) for rule in policy.rules]
        self._matches: dict[str, Match] = {}
        self._opinions: dict[tuple[int | None, int | None, int], Opinion] = {}

    def first_ban(self, ecosystem: Ecosystem, name: str, version: str | None) -> int | None:
        """Return the first ban on a package; without a version only one that holds for every version."""
        for position in self._ban_patterns.of(ecosystem, name):
            versions: VersionRange = self._ban_ranges[position]
            if versions.every or (version is not None and versions.may_hold(version)):
                return position
        return None

    def ban(self, position: int) -> Ground:
        """Return the ground that a ban is."""
        return banned(self.ref, position, self._bans[position])

    def allows_by_name(self, ecosystem: Ecosystem, name: str) -> bool:
        """Whether a rule that does not deny spells out this very name: somebody looked at it."""
        return any(
            self._rules[position].action is not Action.DENY
            for position in self._rule_patterns.exactly(ecosystem, name)
        )

    def ceiling(self, maturity: Maturity) -> tuple[Action, Maturity]:
        """Return the mildest action at a maturity and the level that says so.

        What a policy asks of a level holds below it, too. An author can lower a skill's maturity at will,
        by naming no agent, and must not gain by it.
        """
        action, level = Action.ALLOW, maturity
        for candidate in Maturity:
            asked = self._maturity.get(candidate, Action.ALLOW)
            if maturity <= candidate and asked.strictness > action.strictness:
                action, level = asked, candidate
        return action, level

    def sufficient(self, minimum: Maturity) -> Maturity | None:
        """Return the lowest maturity, not below a minimum, that the ceilings do not deny."""
        return next(
            (level for level in Maturity if minimum <= level and self.ceiling(level)[0] is not Action.DENY),
            None,
        )

    def match(self, node: Node) -> Match:
        """Return the first ban and the first rule that match a package."""
        known = self._matches.get(node.key)
        if known is not None:
            return known
        if len(self._matches) >= _MEMO_SIZE:
            self._matches.clear()
        identity = node.package.id
        found = Match(
            ban=self.first_ban(identity.ecosystem, identity.name, identity.version),
            rule=next(
                (
                    position
                    for position in self._rule_patterns.of(identity.ecosystem, identity.name)
                    if _in_scope(self._rules[position].scope, direct=node.package.direct)
                    and self._covers(position, identity.version)
                ),
                None,
            ),
        )
        self._matches[node.key] = found
        return found

    def _covers(self, position: int, version: str) -> bool:
        """Whether a rule speaks of a version: one that denies of whatever a ban would hold.

        A rule whose range cannot be read covers every version, and denies (see ``_rule_action``).
        """
        versions = self._rule_ranges[position]
        if self._rule_action(position) is Action.DENY:
            return versions.may_hold(version)
        return versions.matches(version)

    def judge(self, closure: Closure) -> Opinions:
        """Return the opinion of each node of a closure."""
        matches = [self.match(node) for node in closure.nodes]
        inherited = self._inherited(closure, matches)
        return Opinions(
            [
                self._opinion(match.ban, match.rule, inherited.get(position, 0))
                for position, match in enumerate(matches)
            ]
        )

    def _inherited(self, closure: Closure, matches: Sequence[Match]) -> dict[int, int]:
        """Return for each node what it inherits: the including rules that reach it, as a bit mask.

        Only what nothing else pulls in inherits: once the including packages are out of the graph, no
        declared package may still reach it.
        """
        including = {
            position: match.rule
            for position, match in enumerate(matches)
            if match.rule is not None and self._rules[match.rule].include_dependencies
        }
        if not including:
            return {}
        masks = {position: 1 << rule for position, rule in including.items()}
        queue = list(including)
        while queue:
            place = queue.pop()
            for child in closure.children[place]:
                merged = masks.get(child, 0) | masks[place]
                if merged != masks.get(child):
                    masks[child] = merged
                    queue.append(child)
        declared = [node.position for node in closure.nodes if node.package.direct]
        free = closure.reach(declared, without=frozenset(including))
        return {position: mask for position, mask in masks.items() if position not in free}

    def _opinion(self, ban: int | None, rule: int | None, mask: int) -> Opinion:
        key = (ban, rule, 0 if rule is not None else mask)
        known = self._opinions.get(key)
        if known is None:
            if len(self._opinions) >= _MEMO_SIZE:
                self._opinions.clear()
            known = self._opinions[key] = self._compile(*key)
        return known

    def _compile(self, ban: int | None, rule: int | None, mask: int) -> Opinion:
        if ban is not None:
            ground = self.ban(ban)
            return Opinion(ground.rule, abstains=False, grounds=((ground,),) * len(Maturity))
        if rule is not None:
            speaking: tuple[int, ...] = (rule,)
        else:
            speaking = tuple(position for position in range(len(self._rules)) if mask >> position & 1)
        label = self._label(speaking)
        return Opinion(
            label=label,
            abstains=not label,
            grounds=tuple(self._grounds(maturity, speaking, inherited=rule is None) for maturity in Maturity),
        )

    def _rule_action(self, position: int) -> Action:
        return self._rules[position].action if self._rule_ranges[position].readable else Action.DENY

    def _action(self, speaking: Sequence[int]) -> Action:
        if not speaking:
            return self._unlisted or Action.ALLOW
        return strictest(*(self._rule_action(position) for position in speaking))

    def _label(self, speaking: Sequence[int]) -> str:
        if not speaking:
            return "unlisted" if self._unlisted else ""
        action = self._action(speaking)
        return next(self._rules[place].name for place in speaking if self._rule_action(place) is action)

    def _grounds(self, maturity: Maturity, speaking: Sequence[int], *, inherited: bool) -> tuple[Ground, ...]:
        """Return what stands in the way at a maturity: the ceiling, and the rules or ``unlisted``."""
        action, label = self._action(speaking), self._label(speaking)
        strictest_minimum = max(
            speaking, key=lambda place: (self._rules[place].min_maturity.rank, -place), default=None
        )
        minimum = (
            Maturity.STUDENT if strictest_minimum is None else self._rules[strictest_minimum].min_maturity
        )
        ceiling, level = self.ceiling(maturity)
        grounds: list[Ground] = []
        if ceiling is Action.DENY:
            grounds.append(ceiling_denies(self.ref, level, maturity, self.sufficient(minimum)))
        if action is Action.DENY:
            grounds.append(rule_denies(self.ref, label, inherited=inherited and bool(speaking)))
        elif strictest_minimum is not None and maturity < minimum and ceiling is not Action.DENY:
            rule = self._rules[strictest_minimum]
            grounds.append(too_immature(self.ref, rule, maturity, self.sufficient(minimum)))
        if not grounds and Action.REQUIRE_APPROVAL in {action, ceiling}:
            by_rule = action is Action.REQUIRE_APPROVAL
            grounds.append(needs_approval(self.ref, label if by_rule else f"maturity.{level.value}"))
        return tuple(grounds)


def _in_scope(scope: Scope, *, direct: bool) -> bool:
    match scope:
        case Scope.ANY:
            return True
        case Scope.DIRECT:
            return direct
        case Scope.TRANSITIVE:
            return not direct


_INDEXES: weakref.WeakKeyDictionary[Policy, PolicyIndex] = weakref.WeakKeyDictionary()


def index_of(policy: Policy) -> PolicyIndex:
    """Return the compiled policy; the same one for as long as the policy object lives."""
    index = _INDEXES.get(policy)
    if index is None:
        index = _INDEXES[policy] = PolicyIndex(policy)
    return index


def opinions_of(policy: Policy, closure: Closure) -> Opinions:
    """Return a policy's opinions of a closure; worked out once for the two."""
    opinions = closure.opinions.get(policy)
    if opinions is None:
        opinions = closure.opinions[policy] = index_of(policy).judge(closure)
    return opinions


#: Nobody speaks for the package: every policy that applies abstains (DESIGN 3, ``unlisted``).
UNCLAIMED = Ground(
    action=Action.REQUIRE_APPROVAL,
    code=ComplianceReason.APPROVAL_REQUIRED,
    policy=None,
    rule="unlisted",
    why="is named by no rule of any policy that applies here",
)

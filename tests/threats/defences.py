"""Each defence, the one place that it hangs on, and the tests that must fail when it is taken out.

The threats are those of the threat model (docs/operations/threat-model.md). ``make threats-mutate`` takes
each defence out of a copy in turn and reports every one whose loss no test noticed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Defence:
    """One defence.

    Attributes
    ----------
    threat
        What it stands against.
    file
        Below ``operator/skillwarden``.
    old, new
        A text that stands in the file once, and what takes the defence out.
    tests
        What must fail then, as pytest takes it, below ``tests``.
    """

    threat: str
    file: str
    old: str
    new: str
    tests: str


DEFENCES = (
    # What is let in.
    Defence("a URL as a requirement", "resolve/intake.py", "    _url,\n", "", "resolve/test_intake.py"),
    Defence(
        "an npm lock that brings something from elsewhere",
        "resolve/npmlock.py",
        "    _check_source(entry)\n",
        "",
        "resolve/test_npm_lock.py",
    ),
    Defence(
        "npm packages that the author's lockfile does not hold",
        "resolve/npm.py",
        "            check_pinned(packages, pins)\n",
        "            pass\n",
        "resolve/test_lockfiles.py",
    ),
    Defence(
        "an author's lockfile that needs something from elsewhere",
        "resolve/lockfile_graph.py",
        "    if row.refusal:\n",
        "    if False:\n",
        "resolve/test_lockfiles.py",
    ),
    Defence(
        "what pip-audit said before the advisories changed",
        "scan/remembered.py",
        "        if revision != self._revision:\n            return {}\n",
        "",
        "scan/test_remembered_answers.py",
    ),
    Defence(
        "a failed audit that is kept as an answer",
        "scan/pip_audit.py",
        "        if report.state is ScanState.ERROR:\n            return report\n",
        "",
        "scan/test_remembered_answers.py",
    ),
    Defence(
        "a pre-release that is pinned past a ban",
        "domain/ranges.py",
        "            return version < Version(specifier.version)\n",
        "            return specifier.contains(version, prereleases=True)\n",
        "domain/test_ranges.py",
    ),
    Defence(
        "a name that imitates a popular one",
        "scan/typosquat.py",
        "(_by_separators, _by_look, _by_words, _by_affix, _by_slip)",
        "()",
        "scan/test_typosquat_scanner.py",
    ),
    Defence(
        "a public package called like a company's own",
        "scan/confusion.py",
        "if own not in _OWN or",
        "if True or",
        "scan/test_artefact_and_confusion_scanners.py",
    ),
    Defence(
        "a version above every real one",
        "scan/confusion.py",
        "int(major[1]) <= MAX_MAJOR",
        "True",
        "scan/test_artefact_and_confusion_scanners.py",
    ),
    Defence(
        "a made-up name of npm that is told like any other conflict",
        "resolve/npm.py",
        'if code == "E404" and (unknown := names_not_in_registry(outcome.stderr)):\n',
        'if False and (unknown := names_not_in_registry("")):\n',
        "threats/test_threats_slopsquat.py",
    ),
    Defence(
        "a made-up name of Python that is told like any other conflict",
        "resolve/python.py",
        "if unknown := missing_names(outcome.stderr):\n",
        "if unknown := ():\n",
        "threats/test_threats_slopsquat.py",
    ),
    Defence(
        "a made-up name that somebody registered days ago",
        "domain/finding_grounds.py",
        "        return _AgeBound(rules.min_package_age, rules.package_age_action,",
        "        return _AgeBound(None, rules.package_age_action,",
        "domain/test_evaluate_findings.py threats/test_threats_slopsquat.py",
    ),
    Defence(
        "a project without an age that its index tells",
        "scan/first_seen.py",
        "        if found.unanswered:\n",
        "        if False:\n",
        "scan/test_osv_and_age_scanners.py",
    ),
    Defence(
        "a page that is another project's",
        "resolve/first_seen_answers.py",
        "    if not isinstance(said, str) or canonicalize_name(said) != name:\n",
        "    if False:\n",
        "resolve/test_first_seen.py",
    ),
    Defence(
        "a name that somebody took over from an old project",
        "resolve/first_seen_memory.py",
        "        return uploaded is not None and uploaded + _CLOCK_SKEW <= self.asked\n",
        "        return True\n",
        "resolve/test_first_seen.py",
    ),
    Defence(
        "an old name of npm that has a new owner",
        "resolve/first_seen_answers.py",
        "    return max(known, default=None)\n",
        "    return min(known, default=None)\n",
        "resolve/test_first_seen.py",
    ),
    Defence(
        "an index that sends elsewhere to ask for a project's age",
        "resolve/first_seen.py",
        "or not named & {*self.hosts, self.origin.authority}",
        "",
        "resolve/test_first_seen.py",
    ),
    Defence(
        "an author who takes files away that are denied by now",
        "services/judge.py",
        "        if running and evidence.source_failure is not None:\n",
        "        if False:\n",
        "operator/test_operator_verdicts.py",
    ),
    Defence(
        "code that a kubelet takes from a variable",
        "builders/pod.py",
        'return text.replace("$", "$$")',
        "return text",
        "builders/test_builders_pod.py",
    ),
    Defence(
        "code in a variable",
        "source/entrypoint.py",
        "for name, value in invocation.env\n",
        "for name, value in ()\n",
        "scan/test_source_scanner.py",
    ),
    Defence(
        "a run that goes on under a command of before",
        "domain/assess.py",
        'started = invocation_digest in {"", self.invocation_digest}',
        "started = True",
        "services/test_decide_run.py",
    ),
    Defence(
        "an author who takes the source away, or an outage, that keeps a ban from what runs",
        "domain/assess.py",
        "        return self.hold and self.may_be_of(lock_digest) and lock_digest not in self.fallen\n",
        "        return self.hold and self.may_be_of(lock_digest)\n",
        "services/test_decide.py",
    ),
    # What is scanned.
    Defence(
        "a scanner that did not look at every package",
        "scan/runner.py",
        "    if report.audited != expected:\n",
        "    if False:\n",
        "scan/test_scan_runner.py",
    ),
    Defence(
        "a scanner's failure that reads as a pass",
        "domain/scan_view.py",
        "    if report.state is ScanState.ERROR:\n",
        "    if False:\n",
        "domain",
    ),
    Defence(
        "advisories that are too old",
        "domain/evaluate.py",
        "    if stale is not None:\n",
        "    if False:\n",
        "domain/test_evaluate_scans.py",
    ),
    Defence(
        "advisories of a server that was cut off",
        "advisories/sync.py",
        "        asked_origin_at=datetime.now(UTC) - timedelta(seconds=max(ages)),\n",
        "        asked_origin_at=datetime.now(UTC),\n",
        "advisories/test_advisory_server.py",
    ),
    Defence(
        "a source of advisories that went back in time",
        "advisories/sync.py",
        "            if had and has and has < had - _BACKWARDS:\n",
        "            if False:\n",
        "advisories/test_advisory_sync.py",
    ),
    Defence(
        "an advisory server without advisories",
        "advisories/answers.py",
        '                raise MissingIndexError("no advisories have been synced yet; try again later")\n',
        "                return {}\n",
        "advisories/test_advisory_answers.py",
    ),
    Defence(
        "a package that is known to be malicious",
        "domain/policy.py",
        '"""A package known to be malicious is denied, always."""\n        return Action.DENY',
        "return Action.ALLOW",
        "domain",
    ),
    Defence(
        "a wheel that runs code when Python starts",
        "artefact/wheel.py",
        'if "/" not in place and place.endswith(".pth"):',
        "if False:",
        "artefact/test_artefact_hooks.py",
    ),
    Defence(
        "a wheel that puts a module beside the others as data",
        "artefact/wheel.py",
        '            return inner.removeprefix("lib/python/")\n',
        '            return f"../data/{inner}"\n',
        "artefact/test_artefact_hooks.py",
    ),
    Defence(
        "a wheel that takes the place of the standard library's modules",
        "artefact/wheel.py",
        "        elif module in _STANDARD or",
        "        elif False or",
        "artefact/test_artefact_hooks.py",
    ),
    Defence(
        "a worm in a postinstall script",
        "artefact/tarball.py",
        '("preinstall", "install", "postinstall")',
        '("preinstall", "install")',
        "artefact/test_artefact_hooks.py",
    ),
    Defence(
        "a harmless command that starts a file which is not",
        "artefact/hooks.py",
        "                    found += _look(run, data)\n",
        "                    pass\n",
        "artefact/test_artefact_runs.py",
    ),
    Defence(
        "a command of the package's own that starts another",
        "source/commands.py",
        "            if word in place.scripts:\n",
        "            if False:\n",
        "artefact/test_artefact_runs.py",
    ),
    Defence(
        "a file that only loads what does the harm",
        "artefact/tarball.py",
        '                found += loaded_by(data.decode("utf-8", "replace"), beside)\n',
        "                pass\n",
        "artefact/test_artefact_runs.py",
    ),
    Defence(
        "a line of a .pth file that imports what does the harm",
        "artefact/wheel.py",
        "        if place in places\n",
        "        if False\n",
        "artefact/test_artefact_runs.py",
    ),
    Defence(
        "a build file whose commands run at install",
        "artefact/tarball.py",
        "            commands += _GYP_COMMAND.findall(built)[:_MAX_GYP_COMMANDS]\n",
        "            pass\n",
        "artefact/test_artefact_runs.py",
    ),
    Defence(
        "code that takes for ever to look into",
        "artefact/hooks.py",
        "    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_SECONDS)\n",
        "    signal.setitimer(signal.ITIMER_VIRTUAL, 0)\n",
        "artefact/test_artefact_runs.py",
    ),
    Defence(
        "an artefact that two readers read differently",
        "artefact/archive.py",
        "            if name in self._members:\n",
        "            if False:\n",
        "artefact/test_artefact_hostile.py",
    ),
    Defence(
        "an artefact that leads out of its folder",
        "artefact/archive.py",
        '    if name.startswith("/") or ".." in parts',
        '    if False and ".." in parts',
        "artefact/test_artefact_hostile.py",
    ),
    Defence(
        "an archive that unpacks without end",
        "artefact/archive.py",
        "        if self.allowed < 0:\n",
        "        if False:\n",
        "artefact/test_artefact_hostile.py",
    ),
    Defence(
        "malware that no advisory knows yet",
        "scan/malware.py",
        "            for detection in detections\n",
        "            for detection in ()\n",
        "scan/test_malware_scanner.py",
    ),
    Defence(
        "a missing GuardDog, and reads as clean",
        "scan/malware.py",
        "        if found.problem:\n",
        "        if False:\n",
        "scan/test_malware_scanner.py",
    ),
    Defence(
        "a GuardDog that skipped an artefact",
        "scan/malware.py",
        "        if found.unread:\n",
        "        if False:\n",
        "scan/test_malware_scanner.py",
    ),
    Defence(
        "a GuardDog with a rule that failed",
        "artefact/guarddog_runner.py",
        '        if found["errors"]:\n',
        "        if False:\n",
        "artefact/test_guarddog.py",
    ),
    Defence(
        "a GuardDog that asks the network or starts a program",
        "artefact/guarddog_runner.py",
        "    sys.addaudithook(_refuse)\n",
        "",
        "artefact/test_guarddog.py",
    ),
    Defence(
        "a hole in what GuardDog reads hostile files with",
        "artefact/guarddog_runner.py",
        "        sandbox.apply_sandbox(folders, [str(cache)])\n",
        "",
        "artefact/test_guarddog.py",
    ),
    Defence(
        "an artefact that keeps GuardDog busy",
        "depot/malware.py",
        "        if answer.slow:\n",
        "        if False:\n",
        "depot/test_depot_malware.py",
    ),
    Defence(
        "malware among many lesser signs",
        "artefact/guarddog_runner.py",
        "(self._score(some) for some in (risks, *([risk] for risk in risks)))",
        "(self._score(some) for some in (risks,))",
        "artefact/test_guarddog.py",
    ),
    Defence(
        "malware in a command without a suffix",
        "artefact/unpack.py",
        "    suffix = suffix if suffix in CODE else _by_first_line(start)\n",
        '    suffix = suffix if suffix in CODE else ""\n',
        "artefact/test_guarddog.py",
    ),
    Defence(
        "an answer of GuardDog's about another artefact",
        "artefact/malware.py",
        '    if answer["folder"] != folder:\n',
        "    if False:\n",
        "artefact/test_guarddog.py",
    ),
    Defence(
        "an archive with more code than fits",
        "artefact/unpack.py",
        "            if left < 0 or files > MAX_FILES:\n",
        "            if False:\n",
        "artefact/test_guarddog.py",
    ),
    Defence(
        "code of the skill itself that decodes and runs something",
        "domain/evaluate.py",
        "            self._source(policy, tally)\n",
        "",
        "domain/test_evaluate_source.py",
    ),
    # What is judged.
    Defence(
        "an approval that lifts a denial or a ban",
        "domain/evaluate.py",
        "        if ground.action is Action.REQUIRE_APPROVAL:\n",
        "        if True:\n",
        "domain",
    ),
    Defence(
        "an agent's maturity that is borrowed",
        "domain/assess.py",
        "    if agent.guarded is not True:\n",
        "    if False:\n",
        "services/test_assess.py",
    ),
    Defence(
        "bytes of an approval that are others by now",
        "domain/approvals.py",
        "            for approval in self._by_artefact(policy).get(node.package.artefact.digest, ())\n",
        "            for approval in self._approvals\n",
        "domain/test_evaluate_approvals.py",
    ),
    Defence(
        "an accepted advisory that comes to stand for another, too",
        "domain/approvals.py",
        "        return all((package, kind, name) in approval",
        "        return any((package, kind, name) in approval",
        "domain/test_evaluate_approvals.py",
    ),
    Defence(
        "an advisory of one package as accepted of every other",
        "domain/approvals.py",
        "(package, kind, name) in approval.accepted_findings for",
        "(kind, name) in {item[1:] for item in approval.accepted_findings} for",
        "domain/test_evaluate_approvals.py",
    ),
    Defence(
        "a namespace's approval of what the cluster's policy comes to ask",
        "domain/approvals.py",
        "    return policy is None or policy in approval.policies\n",
        "    return True\n",
        "domain/test_evaluate_approvals.py",
    ),
    Defence(
        "an approval of some bytes as leave to look a name up",
        "domain/verdict.py",
        "        if self.artefacts or self.declared is None:\n",
        "        if self.declared is None:\n",
        "domain/test_judge_names.py",
    ),
    Defence(
        "leave to look a name up that policy denies",
        "domain/judge_names.py",
        "        if ruled.action is not Action.REQUIRE_APPROVAL:\n",
        "        if ruled.action is Action.ALLOW:\n",
        "domain/test_judge_names.py",
    ),
    Defence(
        "a denied licence behind AND",
        "domain/licence.py",
        "            found |= self._one()\n",
        "            self._one()\n",
        "domain/test_licence.py",
    ),
    # What is fetched and kept.
    Defence(
        "an artefact that is replaced in the index",
        "depot/files.py",
        "        if found != digest:\n",
        "        if False:\n",
        "depot/test_depot_fetch.py depot/test_depot_store.py",
    ),
    Defence(
        "a redirect to somewhere else",
        "depot/fetch.py",
        "    if not host_allowed(url, hosts):\n",
        "    if False:\n",
        "depot/test_depot_fetch.py",
    ),
    Defence(
        "a sandbox that asks the depot for what is the operator's",
        "depot/server.py",
        "        if not request.path.startswith(wanted):\n",
        "        if False:\n",
        "depot/test_depot_server.py",
    ),
    Defence(
        "a full disk that takes what is in use",
        "depot/room.py",
        "            if in_use.keeps(entry):\n",
        "            if False:\n",
        "depot/test_depot_room.py",
    ),
    # What is run.
    Defence(
        "root by a set-uid program",
        "builders/pod.py",
        '"allowPrivilegeEscalation": False',
        '"allowPrivilegeEscalation": True',
        "builders/test_builders_pod.py",
    ),
    Defence(
        "capabilities",
        "builders/pod.py",
        '"capabilities": {"drop": ["ALL"]}',
        '"capabilities": {}',
        "builders/test_builders_pod.py",
    ),
    Defence(
        "a root file system that can be written",
        "builders/pod.py",
        '"readOnlyRootFilesystem": True',
        '"readOnlyRootFilesystem": False',
        "builders/test_builders_pod.py",
    ),
    Defence(
        "a service account's token",
        "builders/pod.py",
        '"automountServiceAccountToken": False',
        '"automountServiceAccountToken": True',
        "builders/test_builders_pod.py",
    ),
    Defence(
        "memory without end",
        "builders/pod.py",
        '        "memory": str(resources.memory),\n',
        "",
        "builders/test_builders_pod.py",
    ),
    Defence(
        "a run without end",
        "builders/pod.py",
        '        spec["activeDeadlineSeconds"] = request.timeout_seconds\n',
        "        pass\n",
        "builders/test_builders_pod.py",
    ),
    Defence(
        "the network",
        "builders/network_policy.py",
        '            "egress": [_to_depot(depot), *(_to_peer(peer) for peer in egress)],\n',
        '            "egress": [{}],\n',
        "builders/test_builders_pod.py",
    ),
    Defence(
        "Python packages with other bytes than the lock's",
        "sandbox/install.py",
        '"--require-hashes", ',
        "",
        "sandbox/test_sandbox_prepare.py",
    ),
    Defence(
        "a Pod that is forged or edited",
        "services/seal.py",
        "    return hmac.compare_digest(str(carried).encode(), seal(body, key=key).encode())\n",
        "    return True\n",
        "services operator/test_operator_promises.py",
    ),
    Defence(
        "npm packages with other bytes than the lock's",
        "sandbox/install_npm.py",
        "    if found != artefact.hex:\n",
        "    if False:\n",
        "sandbox/test_sandbox_npm.py",
    ),
    Defence(
        "a network plugin that enforces nothing",
        "services/isolation.py",
        "        if False in {self._attested, self.seen}:\n",
        "        if self._attested is False:\n",
        "services/test_isolation.py",
    ),
    Defence(
        "a network plugin that isolates a Pod moments after it starts",
        "sandbox/prepare.py",
        "        _say(isolating.wait())\n",
        "        pass\n",
        "sandbox/test_sandbox_prepare.py",
    ),
    Defence(
        "texts that have a program run which nobody looked into",
        "source/signs.py",
        "        lures.PROGRAM_OF_AN_ADDRESS,\n",
        "        lures.LOCKED_ARCHIVE,\n",
        "scan/test_source_texts.py",
    ),
    Defence(
        "images that run code",
        "source/look.py",
        '    active = _ACTIVE.search(text) if _ending(into.path) == ".svg" else None\n',
        "    active = None\n",
        "scan/test_source_texts.py",
    ),
    # What is on record.
    Defence(
        "an audit record that was changed",
        "audit/verify.py",
        '    if hash_of(record) != record.get("hash"):\n',
        "    if False:\n",
        "audit/test_audit_chain.py",
    ),
    Defence(
        "an audit record that was left out",
        "audit/verify.py",
        "    if seq > head.seq + 1:\n",
        "    if False:\n",
        "audit/test_audit_chain.py",
    ),
)

"""JavaScript and shell by rules on their text: comments are left out, but for what must not hide in one."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace

from skillwarden.domain.finding import Severity

from .collect import Collector
from .comments import JavaScript, joined_lines, shell_beyond_doubt, shell_code
from .decode import decoded, unescaped
from .signs import CONSTANTS, Sign, names_secret

#: Before what is found in a comment that may be none: an interpreter may read it otherwise than we do.
_DOUBT = "in what reads as a comment: "


#: Not a method of that name, such as those of a page, a model or a store, which run nothing of ours.
_EVAL = (
    r"(?:(?:(?<![\w$.])|\b(?:window|globalThis|global|self)\s*+\??\.\s*+)eval|\[\s*+['\"`]eval['\"`]\s*+\])"
    r"\s*+\)?\s*+\((?!\s*\))"
)
#: Where something is decoded besides, a method is doubted, too: the global object may have any name.
_EVAL_BY_ANYBODY = r"(?:(?<![\w$])eval|\[\s*+['\"`]eval['\"`]\s*+\])\s*+\)?\s*+\((?!\s*\))"


def _sign(rule: str, severity: Severity, summary: str, pattern: str) -> Sign:
    return Sign(rule, severity, summary, re.compile(pattern))


_JS = (
    _sign(
        "subprocess",
        Severity.MEDIUM,
        "uses child_process, which starts programs",
        r"\bchild_process\b|\bexecSync\s*\(|\bspawnSync\s*\(|\bDeno\.(?:run|Command)\b|\bBun\.spawn\b",
    ),
    _sign(
        "dynamic-code",
        Severity.HIGH,
        "runs code that is made while it runs",
        rf"{_EVAL}|\bnew\s+Function\s*\(|\bvm\.(?:runIn\w*Context|Script)\b|\bFunction\s*\(\s*['\"`]return",
    ),
    _sign(
        "network",
        Severity.LOW,
        "opens a connection; a sandbox has none unless it is allowed",
        r"\bfetch\s*\(|\brequire\s*\(\s*['\"](?:node:)?(?:https?|net|dgram|tls)['\"]|\bXMLHttpRequest\b|\baxios\b",
    ),
    _sign(
        "environment",
        Severity.MEDIUM,
        "takes the whole environment",
        r"JSON\.stringify\s*\(\s*process\.env\s*[,)]|Object\.(?:entries|keys|values|assign)\s*\([^)]{0,40}process\.env\s*\)"
        r"|\.\.\.process\.env\b",
    ),
    _sign(
        "import-by-name",
        Severity.MEDIUM,
        "loads a module by a name that is made while it runs",
        r"\brequire\s*\(\s*(?!['\"`\s])[^)]{1,80}\)|\bprocess\.binding\s*\(",
    ),
)
_SENDS_JS = re.compile(r"\bfetch\s*\(|\.request\s*\(|\.post\s*\(|\bsendBeacon\s*\(|\.write\s*\(")
#: The environment as something that is sent; a copy of it is what every child process is started with.
_ENVIRONMENT_SENT_JS = re.compile(
    r"JSON\.stringify\s*\([^;]{0,200}\bprocess\.env\s*[,)}\]]"
    r"|Object\.(?:entries|keys|values)\s*\([^)]{0,40}process\.env\s*\)"
)
#: What may read a file, or have another program do it.
_READS_JS = re.compile(
    r"\breadFile|\bcreateReadStream|\bopen(?:Sync|AsBlob)?\s*\(|\bcopyFile|\bcp(?:Sync)?\s*\(|\bsendFile"
    r"|\bchild_process\b|\b(?:exec|spawn|fork)\w*\s*[(`]|\bDeno\b|\bBun\b|\$`|\]\s*\(|\bfs\w*\s*(?:\.\s*promises\s*)?\["
)
_SHELL_JS = re.compile(r"(?:spawn|exec)(?:File)?(?:Sync)?\s*\(\s*['\"`](?:/bin/)?(?:ba|z)?sh\b|cmd\.exe")
_CONNECT_JS = re.compile(r"\bnet\.(?:connect|createConnection|Socket)\b|new\s+net\.Socket")
_DECODE_JS = re.compile(
    r"Buffer\.from\s*\((?:(?!Buffer\.from)[^)])*['\"](?:base64|hex)['\"]"
    r"|\batob\s*\(|String\.fromCharCode\s*\("
)
_RUNS_TEXT_JS = re.compile(rf"{_EVAL_BY_ANYBODY}|\bnew\s+Function\s*\(")
_RUNS_DECODED_JS = re.compile(
    rf"(?:{_EVAL_BY_ANYBODY}|(?<![\w$])Function\s*\()[^;\n]{{0,200}}(?:atob|Buffer\.from|fromCharCode)"
)
_STARTS_JS = re.compile(
    r"(?<![\w$.])(?:exec|spawn)(?:File|a)?(?:Sync|Command)?\s*[(`]|(?<![\w$.])\$`|\bshelljs\b"
    r"|\bchild_process\b|\b(?:exec|spawn)Sync\s*\(|\bDeno\.(?:run|Command)\b|\bBun\.(?:spawn|\$)"
)
#: Before a string that is run, whatever else the file does.
_RUN_JS = re.compile(r"(?:\b(?:exec|spawn)\w*\s*\(\s*|(?<![\w$])\$)\Z")
#: Between two strings that are added, perhaps with a value between them.
_ADDED_JS = re.compile(r"['\"`]\s*+\+(?:\s*+([\w$.()\[\]]{1,80}+)\s*+\+)?\s*+['\"`]")
#: Before a string that is told to somebody: how to install a tool, mostly.
_TOLD_JS = re.compile(r"(?:\bconsole\.\w+|\bnew\s+\w*Error)\s*\(\s*\Z")
_BEFORE = 60
_SHORTEST_COMMAND = 9
_SHORTEST_ENCODED = 24

#: A command's words up to what ends it: as if no quote meant anything, or with what stands in quotes.
_WORDS = (
    r"(?=[^\n|]{0,900}+\|)"  # most have none: no need to read them with care
    r"(?:[^\n|;&]{0,300}+(?=\|)"
    r"|(?:\\.|[^\n|;&'\"\\]|'[^'\n]{0,300}+'|\"(?:[^\"\\\n]|\\.){0,300}+\"|['\"]){0,300}+)"
)
_PIPE = r"(?<!\|)\|(?!\|)&?\s*"
#: Through some filters into what runs its input; an interpreter that is given code or a module reads data.
_INTO_SHELL = (
    rf"(?:{_PIPE}{_WORDS}){{0,2}}{_PIPE}(?:sudo\s+(?:-\S+\s+){{0,9}})?(?:\S{{0,40}}/)?(?:env\s+(?:\S+\s+)?)?"
    r"(?:(?:ba|z|da|k|a)?sh\b|(?:python[0-9.]*|node|perl|ruby)(?:\s+-[uBEsSIqO]*){0,9}\s*(?=\Z|[\n;&|)'\"`>#]))"
)

_SHELL = (
    _sign(
        "download-and-run",
        Severity.CRITICAL,
        "runs what it downloads, unseen",
        rf"\b(?:curl|wget|fetch)\b{_WORDS}{_INTO_SHELL}"
        r"|\b(?:ba|z|da)?sh\s+-c\s+[\"']?\$\((?:curl|wget)|\bsource\s+<\((?:curl|wget)|\beval\s+[\"']?\$\((?:curl|wget)"
        r"|\b(?:ba|z|da)?sh\s+(?:-\w+\s+)*<\((?:curl|wget)",
    ),
    _sign(
        "encoded-code",
        Severity.CRITICAL,
        "runs code that was hidden by encoding",
        r"\bbase64\s+(?:-d|--decode|-D)\b[^\n]{0,120}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b"
        r"|\beval\s+[\"']?\$\([^)\n]{0,200}base64\s+(?:-d|--decode)|\bxxd\s+-r[^\n]{0,80}\|\s*(?:ba)?sh\b",
    ),
    _sign(
        "reverse-shell",
        Severity.CRITICAL,
        "hands a shell to a connection: a reverse shell",
        r"/dev/(?:tcp|udp)/|\b(?:nc|ncat|netcat)\b[^\n]{0,80}\s-(?:e|c)\s|\bsocat\b[^\n]{0,120}\bEXEC:|mkfifo\s[^\n]{0,120}\bnc\b",
    ),
    _sign("dynamic-code", Severity.HIGH, "runs code that is made while it runs", r"(?m)(?:^|[;&|]\s*)eval\s"),
    _sign(
        "destruction",
        Severity.HIGH,
        "deletes more than a skill has",
        r"\brm\s+-[a-zA-Z]*[rf][a-zA-Z]*\s+(?:--no-preserve-root\s+)?(?:/|~|\$HOME)(?:\s|$|\*)|\bmkfs\.|\bdd\s[^\n]{0,80}of=/dev/",
    ),
    _sign(
        "privilege",
        Severity.MEDIUM,
        "asks for more rights",
        r"\bsudo\s|\bchmod\s+(?:[ugoa]*\+s|[24][0-7]{3})\b|\bsetcap\s",
    ),
    _sign(
        "installs",
        Severity.LOW,
        "installs packages by itself; in a sandbox nothing can be",
        r"\b(?:pip3?|npm|pnpm|yarn|apt(?:-get)?|brew|cargo|gem|go)\s+(?:install|add|i)\b",
    ),
    _sign(
        "network",
        Severity.LOW,
        "opens a connection; a sandbox has none unless it is allowed",
        r"\b(?:curl|wget|scp|rsync)\s",
    ),
)
#: A credential that a tool is told to log in with, and does not send.
_HANDED_SH = re.compile(
    r"(?:\s-i|\s--(?:kubeconfig|identity-file|key)[ =]|\bKUBECONFIG:?=)\s*+['\"]?[^\s'\"]++"
)
#: What is looked for in what reads as a comment, too.
_GRAVE_SHELL = _SHELL[:3]
_TOLD_SHELL = tuple(replace(sign, severity=Severity.HIGH) for sign in _GRAVE_SHELL)
#: One command with its words, and what they say of where it saves something.
_COMMAND = re.compile(r"(?:\\(?s:.)|'[^'\n]*+'|\"(?:[^\"\\\n]|\\.)*+\"|[^\n|;&'\"\\]++|['\"\\])++")
_DOWNLOADS = re.compile(r"\b(?:curl|wget)\b")
_SAVED = re.compile(
    r"(?:\s-[a-zA-Z]{0,8}[oO]\s*|\s--output(?:-document)?[ =]|>\s*)['\"]?([^\s'\";|&<>]{1,200})"
)
_RUN = re.compile(
    r"(?:(?<![\w.-])(?:(?:ba|z|da|k)?sh|python[0-9.]*|node|perl|ruby|source)|(?m:^|[;&|])[ \t]*+\."
    r"|\bchmod[ \t]+(?:[ugoa]*\+[rwX]*x|[0-7]{0,3}[1357][0-7]{0,2}))"
    r"[ \t]+(?:-\w+[ \t]+){0,9}['\"]?([^\s'\";|&<>]{1,200})"
    r"|(?:(?m:^)|[;&|(]|\bthen\b|\bdo\b|\bexec\b|\bsudo\b)[ \t]*+['\"]?(\.{0,2}/[^\s'\";|&<>()]{1,200})"
)
_SENDS_SH = re.compile(
    r"\bcurl\b[^\n]{0,300}(?:\s-(?:d|F|T)\b|\s--(?:data|form|upload-file)|@)|\bwget\b[^\n]{0,200}--post|\bnc\b|\bscp\b"
)
_ALL_ENV_SH = re.compile(r"(?m)(?:^|[|;&(`]\s*)(?:env|printenv|export\s+-p)\s*(?:$|[|>;)`])")


def look_javascript(text: str, into: Collector) -> None:
    """Look at JavaScript or TypeScript."""
    read = JavaScript(text)
    code = read.code()
    into.signs(code, _JS)
    into.signs(code, CONSTANTS)
    _strings_javascript(read, into)
    _grave_javascript(code, into)
    _exfiltration_javascript(code, into)
    doubtful = Collector(into.path, milder=True, note=_DOUBT)
    seen = read.beyond_doubt()
    _grave_javascript(seen, doubtful)
    if _STARTS_JS.search(seen):
        doubtful.signs(seen, _GRAVE_SHELL)
    _keep(doubtful, into)


def _strings_javascript(read: JavaScript, into: Collector) -> None:
    """Look at what strings decode to, and at the commands that they hold."""
    text = read.text
    starts = bool(_STARTS_JS.search(text))
    lines = [match.start() for match in re.finditer("\n", text)]
    for start, end in read.strings:
        if end - start >= _SHORTEST_ENCODED:
            for inner in decoded(text[start:end]):
                hidden = into.inside(line=bisect_left(lines, start) + 1, note="decoded:")
                hidden.signs(inner, (*CONSTANTS, *_JS, *_GRAVE_SHELL))
    for start, command in _sums(read):
        if len(command) >= _SHORTEST_COMMAND:
            before = text[max(0, start - _BEFORE) : start - 1]
            run = bool(_RUN_JS.search(before)) or (starts and not _TOLD_JS.search(before))
            inside = into.inside(line=bisect_left(lines, start) + 1, note="in a string:")
            inside.signs(joined_lines(command), _GRAVE_SHELL if run else _TOLD_SHELL)


def _sums(read: JavaScript) -> Iterator[tuple[int, str]]:
    """Yield where each string begins and what it says, together with those that are added to it."""
    text = read.text
    begun, said, ended = -1, list[str](), -1
    for start, end in read.strings:
        if text[start - 1] not in "'\"`":
            continue  # a piece that follows code in a template is looked at in the whole of it
        if ended < start and (added := _ADDED_JS.fullmatch(text, ended, start)):
            said += [added[1] or "", unescaped(text[start:end])]
        else:
            if said:
                yield begun, "".join(said)
            begun, said = start, [unescaped(text[start:end])]
        ended = end
    if said:
        yield begun, "".join(said)


def _grave_javascript(code: str, into: Collector) -> None:
    decodes = _DECODE_JS.search(code)
    if decodes and _RUNS_DECODED_JS.search(code):
        into.add(
            "encoded-code", Severity.CRITICAL, _line(code, decodes), "runs code that was hidden by encoding"
        )
    elif decodes and _RUNS_TEXT_JS.search(code):
        into.add(
            "encoded-code",
            Severity.HIGH,
            _line(code, decodes),
            "decodes something, and runs code that it makes",
        )
    shell, connects = _SHELL_JS.search(code), _CONNECT_JS.search(code)
    if shell and connects:
        into.add(
            "reverse-shell",
            Severity.CRITICAL,
            _line(code, shell),
            "hands a shell to a connection: a reverse shell",
        )


def _exfiltration_javascript(code: str, into: Collector) -> None:
    sends = _SENDS_JS.search(code)
    if sends and into.has("credential-path", "environment", "metadata-service") and into.has("network"):
        reads = _READS_JS.search(code) or into.has("dynamic-code", "encoded-code", "import-by-name")
        grave = (
            into.has("metadata-service")
            or (into.has("credential-path") and reads)
            or _ENVIRONMENT_SENT_JS.search(code)
        )
        into.add(
            "exfiltration",
            Severity.CRITICAL if grave else Severity.HIGH,
            _line(code, sends),
            "reads credentials or the whole environment, and sends",
        )


def look_shell(text: str, into: Collector) -> None:
    """Look at a shell script, or at a command such as a lifecycle script."""
    code = joined_lines(shell_beyond_doubt(shell_code(text)))
    into.signs(code, _SHELL)
    into.signs(code, CONSTANTS)
    _downloaded_and_run(code, into)
    sends = _SENDS_SH.search(code)
    if sends and (into.has("credential-path", "metadata-service") or _ALL_ENV_SH.search(code)):
        grave = names_secret(_HANDED_SH.sub(" ", code)) or _ALL_ENV_SH.search(code)
        into.add(
            "exfiltration",
            Severity.CRITICAL if grave else Severity.HIGH,
            _line(code, sends),
            "reads credentials or the whole environment, and sends",
        )
    doubtful = Collector(into.path, milder=True, note=_DOUBT)
    doubtful.signs(joined_lines(shell_beyond_doubt(text)), _GRAVE_SHELL)
    _keep(doubtful, into)


def look_for_grave_shell(text: str, into: Collector) -> None:
    """Look at a text that a shell may be given for what is grave alone."""
    into.signs(joined_lines(shell_beyond_doubt(shell_code(text))), _GRAVE_SHELL)


def _downloaded_and_run(code: str, into: Collector) -> None:
    """Look for files that are run after they were downloaded."""
    if not _DOWNLOADS.search(code):
        return
    saved: dict[str, int] = {}
    for command in _COMMAND.finditer(code):
        if _DOWNLOADS.search(code, *command.span()):
            for match in _SAVED.finditer(code, *command.span()):
                saved.setdefault(posixpath.normpath(match[1]), command.end())
    for match in _RUN.finditer(code):
        began = saved.get(posixpath.normpath(match[1] or match[2]))
        if began is not None and began <= match.start():
            into.add("download-and-run", Severity.HIGH, _line(code, match), "runs a file that it downloaded")
            return


def _keep(doubtful: Collector, into: Collector) -> None:
    for finding in doubtful.found.values():
        if not into.has(finding.rule):
            into.add(finding.rule, finding.severity, finding.line, finding.summary)


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1

"""JavaScript and shell by rules on their text: comments are left out first."""

from __future__ import annotations

import re

from skillwarden.domain.finding import Severity

from .collect import Collector
from .decode import decoded
from .signs import CONSTANTS, Sign

_JS_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_JS_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`", re.DOTALL)
_SH_COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#(?!!)[^\n]*")


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
        r"\beval\s*\((?!\s*\))|\bnew\s+Function\s*\(|\bvm\.(?:runIn\w*Context|Script)\b|\bFunction\s*\(\s*['\"`]return",
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
_SHELL_JS = re.compile(r"(?:spawn|exec)(?:File)?(?:Sync)?\s*\(\s*['\"`](?:/bin/)?(?:ba|z)?sh\b|cmd\.exe")
_CONNECT_JS = re.compile(r"\bnet\.(?:connect|createConnection|Socket)\b|new\s+net\.Socket")
_DECODE_JS = re.compile(
    r"Buffer\.from\s*\([^)]*['\"](?:base64|hex)['\"]|\batob\s*\(|String\.fromCharCode\s*\("
)
_RUN_JS = re.compile(r"\beval\s*\(|\bnew\s+Function\s*\(|\bvm\.|child_process|execSync")

_SHELL = (
    _sign(
        "download-and-run",
        Severity.CRITICAL,
        "runs what it downloads, unseen",
        r"\b(?:curl|wget|fetch)\b[^\n|;&]{0,300}\|\s*(?:sudo\s+)?(?:env\s+\S+\s+)?(?:ba|z|da|k)?sh\b"
        r"|\b(?:ba|z|da)?sh\s+-c\s+[\"']?\$\((?:curl|wget)|\bsource\s+<\((?:curl|wget)|\beval\s+[\"']?\$\((?:curl|wget)"
        r"|\b(?:curl|wget)\b[^\n|;&]{0,300}\|\s*(?:sudo\s+)?(?:python3?|node|perl|ruby)\b",
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
_SENDS_SH = re.compile(
    r"\bcurl\b[^\n]{0,300}(?:\s-(?:d|F|T)\b|\s--(?:data|form|upload-file)|@)|\bwget\b[^\n]{0,200}--post|\bnc\b|\bscp\b"
)
_ALL_ENV_SH = re.compile(r"(?m)(?:^|[|;&(`]\s*)(?:env|printenv|export\s+-p)\s*(?:$|[|>;)`])")


def look_javascript(text: str, into: Collector) -> None:
    """Look at JavaScript or TypeScript."""
    code = _JS_STRING.sub(lambda match: match[0], _blank_comments(text, _JS_COMMENT, _JS_STRING))
    into.signs(code, _JS)
    into.signs(code, CONSTANTS)
    for match in _JS_STRING.finditer(code):
        line = code.count("\n", 0, match.start()) + 1
        for inner in decoded(match[0][1:-1]):
            hidden = into.inside(line=line, note="decoded:")
            hidden.signs(inner, (*CONSTANTS, *_JS, *_SHELL[:3]))
    _together_javascript(code, into)


def _together_javascript(code: str, into: Collector) -> None:
    decodes, runs = _DECODE_JS.search(code), _RUN_JS.search(code)
    if decodes and re.search(r"(?:eval|Function)\s*\([^;\n]{0,200}(?:atob|Buffer\.from|fromCharCode)", code):
        into.add(
            "encoded-code", Severity.CRITICAL, _line(code, decodes), "runs code that was hidden by encoding"
        )
    elif decodes and runs and re.search(r"\beval\s*\(|\bnew\s+Function\s*\(", code):
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
    sends = _SENDS_JS.search(code)
    if sends and into.has("credential-path", "environment", "metadata-service") and into.has("network"):
        grave = into.has("credential-path", "metadata-service") or _ENVIRONMENT_SENT_JS.search(code)
        into.add(
            "exfiltration",
            Severity.CRITICAL if grave else Severity.HIGH,
            _line(code, sends),
            "reads credentials or the whole environment, and sends",
        )


def look_shell(text: str, into: Collector) -> None:
    """Look at a shell script, or at a command such as a lifecycle script."""
    code = _SH_COMMENT.sub(lambda match: " " * len(match[0]), text)
    into.signs(code, _SHELL)
    into.signs(code, CONSTANTS)
    sends = _SENDS_SH.search(code)
    if sends and (into.has("credential-path", "metadata-service") or _ALL_ENV_SH.search(code)):
        into.add(
            "exfiltration",
            Severity.CRITICAL,
            _line(code, sends),
            "reads credentials or the whole environment, and sends",
        )


def _blank_comments(text: str, comment: re.Pattern[str], string: re.Pattern[str]) -> str:
    """Return code with its comments blanked; what looks like one inside of a string stays."""
    either = re.compile(f"(?P<string>{string.pattern})|(?P<comment>{comment.pattern})", re.DOTALL)
    return either.sub(lambda match: match[0] if match["string"] else re.sub(r"[^\n]", " ", match[0]), text)


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1

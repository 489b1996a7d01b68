"""What is telling in any language: paths, names and phrases that stand in string constants."""

from __future__ import annotations

import re
from dataclasses import dataclass

from skillwarden.domain.finding import Severity

from . import asked, lures


@dataclass(frozen=True, slots=True)
class Sign:
    """One rule on text.

    Attributes
    ----------
    rule, severity, summary
        As in ``SourceFinding``.
    pattern
        What it is found by; no pattern backtracks over unbounded text.
    """

    rule: str
    severity: Severity
    summary: str
    pattern: re.Pattern[str]


def _sign(rule: str, severity: Severity, summary: str, pattern: str, flags: int = 0) -> Sign:
    return Sign(rule, severity, summary, re.compile(pattern, flags))


#: In constants of code of any language.
CONSTANTS = (
    _sign(
        "credential-path",
        Severity.HIGH,
        "names a place where credentials are kept",
        r"\.ssh/|\bid_(?:rsa|ed25519|ecdsa)\b|\.aws/credentials|/etc/(?:shadow|gshadow)\b|\.kube/config|\.netrc\b"
        r"|\.git-credentials|\.docker/config\.json|\.pypirc\b|\.npmrc\b|\.gnupg/|wallet\.dat|Login"
        r" Data|\.azure/"
        r"|gcloud/credentials|/run/secrets/kubernetes\.io|/proc/(?:self|1|\d+)/environ"
        # What agents are logged in with.
        r"|\.claude/\.credentials\.json|\.codex/auth\.json|\.gemini/oauth_creds\.json",
    ),
    _sign(
        "metadata-service",
        Severity.HIGH,
        "names the address of a cloud's metadata service",
        r"169\.254\.169\.254|metadata\.google\.internal|fd00:ec2::254",
    ),
    _sign(
        "container-socket",
        Severity.HIGH,
        "names the socket of a container engine",
        r"/(?:docker|containerd/containerd|crio/crio|podman/podman)\.sock\b",
    ),
    _sign(
        "miner",
        Severity.CRITICAL,
        "names a miner of cryptocurrency or its protocol",
        r"stratum\+(?:tcp|ssl)://|\bxmrig\b|\bminerd\b|\bcoinhive\b|\bcryptonight\b|\bnicehash\b|\bethminer\b",
        re.IGNORECASE,
    ),
    _sign(
        "persistence",
        Severity.HIGH,
        "names a place from which programs are started again",
        r"/etc/cron|\bcrontab\b|/etc/systemd/system|\.config/systemd|\.config/autostart|LaunchAgents|LaunchDaemons"
        r"|/etc/rc\.local|/etc/ld\.so\.preload|authorized_keys|\.(?:bashrc|zshrc|bash_profile)\b"
        # Anything may have a member of that name, and a page a class.
        r"|/\.profile(?=[\s'\"`;)&|]|\Z)|\A\.profile\Z|(?:\bhomedir\(\)|\bHOME)\s*,\s*['\"`]\.profile['\"`]",
    ),
    _sign(
        "dead-drop",
        Severity.HIGH,
        "names a service that shows somebody whatever is sent to it",
        r"\bwebhook\.site\b|\bemailhook\.site\b|requestbin|\brequestcatcher\.com|\bpipedream\.net\b|\bbeeceptor\.com"
        r"|burpcollaborator|\boast\.(?:fun|live|site|online|pro|me)\b|\binteract\.sh\b|\bdnslog\.cn\b|\bceye\.io\b",
    ),
    _sign(
        "dead-drop",
        Severity.MEDIUM,
        "names a service that is used to carry data away unseen",
        r"discord(?:app)?\.com/api/webhooks|api\.telegram\.org/bot|pastebin\.com|ngrok\.io|transfer\.sh|\.onion\b",
    ),
)


def names_secret(text: str) -> bool:
    """Whether a text names where credentials are kept, or the address that hands them out."""
    return any(sign.pattern.search(text) for sign in CONSTANTS[:2])


#: In texts that an agent reads.
TEXTS = (
    _sign(
        "prompt-injection",
        Severity.HIGH,
        "tells its reader to set its instructions aside",
        r"\b(?:ignore|disregard|forget|override)\s+(?:all\s+|any\s+)?(?:of\s+)?(?:the\s+|your\s+)?"
        r"(?:previous|prior|above|earlier|existing|system)\s+(?:instructions?|prompts?|rules?|messages?|guidelines?)",
        re.IGNORECASE,
    ),
    _sign(
        "hidden-from-user",
        Severity.HIGH,
        "tells its reader to keep something from the user",
        r"\b(?:do\s+not|don't|never)\s+(?:tell|inform|mention\s+(?:this\s+)?to|reveal\s+(?:this\s+)?to|show|alert|notify)"
        r"\s+(?:it\s+to\s+|this\s+to\s+)?the\s+user\b|\bwithout\s+(?:telling|informing|asking|notifying)\s+the\s+user\b",
        re.IGNORECASE,
    ),
    Sign("exfiltration-request", Severity.CRITICAL, "tells its reader to send secrets away", asked.CLEARLY),
    Sign("exfiltration-request", Severity.HIGH, "may tell its reader to send secrets away", asked.PERHAPS),
    Sign(
        "locked-archive",
        Severity.HIGH,
        "tells its reader the password of an archive, which nobody looked into",
        lures.LOCKED_ARCHIVE,
    ),
    Sign(
        "download-and-run",
        Severity.HIGH,
        "tells its reader to run what a page on the network says",
        lures.COMMAND_OF_A_PAGE,
    ),
    Sign(
        "download-and-run",
        Severity.HIGH,
        "tells its reader to run what it downloads",
        lures.PROGRAM_OF_AN_ADDRESS,
    ),
    _sign(
        "role-change",
        Severity.MEDIUM,
        "gives its reader another role",
        r"\byou\s+are\s+now\s+(?:in\s+)?(?:dan\b|developer\s+mode|jailbroken|unrestricted|root\b|an?\s+unrestricted)",
        re.IGNORECASE,
    ),
)

_TAG = "[\U000e0000-\U000e007f]"
_NATIONS = "|".join(
    "".join(chr(0xE0000 + ord(char)) for char in name) for name in ("gbeng", "gbsct", "gbwls")
)
#: Behind a black flag: England's, Scotland's or Wales's, up to the tag that ends it.
_FLAG = f"(?:{_NATIONS})\U000e007f"
_TAGS = re.compile(f"(?<!{_TAG})(?!(?<=\U0001f3f4){_FLAG}(?!{_TAG})){_TAG}+")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
#: Joiners stand inside of emoji and of some scripts' words; a run of them hides something. A mark of byte
#: order may begin a text.
_INVISIBLE = re.compile("[\u200b\u2060-\u2064\u180e]|(?!\\A)\ufeff|[\u200c\u200d]{2,}")

HIDDEN = (
    Sign("hidden-text", Severity.CRITICAL, "holds text in Unicode tag characters, which nobody sees", _TAGS),
    Sign(
        "bidirectional-text", Severity.HIGH, "holds marks that make text read otherwise than it runs", _BIDI
    ),
    Sign("invisible-characters", Severity.MEDIUM, "holds characters that nobody sees", _INVISIBLE),
)

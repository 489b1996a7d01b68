"""Sentences that have a reader run what nobody looked into, outside of the skill.

What skill registries were flooded with in 2026: the code is harmless, and its page tells people (or their
agent) to install a "required utility" from an archive with a password, or to paste the command of some web
page into a terminal. Each repetition has a bound, so that no text takes long.
"""

from __future__ import annotations

import re

_MARKS = r"[*_`'\"]{0,4}"
_ARCHIVE = r"(?:extract|unzip|unpack|decompress|archive|zip|rar|7z)"
_RUN = r"(?:run|execute|launch|start|open|double-click)"
_TERMINAL = r"(?:terminal|powershell|command\s{1,4}prompt|console|shell)"
#: Where anybody shows a text under an address that says nothing of whose it is.
_PASTE = (
    r"(?:glot\.io|rentry\.(?:co|org)|pastebin\.com|hastebin\.com|paste\.ee|dpaste\.(?:com|org)|ghostbin\.(?:com|co)"
    r"|justpaste\.it|telegra\.ph|controlc\.com|codeshare\.io)"
)

#: Whoever scans downloads cannot look into an archive with a password.
LOCKED_ARCHIVE = re.compile(
    rf"\b{_ARCHIVE}\b[^\n.]{{0,60}}\bpass(?:word|phrase|code|wd)?\b{_MARKS}\s{{0,3}}(?:is|:|=){_MARKS}\s{{0,3}}{_MARKS}\w"
    r"|\(\s?extract\s{1,4}(?:with|using)\b[^)\n]{0,40}\)",
    re.IGNORECASE,
)
#: A page may be another one tomorrow, and for each who asks.
COMMAND_OF_A_PAGE = re.compile(
    r"\b(?:visit|open|go\s{1,4}to|see|from|copy)\b(?>[^\n]{0,80}?https?://)"
    r"(?>[^\n]{0,120}?\b(?:run|execute|paste|enter)\b)(?>[^\n.]{0,60}?\b(?:commands?|scripts?|code|it)\b)"
    rf"[^\n.]{{0,30}}?\b{_TERMINAL}\b"
    rf"|\b{_PASTE}/(?>[^\n]{{0,120}}?\b(?:run|execute|paste)\b)",
    re.IGNORECASE,
)
PROGRAM_OF_AN_ADDRESS = re.compile(
    r"\bdownload\b(?>[^\n]{0,100}?https?://)[^\s)>\]]{1,160}?\.(?:zip|exe|dmg|msi|rar|7z|pkg|scr|iso|appimage)\b"
    rf"(?>[^\n]{{0,80}}?\b{_RUN}\b)",
    re.IGNORECASE,
)

"""Sentences that ask for secrets to be sent away, told from documentation of an API, with the same words.

What tells them apart is what is sent. "Send requests with your API key to ..." sends requests; "send all API
keys to ..." sends keys. Whose or how many they are says whether that is a login or a theft; where it says
neither, it is left to a person. Each repetition has a bound, so that no text takes long.
"""

from __future__ import annotations

import re

_S = r"\s{1,8}"
_SEND = r"(?:send|post|upload|exfiltrat|forward|transmit|leak)\w{0,4}"
#: In documentation of an API, post is a method of HTTP.
_SEND_BUT_POST = _SEND.replace("post|", "")
_NOT_DENIED = r"(?<!never )(?<!not )(?<!n't )(?<!n\u2019t )"
_KIND = r"(?:access|auth\w{0,12}|api|session|bearer|refresh|github|security)[ _-]token"
_SECRETS = (
    r"(?:api[ _-]?keys?|credentials?|passwords?|passphrases?|secrets?"
    rf"|(?:private|ssh|signing|secret|access)[ _-]keys?|{_KIND}s|env(?:ironment)?[ _]var(?:iable)?s?)"
)
#: Not "all API key requests".
_NO_COMPOUND = (
    r"(?![\w-])(?=[`'\"*_)]{0,3}(?:\s{0,8}[,(:\u2013\u2014]|\s{1,8}(?:to|at|you|that|which|found|from|in|into|on|as|and|or"
    r"|of|via|over|back|stored|available|without|immediately|directly|silently|quietly|encoded|base64\w*|files?|it)\b))"
)
_FILE = (
    r"[`'\"*_]{0,3}(?:[~$/%\w][\w$~/.{}-]{0,60}/|~/)?(?:\.ssh/\w*|\.aws/credentials|\.env(?:\.\w{1,20})?|\.netrc|\.npmrc"
    r"|\.pypirc|\.kube/config|\.git-credentials|\.docker/config\.json|id_(?:rsa|ed25519|ecdsa)|/etc/shadow)(?![\w/])"
)
_WORD = (
    r"(?:(?!(?:with|using|requests?|calls?|in|for|by|and|or|to|from|under|through|via|including|per|of|that|which)\b)"
    rf"[\w'\u2019.-]{{1,30}}{_S})"
)
_WHOSE = r"(?:the|your|their|his|her|its|my|our|this|that|these|those|users?)"
_VICTIM = (
    r"(?:users?|customers?|victims?|owners?|developers?|hosts?|humans?|operators?|persons?|employees?|admins?|machines?"
    r"|systems?|computers?|readers?)['\u2019]s?"
)
_CLEAR = (
    rf"(?:(?:all|any|every|each)(?:{_S}of)?{_S}(?:{_WHOSE}{_S})?{_WORD}{{0,3}}?(?:{_SECRETS}|{_KIND}){_NO_COMPOUND}"
    rf"|(?:(?:the|this|your|each|every){_S})?{_VICTIM}{_S}{_WORD}{{0,3}}?(?:{_SECRETS}|tokens){_NO_COMPOUND}"
    rf"|(?:the{_S})?{_WORD}{{0,1}}?contents?{_S}of{_S}(?:{_WHOSE}{_S})?{_WORD}{{0,2}}?(?:{_FILE}|{_SECRETS}{_NO_COMPOUND})"
    rf"|(?:{_WHOSE}{_S})?{_WORD}{{0,2}}?{_FILE})"
)
_ANY = (
    rf"(?:(?:{_WHOSE}{_S})?{_WORD}{{0,2}}?(?:{_SECRETS}|{_KIND})"
    rf"|{_WHOSE}{_S}{_WORD}{{0,2}}?tokens?){_NO_COMPOUND}"
)
_END_OF_SENTENCE = r"[.!?]\s|\n\s{0,8}\n|\|"
_GAP = rf"(?:(?!{_END_OF_SENTENCE})[\s\S]){{0,80}}?"
#: How a server that one uses is told who asks.
_GAP_BUT_LOGIN = (
    rf"(?:(?!{_END_OF_SENTENCE}|\b(?:headers?|bearer|authori[sz]ation|parameters?|body|form|query|fields?)\b)"
    r"[\s\S]){0,80}?"
)
_TO = rf"\b(?:to|into|at|via){_S}(?:(?!see\b)[^\s|]{{0,40}}[^\s|.!?;]{_S}){{0,6}}?"
_AWAY = (
    rf"{_TO}(?:[<(\[`'\"*_]{{0,4}}(?:\[?[^\]\n\s]{{0,40}}\]\()?https?://[\w\[$<{{]"
    r"|webhook\b|attacker|following\s(?:url|address|endpoint|server|webhook|site|link))"
)
_SERVER = rf"{_TO}(?:server|endpoint)\b"
_COLLECT = r"(?:read|collect|gather|dump|grab|steal|harvest|extract|take|copy|find|print|cat)\w{0,4}"
_IT = r"(?:it|them|these|those|that|(?:the\s)?(?:results?|output|contents?|values?))"

#: Whoever writes this wants what is not theirs.
CLEARLY = re.compile(
    rf"{_NOT_DENIED}\b{_SEND}{_S}(?:(?:back|out|off|over|along){_S})?{_CLEAR}{_GAP_BUT_LOGIN}{_AWAY}"
    rf"|{_NOT_DENIED}\b{_COLLECT}{_S}{_CLEAR}{_GAP}\b{_SEND}{_S}{_IT}{_S}{_GAP_BUT_LOGIN}{_AWAY}",
    re.IGNORECASE,
)
#: The same where it may be a login, a warning, or a server that everybody knows.
PERHAPS = re.compile(
    rf"\b{_SEND}{_S}(?:(?:back|out|off|over|along){_S})?{_CLEAR}{_GAP}{_AWAY}"
    rf"|{_NOT_DENIED}\b{_SEND}{_S}{_CLEAR}{_GAP_BUT_LOGIN}{_SERVER}"
    rf"|{_NOT_DENIED}\b{_SEND_BUT_POST}{_S}{_ANY}{_GAP_BUT_LOGIN}{_AWAY}",
    re.IGNORECASE,
)

"""What is a comment and what a string in JavaScript and shell: as much of their grammars as that takes.

Whoever writes hostile code chooses what is hard to read. So in doubt a text is kept, what has no end is read
to where it must end, and ``beyond_doubt`` blanks only what is a comment however it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_JS_TOKEN = re.compile(
    r"(?P<space>\s++)"
    r"|(?P<comment>//[^\n\r\u2028\u2029]*+|/\*(?s:.*?)(?:\*/|\Z))"
    r"|(?P<string>'(?:[^'\\\n\r]|\\(?s:.))*+'?|\"(?:[^\"\\\n\r]|\\(?s:.))*+\"?)"
    r"|(?P<word>[\w$]++)"
    r"|(?P<mark>[`{}()/])"
    r"|(?P<other>[^\s\w$'\"`{}()/]++)"
)
_JS_REGEX = re.compile(r"/(?:[^/\\\[\n\r]|\\[^\n\r]|\[(?:[^\]\\\n\r]|\\[^\n\r])*+\])++/")
_JS_TEMPLATE = re.compile(r"(?:[^`\\$]|\\(?s:.)|\$(?!\{))*+")
#: Before a regular expression; after anything else a slash divides, or closes a tag of JSX.
_JS_BEFORE_REGEX = re.compile(r"(?:\A|[{},=:;!&|?*%~^(\[]|=>|(?<!\+)\+|(?<!-)-)\Z")
_JS_BEFORE_OPERAND = frozenset(
    {"return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "yield", "await"}
)
_JS_BEFORE_CONDITION = frozenset({"if", "while", "for", "with"})
#: A line's beginning; behind a quote or a brace it may be code, in a template or a tag of JSX.
_JS_SURE = re.compile(r"(?m)^[ \t]*+//[^'\"`*{<\n\r\u2028\u2029]*+")

_SH_TOKEN = re.compile(
    r"(?P<kept>\\(?s:.)#?"
    r"|\$'(?:[^'\\]|\\(?s:.))*+'?|'[^']*+'?"
    r'|"(?:[^"\\]|\\(?s:.))*+"?'
    r"|(?<!<)<<-?[ \t]*+\\?(?P<quote>['\"]?)(?P<end>[A-Za-z_][\w.-]*+)(?P=quote)"
    r"[^\n]*+(?:\n(?!\t*+(?P=end)\r?(?:\n|\Z))[^\n]*+)*+)"
    r"|(?P<comment>(?:\A|(?<=[ \t\n]))#(?!!)[^\n]*+)"
)
#: A line with those that it is continued on, and what continues it.
_SH_LINE = re.compile(r"(?:[^\\\n]++|\\\r?\n|\\(?s:.)|\\\Z)++")
_SH_CONTINUED = re.compile(r"(\\\r?\n)|\\(?s:.)")
_SH_SURE = re.compile(r"(?m)^(?<!\\\n)[ \t]*+#(?!!)[^'\"`$\n]*+")


@dataclass(slots=True)
class JavaScript:
    """A text read as JavaScript or TypeScript.

    Attributes
    ----------
    text
        As it was written.
    comments
        Where they begin and end.
    strings
        Where what is between quotes begins and ends: of a template, each piece of text, and after these the
        whole with the code inside of it.
    """

    text: str
    comments: list[tuple[int, int]] = field(default_factory=list)
    strings: list[tuple[int, int]] = field(default_factory=list)
    _regexes: list[tuple[int, int]] = field(default_factory=list)
    _conditions: list[bool] = field(default_factory=list)
    _braces: list[int | None] = field(default_factory=list)  # where a template begins that goes on behind it
    _templates: int = 0
    _no_regex_until: int = 0

    def __post_init__(self) -> None:
        at, before = 0, ""
        while match := _JS_TOKEN.match(self.text, at):
            at, token = match.end(), match[0]
            if match["comment"]:
                self.comments.append(match.span())
            elif match["string"]:
                closed = len(token) > 1 and token[-1] == token[0]
                self.strings.append((match.start() + 1, at - closed))
                before = "''"
            elif match["mark"]:
                at, before = self._mark(token, match.start(), before)
            elif not match["space"]:
                before = token

    def _mark(self, mark: str, at: int, before: str) -> tuple[int, str]:
        """Read on from a mark; return where it goes on, and what a slash there would follow."""
        if mark == "`":
            return self._template(at, at + 1)
        if mark == "{":
            self._braces.append(None)
        elif mark == "}" and self._braces:
            begun = self._braces.pop()
            if begun is not None:
                self._templates -= 1
                return self._template(begun, at + 1)
        elif mark == "(":
            self._conditions.append(before in _JS_BEFORE_CONDITION)
        elif mark == ")" and self._conditions and self._conditions.pop():
            return at + 1, ""
        elif mark == "/" and self._operand_follows(before) and at >= self._no_regex_until:
            if regex := _JS_REGEX.match(self.text, at):
                self._regexes.append((at + 1, regex.end() - 1))
                return regex.end(), "''"
            # One failure a line: a line of nothing else would be read as often as it has slashes.
            self._no_regex_until = self._line_end(at)
        return at + 1, mark

    def _template(self, begun: int, at: int) -> tuple[int, str]:
        end = self._piece(at)
        if self.text.startswith("${", end):
            self._braces.append(begun)
            self._templates += 1
            return end + 2, "{"
        if begun + 1 < at and not self._templates:
            self.strings.append((begun + 1, end))
        return end + 1, "''"

    def _piece(self, at: int) -> int:
        match = _JS_TEMPLATE.match(self.text, at)
        end = match.end() if match else at
        self.strings.append((at, end))
        return end

    @staticmethod
    def _operand_follows(before: str) -> bool:
        return before in _JS_BEFORE_OPERAND or bool(_JS_BEFORE_REGEX.search(before[-2:]))

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end

    def code(self) -> str:
        """Return the text with its comments blanked, each character for one."""
        return self._without(self.comments)

    def bare(self) -> str:
        """Return the text with comments, regular expressions and what stands in quotes blanked."""
        pieces: dict[int, int] = {}
        for start, end in self.strings:  # a whole template begins where its first piece does
            pieces[start] = min(end, pieces.get(start, end))
        return self._without(sorted([*self.comments, *self._regexes, *pieces.items()]))

    def _without(self, spans: Iterable[tuple[int, int]]) -> str:
        parts, at = [], 0
        for start, end in spans:
            parts += [self.text[at:start], _blank(self.text[start:end])]
            at = end
        return "".join([*parts, self.text[at:]])

    def beyond_doubt(self) -> str:
        """Return the text with only that blanked which is a comment even if all around it was misread."""
        return _JS_SURE.sub(lambda match: _blank(match[0]), self.text)


def shell_code(text: str) -> str:
    """Return shell code with its comments blanked, each character for one.

    What stands in quotes or in a here-document is kept.
    """
    return _SH_TOKEN.sub(lambda match: _blank(match[0]) if match["comment"] else match[0], text)


def shell_beyond_doubt(text: str) -> str:
    """Return shell code with only that blanked which is a comment even if all around it was misread."""
    return _SH_SURE.sub(lambda match: _blank(match[0]), text)


def joined_lines(text: str) -> str:
    """Return shell code with continued lines made one, as a shell does; later lines keep their number."""
    return _SH_LINE.sub(lambda match: _joined(match[0]), text) if "\\" in text else text


def _joined(line: str) -> str:
    text = _SH_CONTINUED.sub(lambda match: "" if match[1] else match[0], line)
    return text + "\n" * (line.count("\n") - text.count("\n"))


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)

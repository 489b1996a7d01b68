"""What ``allowed-tools`` asks for: an agent's tools, with patterns such as ``Bash(git commit:*)``.

A text with commas or spaces between them, or a list of such texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .frontmatter import Frontmatter
from .problems import Remarks

COMMAND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")
#: An agent's tools whose work the sandbox's own files are there for.
_FILE_TOOLS = frozenset(
    {"Read", "Write", "Edit", "MultiEdit", "Glob", "Grep", "LS", "NotebookEdit", "NotebookRead"}
)


def commands_of_tools(front: Frontmatter, remarks: Remarks) -> Iterator[tuple[str, int]]:
    """Yield the commands that ``allowed-tools`` names, with lines; refuse tools that no sandbox has."""
    value = front.fields.get("allowed-tools")
    if value is None:
        return
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        remarks.error(
            front.file, front.line("allowed-tools"), "allowed-tools is not a text or a list of texts."
        )
        return
    for index, text in enumerate(texts):
        line = front.line("allowed-tools", index)
        for tool in _split(text):
            name, opened, pattern = tool.partition("(")
            command = re.split(r"[\s:*)]", pattern.strip(), maxsplit=1)[0] or "bash"
            reason = fix = ""
            if opened and not tool.endswith(")"):
                reason, fix = "does not end its parenthesis.", "Write it as in Bash(git commit:*)."
            elif name in _FILE_TOOLS:
                continue
            elif name != "Bash":
                reason = "is a tool of an agent that a sandbox does not have."
                fix = "Remove it, or leave the field out with --without allowed-tools."
            elif COMMAND.fullmatch(command):
                yield command, line
            elif "/" not in command:
                reason = "names no command."
            if reason:
                remarks.error(front.file, line, f"allowed-tools: {tool!r:.80} {reason}", fix)


def _split(text: str) -> Iterator[str]:
    """Yield the tools of a text; inside of parentheses and quotes, commas and spaces are of a pattern."""
    tool, depth, quote, escaped = "", 0, "", False
    for char in text:
        if depth == 0 and (char.isspace() or char == ","):
            if tool:
                yield tool
            tool = ""
            continue
        tool += char
        if escaped or char == "\\":
            escaped = not escaped
        elif quote:
            quote = "" if char == quote else quote
        elif depth and char in "\"'":
            quote = char
        elif char in "()":
            depth = max(depth + (1 if char == "(" else -1), 0)
    # A quote that nothing closes may have taken more than its tool: cut short, it cannot pass for one.
    if tool:
        yield tool.rstrip(")") if depth else tool

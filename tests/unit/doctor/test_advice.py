"""What people are told to type exists: every `aotpack COMMAND --option` of messages and pages, held against the CLI."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from aotpack.cli import COMMANDS, group

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
CODE = [
    path
    for folder in ("toolchain", "templates", "bridge", "examples")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".cpp", ".h", ".c", ".toml", ".txt", ".md")
]
_COMMAND = re.compile(r"\baotpack ([a-z]+)\b([^\n#`\"';|]*)")
CONTEXT = click.Context(group)


def texts(path: Path) -> Iterator[str]:
    """What a file says: of Python its strings, with a word for what they are filled with; else all of it."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield content
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "VALUE" for part in node.values)


def wrong(text: str) -> Iterator[str]:
    """The options of commands in a text that there are not, and their values that are refused."""
    for found in _COMMAND.finditer(text):
        if found[1] not in COMMANDS:
            continue  # "aotpack takes ...": a sentence
        command = group.get_command(CONTEXT, found[1])
        assert command is not None
        said = found[2].partition(", ")[0]  # what follows is another thing to do
        words = [word.strip("[](),.:") for word in said.split()]
        if isinstance(command, click.Group) and words:
            sub = command.get_command(CONTEXT, words[0])
            if sub is None:
                yield f"aotpack {found[1]} has no {words[0]}"
                continue
            command = sub
        options = {name: option for option in command.get_params(CONTEXT) for name in option.opts}
        for word, following in zip(words, [*words[1:], ""], strict=False):
            name, _, value = word.partition("=")
            if not name.startswith("--"):
                continue
            if name not in options:
                yield f"aotpack {found[1]} has no {name}"
                continue
            kind = options[name].type
            value = value or following
            if isinstance(kind, click.Choice) and value.isalpha() and value.islower() and value not in kind.choices:
                yield f"aotpack {found[1]} {name} is never {value}"


@pytest.mark.parametrize("path", [*PAGES, *CODE], ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_people_are_told_to_type_exist(path: Path) -> None:
    assert [fault for text in texts(path) for fault in wrong(text)] == []


def test_a_wrong_command_is_seen() -> None:
    assert list(wrong("type: aotpack build --protable")) == ["aotpack build has no --protable"]
    assert list(wrong("aotpack init --backend=metal   # --never")) == ["aotpack init --backend is never metal"]
    assert list(wrong("aotpack cache clear --kind slim")) == ["aotpack cache has no clear"]
    assert list(wrong("aotpack cache clean --sort slim")) == ["aotpack cache has no --sort"]
    assert list(wrong("`aotpack build --backend rocm|cuda --portable`")) == []

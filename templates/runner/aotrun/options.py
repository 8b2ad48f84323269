"""Command lines: a table of options in, values or a help text out.

argparse would cost a third of the time from start to first output, and ends usage errors in its own words.
"""

from __future__ import annotations

from aotrun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence, Tuple


class Option:
    """One option.

    Args:
        flags: spellings such as `--input`; the last one names the value.
        help: one line.
        metavar: what the value is; None for a switch.
        default: value when it is not given.
        many: may be given several times; the value is a list.
        choices: allowed values.
        number: smallest allowed integer; the value is an int.
    """

    __slots__ = ("choices", "default", "flags", "help", "many", "metavar", "number")

    def __init__(
        self,
        *flags: str,
        help: str,  # noqa: A002
        metavar: Optional[str] = None,
        default: Any = None,
        many: bool = False,
        choices: Sequence[str] = (),
        number: Optional[int] = None,
    ) -> None:
        self.flags = flags
        self.help = help
        self.metavar = "|".join(choices) if choices else metavar
        self.default = default
        self.many = many
        self.choices = choices
        self.number = number

    @property
    def key(self) -> str:
        """Under which the value is found."""
        return self.flags[-1].lstrip("-").replace("-", "_")


class Command:
    """One subcommand.

    Args:
        name: as typed.
        module: module of this package whose `main(values)` runs it and returns the exit code.
        summary: one line.
        options: what it takes.
        examples: command lines for the help text.
    """

    __slots__ = ("examples", "module", "name", "options", "summary")

    def __init__(
        self, name: str, module: str, summary: str, options: Sequence[Option], examples: Sequence[str]
    ) -> None:
        self.name = name
        self.module = module
        self.summary = summary
        self.options = tuple(options)
        self.examples = tuple(examples)

    def parse(self, words: Sequence[str]) -> Dict[str, Any]:
        """Values by option. Raises UsageError."""
        by_flag = {flag: option for option in self.options for flag in option.flags}
        values: Dict[str, Any] = {
            option.key: [] if option.many else (option.default if option.metavar else False) for option in self.options
        }
        rest = list(words)
        while rest:
            word = rest.pop(0)
            flag, equals, inline = word.partition("=") if word.startswith("--") else (word, "", "")
            option = by_flag.get(flag)
            if option is None:
                known = ", ".join(option.flags[-1] for option in self.options)
                kind = "option" if word.startswith("-") else "argument"
                raise self._refuse(f"unknown {kind} {word}", f"Known: {known}.")
            if option.metavar is None:
                if equals:
                    raise self._refuse(f"{flag} takes no value, got {inline!r}", "It is a switch.")
                values[option.key] = True
                continue
            if not equals and not rest:
                raise self._refuse(f"{flag} needs a value", f"Write {flag} {option.metavar}.")
            value = self._convert(option, inline if equals else rest.pop(0))
            if option.many:
                values[option.key].append(value)
            else:
                values[option.key] = value
        return values

    def _convert(self, option: Option, text: str) -> Any:
        if option.choices and text not in option.choices:
            raise self._refuse(f"{option.flags[-1]} {text}", f"It is one of {', '.join(option.choices)}.")
        if option.number is None:
            return text
        # int() itself takes underscores and other digits, and complains about long ones in its own words.
        digits = text[1:] if text[:1] == "-" else text
        if not digits.isdecimal() or len(digits) > 9 or int(text) < option.number:
            raise self._refuse(f"{option.flags[-1]} {text}", f"It is a whole number from {option.number} to 999999999.")
        return int(text)

    def _refuse(self, what: str, meaning: str) -> UsageError:
        return UsageError(what, meaning, f"See: aotrun {self.name} --help")

    def help(self) -> str:
        """The help text."""
        rows = [(_left(option), _right(option)) for option in self.options]
        examples = "\n".join(f"  {example}" for example in self.examples)
        parts = (f"Usage: aotrun {self.name} [options]", self.summary, f"Options:\n{table(rows)}")
        return "\n\n".join((*parts, f"Examples:\n{examples}\n"))


def _left(option: Option) -> str:
    return ", ".join(option.flags) + (f" {option.metavar}" if option.metavar else "")


def _right(option: Option) -> str:
    notes: List[str] = []
    if option.many:
        notes.append("may be repeated")
    if option.default is not None:
        notes.append(f"default {option.default}")
    return option.help + (f" ({'; '.join(notes)})" if notes else "")


def table(rows: Sequence[Tuple[str, str]]) -> str:
    """Two aligned columns; a long left side gets a line of its own."""
    width = min(max(len(left) for left, _ in rows), 26)
    lines = []
    for left, right in rows:
        gap = "\n" + " " * (width + 4) if len(left) > width else " " * (width + 2 - len(left))
        lines.append(f"  {left}{gap}{right}")
    return "\n".join(lines)

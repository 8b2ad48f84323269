"""What a check says: a stable code, what was seen, what it means, what to type."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

#: Of the JSON document; grows when a field changes meaning.
SCHEMA = 1

#: Groups in the order in which they are shown, by the first digit of their codes.
GROUPS = {"1": "host", "2": "torch", "3": "toolkit", "4": "model", "5": "bundle", "6": "target"}

#: Exit codes in the order in which their causes are to be mended: damage, then what to build with, then the rest.
_MEND_FIRST = (6, 3, 4, 5, 7, 1)


class Severity(str, Enum):
    """How bad it is. Only errors make the exit code."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return list(Severity).index(self)


class Kind(NamedTuple):
    """One code: what it stands for, forever.

    Attributes:
        code: `AP` and three digits; the first digit is the group.
        severity: the usual one.
        title: a few words.
        meaning: why it matters, in a sentence.
        exit_code: of the class of errors it belongs to.
    """

    code: str
    severity: Severity
    title: str
    meaning: str
    exit_code: int

    @property
    def group(self) -> str:
        return GROUPS[self.code[2]]

    def found(self, seen: str, *fix: str, severity: Severity | None = None) -> Finding:
        """A finding of this kind.

        Args:
            seen: the values seen.
            fix: commands or steps, the first to try first.
            severity: when the circumstances make it better or worse than usual.
        """
        return Finding(self, severity or self.severity, seen, fix)


class Finding(NamedTuple):
    """One thing found."""

    kind: Kind
    severity: Severity
    seen: str
    fix: tuple[str, ...]

    @property
    def docs(self) -> str:
        """The page section about this code."""
        return f"docs/doctor.md#{self.kind.code.lower()}"

    def document(self) -> dict[str, object]:
        """For `--json`; schema in schemas/findings.schema.json."""
        return {
            "code": self.kind.code,
            "severity": str(self.severity),
            "title": self.kind.title,
            "seen": self.seen,
            "meaning": self.kind.meaning,
            "fix": list(self.fix),
            "docs": self.docs,
        }


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Errors before warnings before infos; among equals what is to be mended first."""
    return sorted(
        findings, key=lambda found: (found.severity.rank, _MEND_FIRST.index(found.kind.exit_code), found.kind.code)
    )


def exit_code(findings: list[Finding]) -> int:
    """0 without errors, else the exit code of the worst class."""
    errors = [found for found in worst_first(findings) if found.severity is Severity.ERROR]
    return errors[0].kind.exit_code if errors else 0


def document(findings: list[Finding]) -> dict[str, object]:
    """The one document of `--json`."""
    return {"schema": SCHEMA, "findings": [found.document() for found in worst_first(findings)]}

"""A failure that the toolchain turns into one of its own errors."""

from __future__ import annotations


class WorkerError(Exception):
    """Three lines for the user, as in `aotpack.errors`, which is out of reach in this process.

    Args:
        kind: which error it becomes: `usage`, `torch`, `tool` or `failed`.
    """

    def __init__(self, what: str, *, meaning: str, fix: str, kind: str = "failed", detail: str = "") -> None:
        super().__init__(what)
        self.kind = kind
        self.meaning = meaning
        self.fix = fix
        self.detail = detail

    def document(self) -> dict[str, str]:
        """The event that carries it."""
        return {
            "event": "error",
            "kind": self.kind,
            "what": str(self),
            "meaning": self.meaning,
            "fix": self.fix,
            "detail": self.detail,
        }


def no_space(place: str) -> WorkerError:
    """The disk that holds `place` is full."""
    return WorkerError(
        f"{place}: no space left on device",
        meaning="there is no room for the compiler's files; no package has been written",
        fix="free some space (df -h), or set TMPDIR to a folder on a larger disk",
    )

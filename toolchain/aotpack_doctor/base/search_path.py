"""Where an entry of a library's search path (RPATH or RUNPATH) leads within a bundle."""

from __future__ import annotations

_ORIGIN = ("$ORIGIN", "${ORIGIN}")


def is_relative(text: str) -> bool:
    """Whether an entry starts at the library's own folder."""
    return any(text == variable or text.startswith(f"{variable}/") for variable in _ORIGIN)


def inside(text: str, folder: str) -> str | None:
    """The folder of the bundle that an entry names, "" for the bundle's own; None when it leaves the bundle.

    Args:
        text: the entry as written.
        folder: of the library, relative to the bundle.
    """
    if not is_relative(text):
        return None
    parts: list[str] = []
    for part in (*folder.split("/"), *text.split("/")[1:]):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)

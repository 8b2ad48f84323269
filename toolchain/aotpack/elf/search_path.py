"""Where a search path entry leads within a bundle. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

_ORIGIN = ("$ORIGIN", "${ORIGIN}")


def is_relative(text: str) -> bool:
    """Whether a search path entry starts at the library's own folder."""
    return any(text == variable or text.startswith(f"{variable}/") for variable in _ORIGIN)


def inside(text: str, folder: PurePosixPath) -> str | None:
    """The bundle folder that a search path entry names, or None when it leaves the bundle.

    Args:
        text: as in DT_RPATH or DT_RUNPATH, one entry.
        folder: of the library, relative to the bundle.
    """
    if not is_relative(text):
        return None
    parts: list[str] = []
    for part in (*folder.parts, *PurePosixPath(text.partition("/")[2]).parts):
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            return None
    return "/".join(parts)


def relative_link(link: str, target: str) -> str:
    """What a symbolic link at `link` must say to point at `target`; both relative to the bundle."""
    start, goal = PurePosixPath(link).parent.parts, PurePosixPath(target).parts
    common = 0
    while common < min(len(start), len(goal)) and start[common] == goal[common]:
        common += 1
    return "/".join([*(".." for _ in start[common:]), *goal[common:]])

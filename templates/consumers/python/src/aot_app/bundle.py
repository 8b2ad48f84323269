"""Where the bundle is, and the runner in it."""

from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))


def bundle_path() -> str:
    """The folder that AOT_BUNDLE names, else `bundle` beside this package or beside the folder `src` it lies in."""
    named = os.environ.get("AOT_BUNDLE")
    if named:
        return named
    beside = os.path.join(os.path.dirname(_HERE), "bundle")
    above = os.path.join(os.path.dirname(os.path.dirname(_HERE)), "bundle")
    return beside if os.path.isdir(beside) else above


def use_runner(bundle: str) -> None:
    """Make `import aotrun` find the runner of `bundle`; the first bundle of a process provides it."""
    runner = os.path.join(bundle, "runner")
    if not os.path.isdir(runner):
        raise FileNotFoundError(
            f"{runner} is missing\n"
            "the runner comes with the bundle\n"
            "link the project to one, ln -s /path/to/the/bundle bundle, or set AOT_BUNDLE"
        )
    if runner not in sys.path:
        sys.path.insert(0, runner)

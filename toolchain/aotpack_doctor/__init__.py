"""Says what is wrong, what it means and what to type.

The same package serves `aotpack doctor` on the build machine and `aotrun doctor` inside a bundle, so it lives on the
standard library of Python 3.8 alone, in the part that bundles carry, and imports nothing of aotpack. Facts are read
once (`reading`) into one `HostFacts`; checks are pure functions from those to findings (`findings.checks`);
`findings.explain` maps pasted messages to the same findings.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence


def main(words: Sequence[str]) -> int:
    """`aotrun doctor`: examine the bundle that this package lies in; returns the exit code."""
    from aotpack_doctor import on_target

    return on_target.main(words)

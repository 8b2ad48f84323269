"""What a finding says where there is nothing but a bundle: nobody there has aotpack to type its commands."""

from __future__ import annotations

import re

from aotpack_doctor.findings.finding import Finding

_HERE = "BUNDLE/bin/aotrun doctor"
#: aotpack's command -> what it is to do, by whoever built the bundle.
_ELSEWHERE = {
    "build": "build the bundle again",
    "export": "export the model again",
    "init": "take another torch",
}
_STEP = re.compile(r"(?:(\S+=\S+) )?aotpack (\w+) ?([^#]*?)(?: *\.\.\.)? *(?:#\s*(.*))?$")


def for_target(found: Finding) -> Finding:
    """The finding with steps that can be taken on the target, or that say who can take them."""
    return found._replace(fix=tuple(map(_step, found.fix)))


def _step(step: str) -> str:
    match = _STEP.fullmatch(step)
    if match is None:
        return step
    _variable, command, options, comment = match.groups()
    if command not in _ELSEWHERE:
        return f"{_HERE}   # {comment}" if comment else _HERE
    words = " ".join(word for word in options.split() if word not in ("--force", "FILE.py:FUNCTION"))
    told = f"where the bundle was built: {_ELSEWHERE[command]}"
    return told + (f", with {words}" if words else "") + (f" ({comment})" if comment else "")

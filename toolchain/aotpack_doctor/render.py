"""Findings for people: plain text, the same on a terminal (in colour) and in a log."""

from __future__ import annotations

import textwrap
from typing import Callable, Iterator

from aotpack_doctor.base.printable import printable
from aotpack_doctor.facts import Bundle, HostFacts, Nvidia, Torch
from aotpack_doctor.findings.finding import GROUPS, Finding, Severity, worst_first

#: (style, text) -> text as it is to be printed. Styles: error, warning, info, ok, code, dim, bold.
Paint = Callable[[str, str], str]

_ANSI = {"error": "1;31", "warning": "33", "info": "36", "ok": "32", "code": "1", "dim": "2", "bold": "1"}
_WIDTH = 100
_LABEL = 9


def plain(style: str, text: str) -> str:
    """No colour."""
    return text


def ansi(style: str, text: str) -> str:
    """Colours of a terminal."""
    return f"\033[{_ANSI[style]}m{text}\033[0m"


def report(facts: HostFacts, findings: list[Finding], paint: Paint, command: str = "aotpack doctor") -> str:
    """The whole answer: a line a group, the findings, what to do next. `command` is that of the doctor who speaks."""
    lines = [*_groups(facts, findings, paint), *_findings(findings, paint, command), "", conclusion(findings, paint)]
    return "\n".join(lines)


def explained(findings: list[Finding], paint: Paint, command: str = "aotpack doctor") -> str:
    """The answer to a pasted message."""
    return "\n".join([*_findings(findings, paint, command), "", conclusion(findings, paint)]).lstrip("\n")


def _groups(facts: HostFacts, findings: list[Finding], paint: Paint) -> Iterator[str]:
    summaries = summaries_of(facts)
    for group in GROUPS.values():
        mine = [found for found in worst_first(findings) if found.kind.group == group]
        if group not in summaries and not mine:
            continue
        state = str(mine[0].severity) if mine else "ok"
        count = f" ({len(mine)})" if len(mine) > 1 else ""
        label = paint(state, (state + count).ljust(_LABEL + 3))
        summary = printable(summaries.get(group, ""))
        yield f"{label} {paint('bold', group)}" + (" " * (9 - len(group)) + summary if summary else "")


def _findings(findings: list[Finding], paint: Paint, command: str) -> Iterator[str]:
    for found in worst_first(findings):
        yield ""
        head = f"{found.severity} {found.kind.code}"
        yield f"{paint(str(found.severity), head)}  {paint('bold', found.kind.title)}"
        yield from _block("seen", printable(found.seen))
        yield from _block("meaning", found.kind.meaning)
        for number, step in enumerate(found.fix):
            # Not wrapped: it is there to be copied.
            yield f"  {('fix' if number == 0 else 'or').ljust(_LABEL)}{paint('code', printable(step))}"
        yield f"  {'more'.ljust(_LABEL)}{paint('dim', f'{command} --explain {found.kind.code}')}"


def _block(label: str, text: str) -> list[str]:
    indent = " " * (_LABEL + 2)
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"  {label.ljust(_LABEL)}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def conclusion(findings: list[Finding], paint: Paint = plain) -> str:
    """The last line: how many of what, and what to do next."""
    if not findings:
        return paint("ok", "All is well.")
    ordered = worst_first(findings)
    counts = [
        f"{number} {severity}{'s' if number > 1 else ''}"
        for severity in Severity
        for number in [sum(found.severity is severity for found in findings)]
        if number
    ]
    step = printable(ordered[0].fix[0]) if ordered[0].fix else f"see {ordered[0].docs}"
    if ordered[0].severity is Severity.INFO:
        return paint("ok", f"All is well ({', '.join(counts)}).")
    return f"{', '.join(counts)}. Next: {paint('code', step)}"


def summaries_of(facts: HostFacts) -> dict[str, str]:
    """Group -> what was seen of it, in a line. A group that was not looked at is not in it."""
    found = {"host": _host(facts)}
    if facts.torch is not None:
        found["torch"] = _torch(facts.torch)
    toolkit = _toolkit(facts)
    if toolkit:
        found["toolkit"] = toolkit
    if facts.models:
        found["model"] = ", ".join(model.name for model in facts.models)
    if facts.bundle is not None:
        found["bundle"] = _bundle(facts.bundle)
        found["target"] = f"to run {facts.backend} here" if facts.runs_here else "not asked for"
    return found


def _host(facts: HostFacts) -> str:
    host = facts.host
    libc = f"{host.libc} {host.libc_version}" if host.libc_version else host.libc or "libc not known"
    parts = [host.system, host.machine, libc]
    if host.container:
        parts.append(f"in {host.container}")
    if facts.tools is not None:
        named = (
            (facts.tools.compiler_kind or "compiler", facts.tools.compiler),
            ("cmake", facts.tools.cmake),
            ("ninja", facts.tools.ninja),
        )
        parts += [f"{name} {tool.version or 'version not known'}" for name, tool in named if tool.path]
    return " · ".join(parts)


def _torch(torch: Torch) -> str:
    if torch.problem:
        return torch.label or "none"
    return f"{torch.label} from {torch.source}"


def _toolkit(facts: HostFacts) -> str:
    if facts.backend == "cuda":
        return _nvidia(facts.nvidia) if facts.nvidia else ""
    if facts.backend == "rocm" and facts.amd:
        gpus = ", ".join(gpu.arch or "not known" for gpu in facts.amd.gpus)
        return f"amdgpu {'loaded' if facts.amd.module else 'not loaded'} · GPUs: {gpus or 'none'}"
    return ""


def _nvidia(nvidia: Nvidia) -> str:
    gpus = ", ".join(f"{gpu.name or 'GPU'} ({gpu.arch or 'not known'})" for gpu in nvidia.gpus)
    return f"driver {nvidia.driver or nvidia.module or 'none'} · GPUs: {gpus or 'none'}"


def _bundle(bundle: Bundle) -> str:
    if bundle.machine is None:
        return bundle.path
    size = sum(size for _path, _part, size in bundle.sizes)
    kind = "portable" if bundle.portable else "development"
    signed = " · signed by this key" if bundle.signed else ""
    return f"{bundle.path} · {bundle.backend} · {bundle.runtime} runtime · {kind} · {size / 1e6:.0f} MB{signed}"


def listing(rows: list[tuple[str, str, str, str]]) -> str:
    """The table of `--list`: (code, severity, group, title)."""
    return "\n".join(f"{code}  {severity.ljust(7)}  {group.ljust(7)}  {title}" for code, severity, group, title in rows)

"""benchmarks/RESULTS.md: a section for each kind of CPU, written by a run on that kind and by no other."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

PAGE = Path(__file__).with_name("RESULTS.md")

#: From the oldest to the newest, with a feature that /proc/cpuinfo lists where the kind begins.
KINDS: Mapping[str, str] = {
    "x86-64": "",
    "AVX2": "avx2",
    "AVX-512": "avx512f",
    "AVX-512 with bfloat16": "avx512_bf16",
    "AVX-512 and AMX": "amx_tile",
}


def cpu_kind(cpuinfo: str) -> str:
    """The kind of a machine's CPU, from the text of /proc/cpuinfo."""
    found = re.search(r"^flags\s*:(.*)$", cpuinfo, re.MULTILINE)
    flags = set(found[1].split()) if found else set()
    return [kind for kind, feature in KINDS.items() if not feature or feature in flags][-1]


def with_section(page: str, kind: str, lines: Iterable[str]) -> str:
    """The page with its section of one kind replaced or added; the others stay, in the order of `KINDS`."""
    head, *parts = re.split(r"^## ", page, flags=re.MULTILINE)
    sections = {part.partition("\n")[0].strip(): part.partition("\n")[2].strip() for part in parts}
    sections[kind] = "\n".join(lines).strip()
    order = [*(each for each in KINDS if each in sections), *(each for each in sections if each not in KINDS)]
    return "\n\n".join([head.strip(), *(f"## {each}\n\n{sections[each]}" for each in order)]) + "\n"


def processor(cpuinfo: str) -> str:
    """What a machine's CPU calls itself, from the text of /proc/cpuinfo."""
    found = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    return found[1] if found else platform.machine()


def publish(lines: Iterable[str], file: Path = PAGE) -> str:
    """Write the section of this machine's kind into a page; returns the page."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    today = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    machine = f"{processor(cpuinfo)}, {os.cpu_count()} cores, {system}; {today}."
    page = with_section(file.read_text(encoding="utf-8"), cpu_kind(cpuinfo), [machine, "", *lines])
    file.write_text(page, encoding="utf-8")
    return page

"""The page of results: each kind of CPU keeps its own section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import results

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ("fpu sse4_2", "x86-64"),
        ("fpu avx avx2 fma", "AVX2"),
        ("avx2 avx512f avx512_vnni", "AVX-512"),
        ("avx2 avx512f avx512_vnni avx512_bf16", "AVX-512 with bfloat16"),
        ("avx2 avx512f amx_tile amx_bf16", "AVX-512 and AMX"),
    ],
)
def test_the_kind_follows_from_the_flags(flags: str, kind: str) -> None:
    assert results.cpu_kind(f"model name\t: x avx512f\nflags\t\t: {flags}\n") == kind


def test_a_run_replaces_its_own_section_alone() -> None:
    page = "# Benchmarks\n\nintro\n\n## AVX2\n\nold\n\n| a | b |\n"
    both = results.with_section(page, "AVX-512", ["new", "", "| c |"])
    assert both == "# Benchmarks\n\nintro\n\n## AVX2\n\nold\n\n| a | b |\n\n## AVX-512\n\nnew\n\n| c |\n"
    assert results.with_section(both, "AVX2", ["newer"]) == both.replace("old\n\n| a | b |", "newer")


def rows(text: str, head: str) -> dict[str, list[str]]:
    """Cells by way, of the table of a text whose header begins so."""
    lines = text[text.index(f"| {head} |") :].partition("\n\n")[0].splitlines()[2:]
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {way: cells for way, *cells in table}


#: What the README leaves to the page of results.
NOT_QUOTED = {"aotpack full: Python runner"}


def test_the_readme_says_what_was_measured() -> None:
    """Its table has every way of the section that it names, and that section every way that any has."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.search(r"on a machine with ([^(]+) \(\[all figures\]", readme)
    assert named is not None
    page = results.PAGE.read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]}
    section = sections[named[1]]
    measured, disk = rows(section, "way"), rows(section, "on disk")
    assert set(measured) == {way for each in sections.values() for way in rows(each, "way")}
    quoted = rows(readme, "way")
    assert set(quoted) == set(measured) - NOT_QUOTED
    assert {"ONNX Runtime, Python", "Python + torch"} < set(quoted)
    for way, cells in quoted.items():
        first, _, call, *_ = measured[way]
        size = f"{float(disk[way][0]):.0f} MB" if way in disk else "-"
        assert cells == [f"{float(first):.0f} ms", f"{float(call):.0f} us", size], way

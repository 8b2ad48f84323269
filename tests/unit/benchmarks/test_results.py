"""The page of results: each kind of CPU keeps its own section."""

from __future__ import annotations

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


def figures(text: str, way: str) -> list[str]:
    """The cells of the row of a way in the first table of a text that has one."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {way} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_readme_says_what_was_measured() -> None:
    """Start, time a call and size on disk of each row of the README's table are those of the AVX2 section."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = results.PAGE.read_text(encoding="utf-8")
    section = page[page.index("## AVX2") :].partition("\n## ")[0]
    disk = section[section.index("| on disk |") :]
    rows = [line for line in readme.splitlines() if line.startswith("| ") and " ms |" in line]
    assert len(rows) >= 5
    for row in rows:
        way, start, call, size = (cell.strip() for cell in row.split("|")[1:5])
        measured = figures(section, way)
        assert start == f"{float(measured[0]):.0f} ms", way
        assert call == f"{float(measured[2]):.0f} us", way
        if size != "-":
            assert size == f"{float(figures(disk, way)[0]):.0f} MB", way

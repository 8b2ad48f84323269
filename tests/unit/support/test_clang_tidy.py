"""Batches of files spare clang-tidy their headers, and change nothing of what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tools import clang_tidy
from tests.tools.clang_tidy import BATCH, INSTRUCTIONS, SLIM, Source, batches, headers_alone


def sources(folder: Path, count: int, *flags: str) -> list[Source]:
    made = []
    for number in range(count):
        path = folder / f"{'_'.join(flags)}{number}.cpp"
        path.write_text(f"int of_{number};\n")
        made.append(Source(path, flags, None))
    return made


def test_each_file_is_in_one_batch_with_others_of_its_options(tmp_path: Path) -> None:
    all_sources = [*sources(tmp_path, 2 * BATCH + 1, "a"), *sources(tmp_path, 1, "b")]
    made = batches(all_sources)
    assert sorted(source.path for batch in made for source in batch) == sorted(source.path for source in all_sources)
    assert all(len({source.flags for source in batch}) == 1 for batch in made)
    assert max(map(len, made)) <= BATCH


def test_programs_are_in_batches_of_their_own(tmp_path: Path) -> None:
    """Two with a `main` would be one bad batch, and all of its files looked at twice."""
    all_sources = sources(tmp_path, 3 * BATCH)
    programs = [all_sources[number] for number in (0, 3, 6)]
    for source in programs:
        source.path.write_text("int main() { return 0; }\n")
    made = batches(all_sources)
    assert [sum(source in programs for source in batch) for batch in made] == [1, 1, 1]


def test_of_a_batch_that_has_something_each_file_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clang_tidy, "ROOT", tmp_path)
    batch = sources(tmp_path, 3)
    batch[1].path.write_text("int bad;\n")
    asked = []

    def tidy(file: Path, _flags: object, _checks: str) -> str:
        asked.append(file)
        return "bad" if "bad" in file.read_text() else ""

    monkeypatch.setattr(clang_tidy, "_tidy", tidy)
    assert clang_tidy._doubtful(batch) == batch
    assert [clang_tidy._complaints(source) for source in batch] == ["", "bad", ""]
    (unit, *_) = asked
    assert [f'#line 1 "{source.path}"' in unit.read_text() for source in batch] == [True] * 3
    batch[1].path.write_text("int good;\n")
    assert clang_tidy._doubtful(batch) == ()


def test_headers_that_no_source_includes_first_are_compiled_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "seen.h": "#pragma once\n",
        "seen.cpp": '// Of it.\n#include "folder/seen.h"\n',
        "late.h": "#pragma once\nint64_t of_late();\n",
        "late.cpp": '#include <cstdint>\n\n#include "late.h"\n',
        "whole.h": "#pragma once\nint of_whole();\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(clang_tidy, "SLIM", tmp_path)
    late, whole = headers_alone(tmp_path)
    assert (late.name, whole.name) == ("late.h", "whole.h")
    assert "int64_t" in clang_tidy._incomplete(Source(late, (), None))
    assert clang_tidy._incomplete(Source(whole, (), None)) == ""


def test_kernels_of_each_instruction_set_are_compiled_for_it() -> None:
    folders = {path.parent.name for path in (SLIM / "kernels" / "matrix").glob("*/kernels.cpp")}
    assert folders - {"baseline"} <= set(INSTRUCTIONS)

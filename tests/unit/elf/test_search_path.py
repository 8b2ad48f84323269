"""Where search path entries and links lead within a bundle."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from aotpack.elf.search_path import inside, is_relative, relative_link


@pytest.mark.parametrize(
    ("text", "folder", "expected"),
    [
        ("$ORIGIN", "lib", "lib"),
        ("${ORIGIN}", "lib", "lib"),
        ("$ORIGIN/gcc", "lib", "lib/gcc"),
        ("$ORIGIN/../../_rocm_sdk_core/lib", "lib/torch/lib", "lib/_rocm_sdk_core/lib"),
        ("$ORIGIN/../..", "lib/torch", ""),
        ("$ORIGIN/../../nvidia/cublas/lib", "lib", None),
        ("/opt/rocm/lib", "lib", None),
        ("lib", "lib", None),
        ("$ORIGINAL/lib", "lib", None),
    ],
)
def test_an_entry_leads_somewhere_or_out(text: str, folder: str, expected: str | None) -> None:
    assert inside(text, PurePosixPath(folder)) == expected


def test_only_the_whole_variable_counts() -> None:
    assert is_relative("$ORIGIN/..")
    assert not is_relative("$ORIGINAL")
    assert not is_relative("/lib")


@pytest.mark.parametrize(
    ("link", "target", "expected"),
    [
        ("lib/a.so", "lib/b.so", "b.so"),
        ("lib/torch/lib/libz.so.1", "lib/libz.so.1", "../../libz.so.1"),
        ("lib/_rocm_sdk_core/lib/llvm/lib/libz.so.1", "lib/libz.so.1", "../../../../libz.so.1"),
        ("lib/a.so", "libc/b.so", "../libc/b.so"),
    ],
)
def test_links_are_relative(link: str, target: str, expected: str) -> None:
    assert relative_link(link, target) == expected

"""Where search path entries lead within a bundle."""

from __future__ import annotations

import pytest

from aotpack_doctor.base.search_path import inside, is_relative


@pytest.mark.parametrize(
    ("text", "folder", "expected"),
    [
        ("$ORIGIN", "lib", "lib"),
        ("${ORIGIN}", "lib", "lib"),
        ("$ORIGIN/gcc", "lib", "lib/gcc"),
        ("$ORIGIN/../../_rocm_sdk_core/lib", "lib/torch/lib", "lib/_rocm_sdk_core/lib"),
        ("$ORIGIN/../..", "lib/torch", ""),
        ("$ORIGIN/..", "lib", ""),
        ("$ORIGIN/.", "lib", "lib"),
        ("$ORIGIN", "", ""),
        ("$ORIGIN/../..x", "lib", "..x"),
        ("$ORIGIN/../../back/lib", "lib", None),
        ("$ORIGIN/../../nvidia/cublas/lib", "lib", None),
        ("/opt/rocm/lib", "lib", None),
        ("lib", "lib", None),
        ("$ORIGINAL/lib", "lib", None),
    ],
)
def test_an_entry_leads_somewhere_or_out(text: str, folder: str, expected: str | None) -> None:
    assert inside(text, folder) == expected


def test_only_the_whole_variable_counts() -> None:
    assert is_relative("$ORIGIN/..")
    assert not is_relative("$ORIGINAL")
    assert not is_relative("/lib")

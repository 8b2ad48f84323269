"""What is done to the text of generated loops so that their errors leave OpenMP's regions first."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from aotpack.exporting.worker.code.region_errors import checked_call, thrown_outside

PROGRAM = """
#include <omp.h>
#include <atomic>
#include <cstdio>
#include <exception>
#include <stdexcept>
#define AOTI_TORCH_CHECK(that, text) if (!(that)) throw std::runtime_error(text)

extern "C" void kernel(const long* index, long* out, long bad)
{
    auto helper = [&](long i) { AOTI_TORCH_CHECK(i >= -100, "in a function"); return i; };
    const auto multiply = [&]
    {
        #pragma omp for
        for(long x0=0L; x0<8L; x0+=1L)
        {
            for (long x1=0L; x1<2L; x1+=1L) {
                AOTI_TORCH_CHECK(bad != 97 || omp_get_thread_num() != 1, "in a product");
            }
        }
        if (omp_get_thread_num() == 0) {
            AOTI_TORCH_CHECK(bad != 96, "behind a product");
        }
        #pragma omp barrier
    };
    #pragma omp parallel num_threads(2)
    multiply();
    #pragma omp parallel num_threads(3)
    {
        int tid = omp_get_thread_num();
        {
            #pragma omp for collapse(2)
            for(long x0=0L; x0<8L; x0+=1L)
            {
                for(long x1=0L; x1<8L; x1+=1L)
                {
                    {
                        #pragma omp simd
                        for (long x2=0L; x2<1L; x2+=1L)
                        {
                            AOTI_TORCH_CHECK(index[x0] != bad, "index out of bounds");
                            out[x0 * 8 + x1] = helper(index[x0]) + x1;
                        }
                    }
                }
            }
        }
        #pragma omp single
        {
            AOTI_TORCH_CHECK(bad != 99, "in a single");
        }
        {
            #pragma omp for
            for(long x0=0L; x0<64L; x0+=1L)
            {
                out[x0] += 1;
            }
        }
    }
    AOTI_TORCH_CHECK(bad != 98, "outside");
}

int main()
{
    long index[8] = {0, 1, 2, 3, 4, 5, 6, 7}, out[64];
    for (long bad : {-1L, 3L, 99L, 98L, 97L, 96L})
    {
        try { kernel(index, out, bad); std::puts("none"); }
        catch (const std::exception& error) { std::puts(error.what()); }
    }
    kernel(index, out, -1);
    long sum = 0;
    for (long each : out) sum += each;
    std::printf("%ld\\n", sum);
}
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_what_is_thrown_in_a_region_arrives_outside(tmp_path: Path) -> None:
    (tmp_path / "a.cpp").write_text(thrown_outside(PROGRAM))
    subprocess.run(["g++", "-fopenmp", "-o", tmp_path / "a", tmp_path / "a.cpp"], check=True)
    said = subprocess.run([tmp_path / "a"], capture_output=True, text=True, check=True).stdout
    errors = ["index out of bounds", "in a single", "outside", "in a product", "behind a product"]
    assert said.splitlines() == ["none", *errors, str(8 * 28 * 2 + 64)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        'extern "C" void f() { for (;;) { AOTI_TORCH_CHECK(a, b); } }',
        PROGRAM.replace("AOTI_TORCH_CHECK(", "CHECK("),
        'extern "C" void f()\n{\n#pragma omp parallel\n{ AOTI_TORCH_CHECK(a, b);',
        'extern "C" void f()\n{\n#pragma omp parallel\nAOTI_TORCH_CHECK(a, b); }',
        'extern "C" void f(\n{\n#pragma omp parallel\n{ for (a\n{ AOTI_TORCH_CHECK(a, b); }}}',
        PROGRAM.replace('extern "C"', ""),
    ],
)
def test_what_needs_nothing_or_is_not_understood_stays(text: str) -> None:
    assert thrown_outside(text) == text


@pytest.mark.parametrize(
    ("line", "checked"),
    [
        (
            "aoti_torch_scatter_out(buf0, x, 0, i, s);",
            "AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_scatter_out(buf0, x, 0, i, s));",
        ),
        ("AOTI_TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(a, b, c));", None),
        ("auto a = aoti_torch_scatter_out(buf0);", None),
        (7, None),
    ],
)
def test_the_status_of_a_call_is_looked_at_once(line: object, checked: str | None) -> None:
    assert checked_call(line) == (line if checked is None else checked)

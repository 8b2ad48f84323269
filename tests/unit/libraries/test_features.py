"""Which feature groups a bundle carries."""

from __future__ import annotations

import pytest

from aotpack.backend import Backend
from aotpack.errors import UsageError
from aotpack.libraries.features import choose, group_that_stubs, with_needs
from aotpack.libraries.recipe import Group, Recipe, TorchSource

RECIPE = Recipe(
    schema=1,
    backend=Backend.CUDA,
    layout="flat",
    torch=TorchSource("2.13.0"),
    roots=("libroot.so",),
    groups={
        "blas": Group(("libblas.so.*",), symbols=("shim_*",), needs=("jit",), stub=True),
        "jit": Group(("libjit.so.*",), stub=True),
        "fft": Group(("libfft.so.*",), symbols=("shim_*fft*", "*::*fft*"), stub=True),
        "solve": Group(("libsolve.so.*", "libshared.so.*"), symbols=("shim_solve",), needs=("blas",)),
        "sparse": Group(("libshared.so.*",), symbols=("shim_sparse",), stub=True),
        "comm": Group(("libcomm.so.*",), stub=True),
    },
)


def test_a_models_symbols_turn_groups_on_and_say_so() -> None:
    chosen = choose(RECIPE, [["malloc", "shim_fft_r2c"]])
    assert chosen.on == {
        "blas": "a model uses shim_fft_r2c",
        "fft": "a model uses shim_fft_r2c",
        "jit": "blas needs it",
    }
    assert chosen.off == ("solve", "sparse", "comm")


def test_ops_without_a_shim_count_as_well() -> None:
    assert "fft" in choose(RECIPE, [["aten::fft_irfft2"]]).on


def test_a_model_of_generated_kernels_needs_none() -> None:
    assert not choose(RECIPE, [["malloc", "cuLaunchKernel"]]).on


def test_the_groups_of_several_models_add_up() -> None:
    assert {"fft", "sparse"} <= choose(RECIPE, [["shim_fft"], ["shim_sparse"]]).names


def test_without_a_model_all_that_one_could_need_are_on() -> None:
    chosen = choose(RECIPE, [])
    assert chosen.names == {"blas", "jit", "fft", "solve", "sparse"}
    assert chosen.off == ("comm",)


def test_what_is_asked_for_comes_with_what_it_needs() -> None:
    chosen = choose(RECIPE, [["malloc"]], ["solve", "comm"])
    assert chosen.on == {
        "solve": "asked for",
        "comm": "asked for",
        "blas": "solve needs it",
        "jit": "blas needs it",
    }


def test_a_group_with_all_that_it_needs() -> None:
    assert with_needs(RECIPE, "solve") == {"solve", "blas", "jit"}
    assert with_needs(RECIPE, "comm") == {"comm"}


def test_an_unknown_group_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        choose(RECIPE, [], ["cufft"])
    assert "cufft" in caught.value.what
    assert "blas, comm, fft, jit, solve, sparse" in caught.value.meaning


def test_a_library_of_a_group_that_is_off_is_stubbed() -> None:
    assert group_that_stubs(RECIPE, "libfft.so.12", frozenset({"blas"})) == "fft"
    assert group_that_stubs(RECIPE, "libfft.so.12", frozenset({"fft"})) is None


def test_a_library_of_two_groups_travels_when_one_of_them_is_on() -> None:
    assert group_that_stubs(RECIPE, "libshared.so.1", frozenset({"solve"})) is None
    assert group_that_stubs(RECIPE, "libshared.so.1", frozenset()) == "sparse"


def test_libraries_that_no_stub_can_replace_travel() -> None:
    assert group_that_stubs(RECIPE, "libsolve.so.1", frozenset()) is None
    assert group_that_stubs(RECIPE, "libc10.so", frozenset()) is None

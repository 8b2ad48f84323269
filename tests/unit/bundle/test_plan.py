"""Where things go in a bundle, decided without a disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from aotpack.backend import Backend
from aotpack.bundle.entries import Copy, Entry, Link, Member, Part
from aotpack.bundle.flat_layout import copy_of
from aotpack.bundle.inputs import PlannedModel
from aotpack.bundle.plan import BundlePlan, plan_bundle
from aotpack.elf.edits import ElfEdit
from aotpack.elf.facts import Elf
from aotpack.errors import BuildToolError
from aotpack.libraries.closure import Closure, Library, Missing
from aotpack.libraries.recipe import Dlopen, Edits, Recipe, TorchSource
from aotpack.package.metadata import ModelMetadata, Variant
from tests.support.bundles.inputs import build_inputs

RECIPE = Recipe(
    schema=1,
    backend=Backend.CPU,
    layout="flat",
    torch=TorchSource("2.13.0"),
    roots=("libtorch_cpu.so",),
    edits=Edits(strip=("libtorch*.so",), never=("libvendor*",)),
)


def library(name: str, **facts: object) -> Library:
    return Library(name, Path("/torch/lib") / name, Elf("x86_64", name, (), **facts), "a reason")  # type: ignore[arg-type]


RUNTIME = Closure(
    (
        library("libaot_bridge.so"),
        library("libtorch_cpu.so", runpath=("$ORIGIN",)),
        library("libc.so.6"),
        library("libstdc++.so.6"),
    )
)
MODEL = PlannedModel(
    "mlp",
    ModelMetadata(),
    Path("mlp.pt2"),
    (("mlp/data/x.wrapper.so", "model.so"), ("mlp/data/x_weights.blob", "weights.blob")),
    needed=("libtorch_cuda.so", "libgomp.so.1"),
    runtime=("libtorch_cpu.so",),
)


def plan(**changes: object) -> BundlePlan:
    base: dict[str, object] = {
        "recipe": RECIPE,
        "libraries": RUNTIME,
        "own_libraries": frozenset({"libaot_bridge.so"}),
        "models": (MODEL,),
    }
    return plan_bundle(build_inputs(**{**base, **changes}))


def test_gpus_of_arch_that_a_model_has_no_code_for_are_told() -> None:
    def gpu_model(name: str, *archs: str) -> PlannedModel:
        return replace(MODEL, name=name, metadata=ModelMetadata(device="cuda", gpu_archs=archs))

    models = (replace(MODEL, name="m"), gpu_model("m/cuda-sm_80", "sm_80"), gpu_model("n", "sm_80", "compute_80"))
    (warning,) = plan(models=models, archs=("sm_80", "sm_90")).warnings
    assert warning.startswith("model m has code for sm_80, and none for sm_90 of --arch")
    more = (*models, gpu_model("m/cuda-sm_90", "sm_90"))
    assert plan(models=more, archs=("sm_80", "sm_90")).warnings == ()
    assert plan(models=models).warnings == ()


def contents(planned: BundlePlan) -> dict[str, object]:
    return {entry.destination: entry.content for entry in planned.entries}


def test_a_portable_bundle_copies_each_library_to_its_place() -> None:
    placed = contents(plan())
    assert {
        "bin/aotrun",
        "lib/libaot_bridge.so",
        "lib/libtorch_cpu.so",
        "libc/libc.so.6",
        "lib/gcc/libstdc++.so.6",
    } <= set(placed)
    assert placed["lib/libtorch_cpu.so"] == Copy(Path("/torch/lib/libtorch_cpu.so"), ElfEdit(strip=True))


def test_a_development_bundle_links_and_leaves_the_system_alone() -> None:
    placed = contents(plan(portable=False))
    assert placed["lib/libtorch_cpu.so"] == Link("/torch/lib/libtorch_cpu.so")
    assert isinstance(placed["lib/libaot_bridge.so"], Copy)
    assert not any(name.startswith(("libc/", "lib/gcc/")) for name in placed)


def test_host_libc_leaves_glibc_out_and_says_so() -> None:
    planned = plan(libc="host")
    assert "libc/libc.so.6" not in contents(planned)
    assert planned.host_libraries == ("libc.so.6",)
    assert "lib/gcc/libstdc++.so.6" in contents(planned)


def test_the_copy_of_a_model_names_the_runtime_that_is_there() -> None:
    model_so = contents(plan())["models/mlp/model.so"]
    assert isinstance(model_so, Member)
    assert model_so.edit == ElfEdit(
        search_path="$ORIGIN/../../lib:$ORIGIN/../../lib/gcc",
        add_needed=("libtorch_cpu.so",),
        remove_needed=("libtorch_cuda.so",),
        clear_executable_stack=True,
    )
    weights = contents(plan())["models/mlp/weights.blob"]
    assert isinstance(weights, Member)
    assert not weights.edit


def test_a_driver_that_a_model_names_is_left_to_the_target() -> None:
    model = replace(MODEL, needed=("libcuda.so.1",))
    recipe = msgspec.structs.replace(RECIPE, host_libraries=("libcuda.so.1",))
    assert plan(models=(model,), recipe=recipe).host_libraries == ("libcuda.so.1",)


def test_a_missing_library_ends_the_plan() -> None:
    with pytest.raises(BuildToolError, match=r"libgone\.so: needed by libx\.so"):
        plan(libraries=Closure((), missing=(Missing("libgone.so", "needed by libx.so"),)))


def test_libraries_of_the_interpreter_stay_with_it() -> None:
    interpreter = Closure((library("libffi.so.8"), library("libc.so.6"), library("libpthread.so.0")))
    placed = contents(plan(interpreter_closure=interpreter))
    assert "python/lib/libffi.so.8" in placed
    assert "libc/libpthread.so.0" in placed


def test_a_library_that_runtime_and_interpreter_need_is_there_for_both() -> None:
    zlib = library("libz.so.1")
    placed = contents(plan(libraries=Closure((*RUNTIME.libraries, zlib)), interpreter_closure=Closure((zlib,))))
    assert {"lib/libz.so.1", "python/lib/libz.so.1"} <= set(placed)


def test_no_destination_twice() -> None:
    again = Entry("lib/libtorch_cpu.so", Part.RUNTIME, "another reason", Copy(Path("/elsewhere")))
    planned = plan(files=(again,))
    assert [entry.reason for entry in planned.entries if entry.destination == "lib/libtorch_cpu.so"] == ["a reason"]


def test_the_same_inputs_give_the_same_plan() -> None:
    assert plan() == plan()


def test_a_library_that_must_not_change_is_copied_bit_for_bit() -> None:
    vendor = library("libvendor.so.1", runpath=("/opt/vendor/lib",))
    assert copy_of(vendor, RECIPE) == Copy(vendor.path, pristine=True)


def test_an_absolute_search_path_becomes_relative() -> None:
    torch = library("libtorch_cpu.so", runpath=("$ORIGIN", "/build/lib", "$ORIGIN/../../nvidia/lib"))
    assert copy_of(torch, RECIPE).edit == ElfEdit(strip=True, search_path="$ORIGIN")


def test_what_a_vendors_file_would_look_for_outside_is_loaded_before_it() -> None:
    """cuSPARSE and cuFFT of CUDA 12 search another wheel's folder before their own, and must not be changed."""
    recipe = msgspec.structs.replace(
        RECIPE, dlopen=(Dlopen(loader="libvendor_fft.so.*", loads=("libvendor_jit.so.*",)),)
    )
    outside = ("$ORIGIN/../../jit/lib", "$ORIGIN")

    def linked(name: str, *needed: str, runpath: tuple[str, ...] = ("$ORIGIN",)) -> Library:
        return Library(name, Path("/torch/lib") / name, Elf("x86_64", name, needed, runpath=runpath), "a reason")

    def added(*vendors: Library) -> tuple[str, ...]:
        torch = linked("libtorch_gpu.so", *(vendor.name for vendor in vendors if "jit" not in vendor.name))
        copy = contents(plan(recipe=recipe, libraries=Closure((*RUNTIME.libraries, torch, *vendors))))[
            "lib/libtorch_gpu.so"
        ]
        assert isinstance(copy, Copy)
        return copy.edit.add_needed

    jit = linked("libvendor_jit.so.1")
    assert added(linked("libvendor_sparse.so.1", jit.name, "libc.so.6", runpath=outside), jit) == (jit.name,)
    assert added(linked("libvendor_fft.so.1", runpath=outside), jit) == (jit.name,)
    # Its own folder first, or nothing of the bundle to look for: every edit is a risk.
    assert added(linked("libvendor_sparse.so.1", jit.name), jit) == ()
    assert added(linked("libvendor_sparse.so.1", "libc.so.6", runpath=outside)) == ()


def test_a_variant_in_a_folder_of_its_own_looks_one_folder_further_up() -> None:
    nested = replace(MODEL, name="mlp/cuda-sm_90")
    variant = contents(plan(models=(MODEL, nested)))["models/mlp/cuda-sm_90/model.so"]
    assert isinstance(variant, Member)
    assert variant.edit.search_path == "$ORIGIN/../../../lib:$ORIGIN/../../../lib/gcc"


def test_all_variants_of_a_model_get_its_runtime() -> None:
    forms = (Variant("baseline"), Variant("avx2", "model.avx2.so"), Variant("cuda", folder="cuda"))
    members = (*MODEL.members, ("mlp/aotpack/model.avx2.so", "model.avx2.so"))
    placed = contents(plan(models=(replace(MODEL, metadata=ModelMetadata(variants=forms), members=members),)))
    code = [placed[f"models/mlp/{name}"] for name in ("model.so", "model.avx2.so")]
    first, second = (each.edit for each in code if isinstance(each, Member))
    assert first == second
    assert "models/mlp/cuda" not in placed


def test_a_model_whose_weights_others_have_gets_no_file() -> None:
    placed = contents(plan(models=(replace(MODEL, ranges=()),)))
    assert "models/mlp/model.so" in placed
    assert "models/mlp/weights.blob" not in placed

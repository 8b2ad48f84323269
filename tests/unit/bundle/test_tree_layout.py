"""The layout of ROCm bundles, decided without a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotpack.backend import Backend
from aotpack.bundle.entries import Copy, Entry, Link, Member
from aotpack.bundle.inputs import DataFile, PlannedModel
from aotpack.bundle.plan import plan_bundle
from aotpack.bundle.tree_layout import TreeLayout, find_data
from aotpack.elf.edits import ElfEdit
from aotpack.elf.facts import Elf
from aotpack.errors import AotpackError
from aotpack.libraries.closure import Closure, Library
from aotpack.libraries.recipe import DataTree, Edits, Recipe, TorchSource
from aotpack.package.metadata import ModelMetadata
from tests.support.bundles.inputs import build_inputs

SITE = Path("/venv/lib/python3.11/site-packages")
LAYOUT = TreeLayout(SITE / "torch", SITE, portable=True)
RECIPE = Recipe(
    schema=1,
    backend=Backend.ROCM,
    layout="tree",
    torch=TorchSource("2.13.0"),
    roots=("libtorch_hip.so",),
    edits=Edits(strip=("libtorch*.so",)),
    data=(DataTree("librocblas.so*", "rocblas/library", "beside it"),),
)


def library(path: str | Path, name: str | None = None, **facts: object) -> Library:
    path = Path(path)
    fields: dict[str, object] = {"soname": path.name, "needed": (), "rpath": ("$ORIGIN",), **facts}
    return Library(name or path.name, path, Elf("x86_64", **fields), "a reason")  # type: ignore[arg-type]


TORCH_HIP = library(SITE / "torch/lib/libtorch_hip.so", rpath=("$ORIGIN", "$ORIGIN/../../_rocm_sdk_core/lib"))


def entries(*libraries: Library, layout: TreeLayout = LAYOUT, **options: object) -> dict[str, Entry]:
    inputs = build_inputs(
        recipe=RECIPE,
        portable=layout.portable,
        libraries=Closure(libraries),
        layout=layout,
        **options,
    )
    return {entry.destination: entry for entry in layout.entries(libraries, inputs)}


def test_site_packages_becomes_lib() -> None:
    placed = entries(
        TORCH_HIP,
        library(SITE / "_rocm_sdk_core/lib/libamdhip64.so.7"),
        library(SITE / "_rocm_sdk_core/lib/rocm_sysdeps/lib/librocm_sysdeps_elf.so.1"),
    )
    assert set(placed) == {
        "lib/torch/lib/libtorch_hip.so",
        "lib/_rocm_sdk_core/lib/libamdhip64.so.7",
        "lib/_rocm_sdk_core/lib/rocm_sysdeps/lib/librocm_sysdeps_elf.so.1",
    }


def test_torchs_files_are_stripped_and_nothing_is_patched() -> None:
    runtime = library(SITE / "torch/lib/libamdhip64.so")
    placed = entries(TORCH_HIP, runtime)
    assert placed["lib/torch/lib/libtorch_hip.so"].content == Copy(TORCH_HIP.path, ElfEdit(strip=True))
    assert placed["lib/torch/lib/libamdhip64.so"].content == Copy(runtime.path)


def test_a_second_name_is_a_link_beside_the_file() -> None:
    file = SITE / "torch/lib/libamdhip64.so"
    placed = entries(
        library(file, soname="libamdhip64.so.7"), library(file, "libamdhip64.so.7", soname="libamdhip64.so.7")
    )
    assert placed["lib/torch/lib/libamdhip64.so"].content == Copy(file)
    assert placed["lib/torch/lib/libamdhip64.so.7"].content == Link("libamdhip64.so")


def test_two_files_with_one_soname_are_refused_with_both_paths() -> None:
    one = library(SITE / "torch/lib/libamdhip64.so", soname="libamdhip64.so.7")
    other = library("/opt/rocm/lib/libamdhip64.so.7")
    with pytest.raises(AotpackError) as caught:
        entries(one, other)
    assert str(one.path) in caught.value.what
    assert str(other.path) in caught.value.what


def test_the_systems_libraries_lie_in_lib_and_are_linked_beside_who_needs_them() -> None:
    user = library(SITE / "_rocm_sdk_core/lib/llvm/lib/libLLVM.so.19", needed=("libz.so.1",))
    placed = entries(user, library("/usr/lib/libz.so.1", rpath=()))
    assert isinstance(placed["lib/libz.so.1"].content, Copy)
    assert placed["lib/_rocm_sdk_core/lib/llvm/lib/libz.so.1"].content == Link("../../../../libz.so.1")


@pytest.mark.parametrize("tag", ["rpath", "runpath"])
@pytest.mark.parametrize("text", ["/opt/rocm/lib", "$ORIGIN/../../../..", "lib", "$ORIGIN/../../../elsewhere"])
def test_a_search_path_that_leaves_the_packages_is_refused_by_name(tag: str, text: str) -> None:
    stray = library(SITE / "torch/lib/libkernels.so", **{"rpath": (), tag: ("$ORIGIN", text)})
    with pytest.raises(AotpackError) as caught:
        entries(stray)
    assert str(stray.path) in caught.value.what
    assert text in caught.value.what


def test_data_keeps_its_place_and_is_pruned_by_architecture() -> None:
    files = [
        DataFile(SITE / "torch/lib/rocblas/library" / name, f"library/{name}", "librocblas.so", "beside it")
        for name in ("a_fallback.dat", "a_gfx90a.dat", "a_gfx1100.dat")
    ]
    everything = entries(TORCH_HIP, data=tuple(files))
    one = entries(TORCH_HIP, data=tuple(files), archs=("gfx90a",))
    assert {"lib/torch/lib/rocblas/library/a_gfx1100.dat"} == set(everything) - set(one)
    assert "lib/torch/lib/rocblas/library/a_fallback.dat" in one
    assert one["lib/torch/lib/rocblas/library/a_gfx90a.dat"].reason == "librocblas.so looks for it: beside it"


def test_a_model_looks_where_the_hip_runtime_that_it_needs_was_placed() -> None:
    hip = library(SITE / "_rocm_sdk_core/lib/libamdhip64.so.7")
    model = PlannedModel("m", ModelMetadata(), Path("m.pt2"), (("m.so", "model.so"),), needed=("libamdhip64.so.7",))
    inputs = build_inputs(
        recipe=RECIPE,
        portable=True,
        libraries=Closure((TORCH_HIP, hip)),
        layout=LAYOUT,
        models=(model,),
    )
    content = next(e.content for e in plan_bundle(inputs).entries if e.destination == "models/m/model.so")
    assert isinstance(content, Member)
    assert content.edit.search_path == ":".join(
        f"$ORIGIN/../../lib/{folder}" for folder in ("torch/lib", "_rocm_sdk_core/lib", "gcc")
    )


def test_a_development_bundle_places_nothing_and_looks_in_the_real_folder() -> None:
    layout = TreeLayout(SITE / "torch", SITE, portable=False)
    assert entries(TORCH_HIP, layout=layout) == {}
    assert layout.runtime_folders == (str(SITE / "torch/lib"),)
    assert LAYOUT.runtime_folders == ("lib/torch/lib",)


def test_an_unpacked_libtorch_is_placed_as_torch() -> None:
    layout = TreeLayout(Path("/opt/libtorch"), None, portable=True)
    assert set(entries(library("/opt/libtorch/lib/libtorch_hip.so"), layout=layout)) == {
        "lib/torch/lib/libtorch_hip.so"
    }


def test_data_is_found_beside_the_library_that_looks_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "lib"
    for name in ("rocblas/library/a.dat", "rocblas/library/gfx90a/b.dat", "other/c.dat"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    found = find_data([library(folder / "librocblas.so"), library(folder / "libother.so")], RECIPE)
    assert [(file.tree_path, file.library) for file in found] == [
        ("library/a.dat", "librocblas.so"),
        ("library/gfx90a/b.dat", "librocblas.so"),
    ]
